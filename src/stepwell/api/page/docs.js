"use strict";
// Shows /openapi.json: every operation with its parameters, bodies and answers, and a form to try it with.

const METHODS = ["get", "post", "put", "patch", "delete"];
let description = null;

function made(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Text with `code` in it.
function prose(text) {
  const parts = String(text || "").split("`");
  return made("span", {}, ...parts.map((part, at) => (at % 2 ? made("code", {}, part) : part)));
}

function resolved(schema) {
  let found = schema;
  for (let depth = 0; found && found.$ref && depth < 20; depth += 1) {
    found = found.$ref.slice(2).split("/").reduce((at, key) => at && at[key], description);
  }
  return found || {};
}

function typeOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const known = resolved(schema);
  if (known.const !== undefined) return JSON.stringify(known.const);
  if (known.enum) return known.enum.map((each) => JSON.stringify(each)).join(" | ");
  const choices = known.anyOf || known.oneOf;
  if (choices) return choices.map(typeOf).join(" | ");
  if (known.type === "array") return `${typeOf(known.items || {})}[]`;
  return [[known.type || "any"].flat().join(" | "), known.format].filter(Boolean).join(", ");
}

// What a schema takes beside null.
function unlessNull(schema) {
  const known = resolved(schema);
  const choices = (known.anyOf || known.oneOf || []).filter((each) => resolved(each).type !== "null");
  return choices.length === 1 && !known.enum ? resolved(choices[0]) : known;
}

function exampleOf(schema, depth = 0) {
  const known = resolved(schema);
  if (known.examples && known.examples.length) return known.examples[0];
  if (known.default !== undefined) return known.default;
  if (known.const !== undefined) return known.const;
  if (known.enum) return known.enum[0];
  const choices = known.anyOf || known.oneOf;
  if (choices) return exampleOf(choices.find((each) => resolved(each).type !== "null") || {}, depth + 1);
  if (known.type === "object" || known.properties) {
    const required = new Set(known.required || []);
    const names = Object.keys(known.properties || {}).filter((name) => required.has(name) || (depth === 0 && !required.size));
    return depth > 4 ? {} : Object.fromEntries(names.map((name) => [name, exampleOf(known.properties[name], depth + 1)]));
  }
  if (known.type === "array") return depth === 0 ? [exampleOf(known.items || {}, depth + 1)] : [];
  return { string: "", integer: 1, number: 1, boolean: false }[known.type] ?? null;
}

function schemaTable(schema) {
  const known = resolved(schema);
  if (known.type === "array") return made("div", {}, made("p", { class: "soft" }, typeOf(schema)), schemaTable(known.items || {}));
  const properties = Object.entries(known.properties || {});
  if (!properties.length) return made("p", { class: "soft" }, typeOf(schema));
  const required = new Set(known.required || []);
  return made("table", {}, ...properties.map(([name, each]) => made("tr", {},
    made("td", {}, made("code", {}, name), required.has(name) ? made("span", { class: "required", title: "required" }, " *") : null),
    made("td", { class: "soft" }, typeOf(each)),
    made("td", {}, prose(resolved(each).description || each.description)))));
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, response]) => {
    const content = Object.entries(response.content || {});
    const types = content.map(([type, media]) => `${type}${media.schema ? `: ${typeOf(media.schema)}` : ""}`).join("; ");
    return made("tr", {}, made("td", {}, made("code", {}, status)),
      made("td", {}, prose(response.description), made("div", { class: "soft" }, types)));
  });
  return made("table", {}, ...rows);
}

function inputFor(parameter) {
  const known = unlessNull(parameter.schema || {});
  const attributes = { name: parameter.name, "aria-label": `${parameter.name}, in ${parameter.in}`, required: parameter.required };
  const choices = known.type === "boolean" ? ["true", "false"] : known.enum && known.enum.filter((each) => each !== null);
  if (choices) {
    return made("select", attributes, made("option", { value: "" }, ""), ...choices.map((each) => made("option", { value: each }, each)));
  }
  return made("input", { ...attributes, placeholder: typeOf(parameter.schema || {}), autocomplete: "off" });
}

// The form of an operation: its fields, the request it makes, and what came back.
function form(method, path, operation) {
  const fields = (operation.parameters || []).map((parameter) => ({ parameter, input: inputFor(parameter) }));
  const media = Object.entries((operation.requestBody || {}).content || {});
  const body = media.length ? made("textarea", { "aria-label": "Body", spellcheck: "false" }) : null;
  const type = made("select", { "aria-label": "Content-Type" }, ...media.map(([name]) => made("option", {}, name)));
  const fill = () => {
    const chosen = (media.find(([name]) => name === type.value) || [])[1];
    if (body && chosen) body.value = type.value.includes("json") ? JSON.stringify(exampleOf(chosen.schema), null, 2) : "";
  };
  type.addEventListener("change", fill);
  fill();
  const result = made("div", { role: "status" });
  let ongoing = null;

  function request() {
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const { parameter, input } of fields) {
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value && parameter.in === "query") query.append(parameter.name, input.value);
      else if (input.value && parameter.in === "header") headers[parameter.name] = input.value;
    }
    const token = document.getElementById("token").value;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body && body.value.trim()) headers["Content-Type"] = type.value;
    const text = body && body.value.trim() ? body.value : undefined;
    return { url: query.size ? `${url}?${query}` : url, method: method.toUpperCase(), headers, body: text };
  }

  function curl() {
    const { url, headers, body: text } = request();
    const quoted = (part) => `'${part.replaceAll("'", "'\\''")}'`;
    const parts = [`curl -X ${method.toUpperCase()} ${quoted(location.origin + url)}`];
    for (const [name, value] of Object.entries(headers)) parts.push(`-H ${quoted(`${name}: ${name === "Authorization" ? "Bearer TOKEN" : value}`)}`);
    if (text) parts.push(`-d ${quoted(text)}`);
    result.replaceChildren(made("pre", {}, parts.join(" \\\n  ")));
  }

  async function send() {
    if (ongoing) ongoing.abort();
    ongoing = new AbortController();
    const shown = made("pre", {}, "...");
    result.replaceChildren(shown);
    const { url, ...settings } = request();
    try {
      const began = performance.now();
      const response = await fetch(url, { ...settings, signal: ongoing.signal });
      const head = `${response.status} ${response.statusText} (${Math.round(performance.now() - began)} ms)\n`
        + [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n") + "\n\n";
      shown.textContent = head;
      if ((response.headers.get("content-type") || "").startsWith("text/event-stream")) await follow(response, shown);
      else shown.textContent = head + pretty(await response.text());
    } catch (error) {
      if (error.name !== "AbortError") shown.textContent = `no answer: ${error.message}`;
    }
  }

  async function follow(response, shown) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      shown.textContent = (shown.textContent + part.value).slice(-100000);
      shown.scrollTop = shown.scrollHeight;
    }
  }

  const rows = fields.map(({ parameter, input }) => made("tr", {},
    made("td", {}, made("code", {}, parameter.name), parameter.required ? made("span", { class: "required", title: "required" }, " *") : null,
      made("div", { class: "soft" }, parameter.in)),
    made("td", {}, input), made("td", {}, prose(parameter.description))));
  return made("form", { onsubmit: (event) => { event.preventDefault(); send(); } },
    rows.length ? made("h3", {}, "Parameters") : null, rows.length ? made("table", {}, ...rows) : null,
    body ? made("h3", {}, "Body ", type) : null, body,
    body && media[0][1].schema ? schemaTable(media[0][1].schema) : null,
    made("div", { class: "row" }, made("button", { type: "submit" }, "Send"),
      made("button", { type: "button", class: "plain", onclick: curl }, "As curl"),
      made("button", { type: "button", class: "plain", onclick: () => { if (ongoing) ongoing.abort(); result.replaceChildren(); } }, "Clear")),
    result);
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function shownOperation(method, path, operation) {
  const details = made("details", { class: "operation", id: operation.operationId },
    made("summary", {}, made("span", { class: `method ${method}` }, method.toUpperCase()), made("code", {}, path),
      made("span", { class: "says" }, operation.summary || "")));
  details.dataset.text = `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase();
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector(".body")) return;
    details.append(made("div", { class: "body" }, made("p", {}, prose(operation.description)), form(method, path, operation),
      made("h3", {}, "Answers"), answers(operation)));
  });
  return details;
}

function show() {
  document.getElementById("version").textContent = description.info.version;
  const bySubject = new Map();
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of METHODS.filter((each) => item[each])) {
      const subject = (item[method].tags || ["other"])[0];
      if (!bySubject.has(subject)) bySubject.set(subject, []);
      bySubject.get(subject).push(shownOperation(method, path, item[method]));
    }
  }
  const main = document.getElementById("operations");
  main.replaceChildren(made("p", {}, prose(description.info.description)));
  for (const [subject, operations] of [...bySubject].sort()) {
    const id = `subject-${subject.replaceAll(" ", "-")}`;
    document.getElementById("subjects").append(made("a", { href: `#${id}` }, subject));
    main.append(made("section", {}, made("h2", { id }, subject), ...operations));
  }
  const wanted = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (wanted && wanted.tagName === "DETAILS") { wanted.open = true; wanted.scrollIntoView(); }
}

function find(event) {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("main section")) {
    let any = false;
    for (const operation of section.querySelectorAll("details.operation")) {
      operation.hidden = !words.every((word) => operation.dataset.text.includes(word));
      any = any || !operation.hidden;
    }
    section.hidden = !any;
  }
}

document.getElementById("find").addEventListener("input", find);
fetch("/openapi.json").then((response) => {
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}).then((found) => { description = found; show(); }).catch((error) => {
  document.getElementById("operations").replaceChildren(made("p", {}, `The description cannot be read: ${error.message}`));
});
