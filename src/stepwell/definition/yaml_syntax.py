"""What is wrong with a text that is not YAML, in words that help."""

from __future__ import annotations

import re

from stepwell.definition.findings import Findings
from stepwell.definition.text import Lines

_QUOTE_IT = "a text with special characters in it must be quoted"

_PROBLEMS: tuple[tuple[str, str, str | None], ...] = (
    ("mapping values are not allowed", "a `:` that YAML takes for a key stands in a text without quotes", _QUOTE_IT),
    ("could not find expected ':'", "a key without `:` after it", "write `key: value`; a `:` needs a space after it"),
    ("did not find expected key", "this line does not fit the mapping around it", "check indentation and quotes"),
    ("expected <block end>", "this line does not fit the block around it", "check indentation and quotes"),
    ("did not find expected '-' indicator", "this line does not fit the list around it", "check the indentation"),
    ("block sequence entries are not allowed", "a list cannot begin here", "begin it on a line of its own"),
    ("mapping keys are not allowed", "a key cannot begin here", "begin it on a line of its own"),
    ("did not find expected ',' or '}'", "a `{` is not closed with `}`, or a `,` is missing", _QUOTE_IT),
    ("did not find expected ',' or ']'", "a `[` is not closed with `]`, or a `,` is missing", _QUOTE_IT),
    ("expected ',' or '}'", "a `{` is not closed with `}`, or a `,` is missing", _QUOTE_IT),
    ("expected ',' or ']'", "a `[` is not closed with `]`, or a `,` is missing", _QUOTE_IT),
    ("unexpected end of stream", "a quoted text is not closed before the document ends", "add the closing quote"),
    ("unexpected document indicator", "a quoted text is not closed before the document ends", "add the closing quote"),
    ("expected <document start>", "something follows after the end of the document", "check indentation and quotes"),
    ("did not find expected node content", "a value is missing or cannot begin with this character", _QUOTE_IT),
    ("expected the node content", "a value is missing or cannot begin with this character", _QUOTE_IT),
    ("unknown escape character", "a text in double quotes has an escape that YAML does not know",
     "use single quotes, or write a backslash as two"),
    ("hexdecimal number", "an escape in double quotes has too few digits", "write it as \\x41, \\u0041 or \\U00000041"),
    ("invalid Unicode character escape", "the escape is half of a character", "write the character itself"),
)  # fmt: skip
"""A part of the parser's own wording, what is meant, and what to do."""

_UNQUOTED_EXPRESSION = re.compile(r"(?:^|[:\-,\[])\s*\{\{")


def syntax_finding(error: Exception, text: str, lines: Lines, findings: Findings) -> None:
    """Record why the parser stopped, at the place where it did."""
    mark = getattr(error, "problem_mark", None)
    index = min(mark.index, len(text)) if mark is not None else 0
    problem = getattr(error, "problem", None) or str(error)
    message, hint = _explained(str(problem), text[index : index + 1])
    begun = getattr(error, "context_mark", None)
    suspects = [lines.position(index)[0]]
    if begun is not None:
        suspects.append(lines.position(min(begun.index, len(text)))[0])
        if suspects[1] != suspects[0]:
            message += f" (begun in line {suspects[1]})"
    suspects.append(suspects[0] - 1)
    if any(_UNQUOTED_EXPRESSION.search(lines.line(number)) for number in suspects):
        hint = 'quote the whole text that begins with `{{`: "{{ ... }} ..."'
    findings.add_at("yaml-syntax", f"not YAML: {message}", lines.span(index, index + 1), hint=hint)


def _explained(problem: str, character: str) -> tuple[str, str | None]:
    if "cannot start any token" in problem:
        if character == "\t":
            return "a tab cannot be used for indentation", "use spaces"
        return f"a text without quotes cannot begin with {character!r}", _QUOTE_IT
    if "tab character" in problem:
        return "a tab cannot be used for indentation", "use spaces"
    for part, message, hint in _PROBLEMS:
        if part in problem:
            return message, hint
    return problem, None
