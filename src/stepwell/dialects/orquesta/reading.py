"""From a workflow of Orquesta to the native document that means the same.

What `ctx()` reads is one set of variables: the inputs, the variables of the workflow, and what tasks publish.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import bad_name, describe, wrong_type
from stepwell.definition.reading import read as read_mapping
from stepwell.definition.shapes import MAX_NAME, NAME
from stepwell.dialects.dialect import Reading
from stepwell.dialects.native.parts import given
from stepwell.dialects.origin import Taken
from stepwell.dialects.orquesta.document import STACKSTORM, VERSION, WORKFLOW_VERSION, OrquestaDoc
from stepwell.dialects.orquesta.expressions import PLAIN, is_expression
from stepwell.dialects.orquesta.outputs import output_values, seeing
from stepwell.dialects.orquesta.paths import check_paths
from stepwell.dialects.orquesta.tasks import read_tasks

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_.-]")
_NAMELESS: Final = "workflow"
_STACKSTORM: Final = re.compile(r"""ctx\(\)\.st2\b|ctx\(\s*["']?st2["']?\s*\)""")


class Entry(NamedTuple):
    """One of the `- name: value` of a list; `value` is `...` when only a name is written."""

    name: str
    value: Any
    path: Path


def read(reading: Reading) -> Any:
    """The native document; None when the workflow has no form that could be gone through."""
    (_, document) = reading.documents[0]
    if isinstance(document, dict):
        document = {key: value for key, value in document.items() if key != "dialect"}
    findings = reading.findings
    written = read_mapping(OrquestaDoc, document, (), findings)
    if written is None:
        return None
    _check_version(document.get("version"), findings)
    inputs = list(entries(written.input, ("input",), findings, bare=True))
    variables = list(entries(written.vars, ("vars",), findings, bare=True))
    outputs = list(entries(written.output, ("output",), findings))
    first = {**_stackstorm(reading), **_variables(inputs, variables, findings)}
    steps = read_tasks(written.tasks, reading)
    if not findings.has_errors():
        check_paths(steps, first, findings)
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": given(
            name=workflow_name(reading.source.name),
            version=WORKFLOW_VERSION,
            description=_taken(written.description, ("description",)),
        ),
        "spec": given(
            config={"branches": "separate"},
            input=_input(inputs),
            vars=first,
            steps=Taken(steps, ("tasks",)),
            output={"values": output_values(outputs, findings), "on_failure": True} if outputs else None,
        ),
    }


def workflow_name(source: str) -> str:
    """What a workflow is called whose document does not say it: as its file."""
    stem = _NOT_IN_NAMES.sub("_", PurePath(source).name.partition(".")[0])[:MAX_NAME].strip("_")
    if not stem:
        return _NAMELESS
    return stem if stem[0].isalpha() else f"_{stem}"[:MAX_NAME]


def entries(written: list[Any] | None, path: Path, findings: Findings, *, bare: bool = False) -> Iterator[Entry]:
    """The entries of a list of `- name: value`. What is wrong is recorded.

    Args:
        bare: a name may stand alone.
    """
    for position, entry in enumerate(written or []):
        place = (*path, position)
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, value),) = entry.items()
            found = Entry(name, value, (*place, name))
        elif isinstance(entry, str) and bare:
            found = Entry(entry, ..., place)
        else:
            expected = "a name, or one `name: value`" if bare else "one `name: value`"
            wrong_type(expected, entry, place, findings)
            continue
        if NAME.fullmatch(str(found.name)):
            yield found
        else:
            findings.add("bad-name", bad_name(str(found.name)), found.path)


def _check_version(version: Any, findings: Findings) -> None:
    if isinstance(version, bool) or (version is not None and str(version) not in (VERSION, "1")):
        message = f"this is read as version {VERSION} of the language; saw {describe(version)}"
        findings.add("wrong-value", message, ("version",), hint=f"write `version: {VERSION}`")


def _taken(value: Any, path: Path) -> Taken | None:
    return None if value is None else Taken(value, path)


def _input(inputs: list[Entry]) -> dict[str, Any] | None:
    """Every input may be left out; without a default it is null."""
    if not inputs:
        return None
    properties = {entry.name: Taken(_property(entry.value), entry.path) for entry in inputs}
    return {"schema": {"type": "object", "properties": properties}}


def _property(default: Any) -> dict[str, Any]:
    if default is ...:
        return {"default": None}
    return {} if _has_expression(default) else {"default": default}


def _has_expression(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_expression, value.values()))
    if isinstance(value, list):
        return any(map(_has_expression, value))
    return is_expression(value)


def _stackstorm(reading: Reading) -> dict[str, Any]:
    """The variable `st2`, where it is read."""
    return {"st2": dict(STACKSTORM)} if _STACKSTORM.search(reading.source.text) else {}


def _variables(inputs: list[Entry], variables: list[Entry], findings: Findings) -> dict[str, Any]:
    """The first values of all that `ctx()` reads, in order; later ones see earlier ones.

    A variable called like an input takes its place; until then the input is what is read under the name.
    """
    found: dict[str, Any] = {}
    given_again = {entry.name for entry in inputs} & {entry.name for entry in variables}
    as_given: dict[str, Any] = {}
    for entry in inputs:
        as_it_is = Taken(seeing(_from_input(entry, findings), as_given, entry, findings), entry.path)
        (as_given if entry.name in given_again else found)[entry.name] = as_it_is
    for entry in variables:
        if entry.name in found:
            message = f"{entry.name!r} is given a first value twice"
            findings.add("conflicting-keys", message, entry.path, hint="only the last one would be kept; take one out")
            continue
        value = None if entry.value is ... else PLAIN.template(entry.value, entry.path, findings)
        found[entry.name] = Taken(seeing(value, as_given, entry, findings), entry.path)
        as_given.pop(entry.name, None)
    return found


def _from_input(entry: Entry, findings: Findings) -> Any:
    given_value = f"input.{entry.name}" if "-" not in entry.name else f"input['{entry.name}']"
    if entry.value is ... or not _has_expression(entry.value):
        return f"{{{{ {given_value} }}}}"
    default = PLAIN.template(entry.value, entry.path, findings)
    if not isinstance(default, str):
        message = "a list or a mapping with expressions in it cannot be a default"
        findings.add("wrong-value", message, entry.path, hint="write a variable in `vars`, which may hold expressions")
        return None
    return f"{{{{ {given_value} if '{entry.name}' in input else {_as_expression(default)} }}}}"


def _as_expression(text: str) -> str:
    """A native text that holds expressions, as one expression."""
    whole = re.fullmatch(r"\{\{ (.*) \}\}", text, re.DOTALL)
    if whole is not None and "{{" not in whole[1]:
        return f"({whole[1]})"
    parts = re.split(r"\{\{ (.*?) \}\}", text)
    quoted = [repr(part) if number % 2 == 0 else f"({part})" for number, part in enumerate(parts)]
    return f"({' ~ '.join(part for part in quoted if part != repr(''))})"
