// A worker in JavaScript: it serves the queue `images` of a server, and needs nothing but Node.js.
//
//     STEPWELL_SERVER=http://127.0.0.1:8080 STEPWELL_TOKEN=... node worker.mjs
const server = process.env.STEPWELL_SERVER ?? "http://127.0.0.1:8080";
const headers = { "Content-Type": "application/json" };
if (process.env.STEPWELL_TOKEN) headers.Authorization = `Bearer ${process.env.STEPWELL_TOKEN}`;
const worker = `node-${process.pid}`;

const tasks = {
  resize: ({ width, height, to }) => ({ width: to, height: Math.round((height * to) / width) }),
};

async function ask(what, body) {
  const answer = await fetch(`${server}/api/v1/workers/${what}`, {
    method: "POST", headers, body: JSON.stringify(body),
  });
  if (answer.status === 409) return null; // nobody waits for this report any more
  if (!answer.ok) throw new Error(`${what}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
}

async function work({ id, type, config }) {
  const alive = setInterval(() => ask("heartbeat", { worker, assignments: [id] }).catch(console.error), 10_000);
  try {
    if (!tasks[type]) throw new Error(`this worker knows no ${type}`);
    await ask("complete", { id, result: await tasks[type](config) });
  } catch (error) {
    await ask("fail", { id, type: "worker_error", message: error.message, retryable: false });
  } finally {
    clearInterval(alive);
  }
}

for (;;) {
  const { assignments } = await ask("poll", { worker, queues: ["images"], limit: 4, wait: 20 });
  await Promise.all(assignments.map(work));
}
