"""Errors, derived values, suggestions, patterns, spans, ids."""

from __future__ import annotations

import os
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base import errors
from stepwell.base.derive import derived_bytes, digest
from stepwell.base.errors import ErrorInfo, InvalidInput, StepwellError
from stepwell.base.ids import execution_id
from stepwell.base.patterns import compiled
from stepwell.base.suggest import hint_for, nearest

# Errors

KINDS: list[type[StepwellError]] = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StepwellError)
]


def test_every_error_has_a_code_of_its_own_and_an_exit_status() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code and "_" not in code for code in codes)
    assert {kind.exit_status for kind in KINDS} <= {1, 2, 4}


def test_an_error_is_printed_with_its_hint() -> None:
    assert str(StepwellError("no", hint="say yes")) == "no (say yes)"
    assert str(StepwellError("no")) == "no"


def test_a_code_can_be_said_more_precisely() -> None:
    assert StepwellError("no", code="quite-special").code == "quite-special"
    assert StepwellError("no").code == "internal-error"


def test_invalid_input_holds_every_problem() -> None:
    assert InvalidInput("bad", problems=(("a", "b"),)).problems == (("a", "b"),)


def test_an_error_inside_an_execution_is_shown_whole() -> None:
    assert ErrorInfo("boom", "it went").as_dict() == {
        "type": "boom", "message": "it went", "details": {}, "retryable": False,
    }  # fmt: skip
    assert ErrorInfo("boom", "it went", {"status": 503}, retryable=True).as_dict()["details"] == {"status": 503}


# Derived values

_parts: Any = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5) | st.integers(), max_size=4
)


@given(seed=st.binary(max_size=64), parts=_parts, size=st.integers(1, 64))
def test_derived_bytes_are_the_same_again(seed: bytes, parts: list[str | int], size: int) -> None:
    drawn = derived_bytes(seed, *parts, size=size)
    assert drawn == derived_bytes(seed, *parts, size=size)
    assert len(drawn) == size


def test_derived_bytes_depend_on_the_seed_and_on_every_part() -> None:
    drawn = [
        derived_bytes(seed, *parts)
        for seed in (b"", b"seed", b"tseed")
        for parts in (("a",), ("b",), ("a", "b"), ("ab",), ("a", 1), ("a", 1, 2), ("a", 12), ())
    ]
    assert len(set(drawn)) == len(drawn)


def test_derived_bytes_never_change_for_histories_depend_on_them() -> None:
    assert derived_bytes(b"seed", "jitter", "step", 1, size=8).hex() == KNOWN


KNOWN = "0402f0cbe0fb0af5"


def test_a_digest_is_that_of_the_content() -> None:
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_execution_ids_are_random() -> None:
    made = {execution_id(os.urandom(16)) for _ in range(100)}
    assert len(made) == 100
    assert all(uuid.UUID(one).version == 4 and one == one.lower() for one in made)


# Suggestions


@pytest.mark.parametrize(
    ("name", "found"), [("craete", "create"), ("user_nam", "user_name"), ("zzz", None), ("", None), ("x" * 5_000, None)]
)
def test_the_nearest_name_is_found_if_one_is_near(name: str, found: str | None) -> None:
    assert nearest(name, ["create", "user_name", "delete"]) == found


def test_the_hint_names_the_nearest_or_what_there_is() -> None:
    assert hint_for("craete", ["create", "delete"]) == "did you mean 'create'?"
    assert hint_for("zzz", ["b", "a"]) == "known: a, b"
    assert hint_for("zzz", []) == "nothing is known here"
    assert hint_for("zzz", [f"n{n:02}" for n in range(20)], limit=2) == "known: n00, n01, ..."


# Patterns


def test_a_pattern_is_compiled_once_and_runs_in_linear_time() -> None:
    pattern = compiled("(a+)+$")
    assert pattern is compiled("(a+)+$")
    assert pattern.search("a" * 50_000 + "b") is None
    assert pattern.search("baa") is not None


@pytest.mark.parametrize("text", ["(", "a{2,1}", "(?=a)", r"(a)\1", "*", "a" * 10 + "{1000}{1000}"])
def test_what_is_no_pattern_is_none_and_nothing_is_printed(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert compiled(text) is None
    assert capfd.readouterr().err == ""
