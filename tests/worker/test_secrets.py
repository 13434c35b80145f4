"""Opening secrets for a task, and finding them in what it gives back."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.base.errors import NotFound
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.ports.work import TaskContext, TaskError
from stepwell.worker.masking import Mask
from stepwell.worker.opening import opened
from tests.conformance.dispatcher import KnownSecrets, assignment
from tests.worker.harness import LocalHarness

SOURCE = KnownSecrets({"TOKEN": "tok-5ecret", "PIN": "123"})
secret_texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=4, max_size=20)


def test_a_configuration_without_secrets_is_not_copied() -> None:
    config = {"a": [1, {"b": ("x", None)}], "c": True}
    found: list[str] = []
    assert opened(config, SOURCE, found) is config
    assert found == []


def test_secrets_are_opened_wherever_they_are_and_nothing_else_is_touched() -> None:
    config = {
        "plain": {"x": [1, 2]},
        "deep": [{"password": Sealed("hunter22")}, (SecretRef("TOKEN"), 5)],
        "header": SecretText(("Bearer ", SecretRef("TOKEN"), "/", Sealed("inner-part"))),
        "profile": Sealed({"card": "4111-1111", "tags": ["gold"], "n": 1234567, "m": 12, "flag": True}),
    }
    found: list[str] = []
    clear = opened(config, SOURCE, found)
    assert clear == {
        "plain": {"x": [1, 2]},
        "deep": [{"password": "hunter22"}, ["tok-5ecret", 5]],
        "header": "Bearer tok-5ecret/inner-part",
        "profile": {"card": "4111-1111", "tags": ["gold"], "n": 1234567, "m": 12, "flag": True},
    }
    assert clear["plain"] is config["plain"]
    assert isinstance(config["deep"][0]["password"], Sealed)  # type: ignore[index]
    assert sorted(found) == ["1234567", "4111-1111", "gold", "hunter22", "inner-part", "tok-5ecret", "tok-5ecret"]


def test_short_texts_are_opened_but_not_looked_for() -> None:
    found: list[str] = []
    assert opened([SecretRef("PIN"), Sealed("abc"), Sealed(99999)], SOURCE, found) == ["123", "abc", 99999]
    assert found == []


def test_an_unknown_secret_is_named() -> None:
    with pytest.raises(NotFound, match="NOPE"):
        opened({"a": SecretText(("x", SecretRef("NOPE")))}, SOURCE, [])


@settings(deadline=None)
@given(secret_texts, st.text(max_size=10), st.text(max_size=10))
def test_a_secret_is_hidden_in_every_common_spelling(secret: str, before: str, after: str) -> None:
    mask = Mask([secret])
    spellings = [secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]]
    for spelling in spellings:
        hidden = mask.hide(before + spelling + after)
        assert spelling not in hidden or spelling in "***"
        assert mask.finds(before + spelling + after)


@settings(deadline=None)
@given(secret_texts, st.text(st.characters(codec="utf-8"), max_size=12))
def test_a_secret_is_found_in_a_basic_authorization_of_any_user(secret: str, user: str) -> None:
    header = "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
    mask = Mask([secret])
    assert mask.finds(header)
    assert secret.encode() not in base64.b64decode(mask.hide(header)[6:].replace("***", "").ljust(400, "A") + "====")


def test_a_longer_secret_is_hidden_before_a_shorter_one_inside_it() -> None:
    assert Mask(["word", "password1"]).hide("password1 word") == "*** ***"


def test_results_are_sealed_exactly_where_a_secret_is() -> None:
    mask = Mask(["hunter22", "1234567"])
    value = {"a": "x hunter22 y", "b": ["fine", 1234567, 1234568, True, None], "c": {"key-hunter22": 1}, "d": 1.5}
    assert mask.seal(value) == {
        "a": Sealed("x hunter22 y"),
        "b": ["fine", Sealed(1234567), 1234568, True, None],
        "c": Sealed({"key-hunter22": 1}),
        "d": 1.5,
    }


def test_details_are_masked_names_and_numbers_included() -> None:
    mask = Mask(["hunter22", "1234567"])
    assert mask.hide_all({"hunter22": ["a hunter22", 1234567, 7]}) == {"***": ["a ***", "***", 7]}


async def failure(error: BaseException, secret: Any = "hunter22") -> Any:
    """The error that is reported when a task that knows a secret raises."""

    async def fail(config: Any, context: TaskContext) -> Any:
        raise error

    harness = LocalHarness(fail)
    harness.dispatcher.dispatch(assignment(config={"x": Sealed(secret)}))
    return (await harness.report()).error


async def test_a_message_is_masked_before_it_is_cut() -> None:
    text = "a" * 1_996 + "hunter22" + "b" * 5_000
    error = await failure(RuntimeError(text))
    assert len(error.message) == 2_000
    assert "hunt" not in error.message
    assert error.message.startswith("a" * 1_996 + "***")


async def test_an_error_without_a_text_has_its_name() -> None:
    assert (await failure(RuntimeError())).message == "RuntimeError"


async def test_an_exception_that_cannot_be_printed_is_still_reported() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert (await failure(Silent())).message == "Silent"


async def test_a_message_with_a_lone_surrogate_can_be_stored() -> None:
    assert (await failure(RuntimeError("a\ud800b"))).message == "a?b"


async def test_details_that_cannot_be_stored_are_left_out() -> None:
    error = await failure(TaskError("odd", "no", details={"x": object()}))
    assert error.details == {"omitted": "the details.x is of type object, which is not a JSON value"}


async def test_an_error_of_stepwell_itself_is_reported_under_its_code() -> None:
    error = await failure(NotFound("no service 'x'", code="unknown-service", hint="known: y"))
    assert (error.type, error.message, error.retryable) == ("unknown_service", "no service 'x' (known: y)", False)


async def test_the_traceback_goes_to_the_debug_log_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "stepwell.worker"):
        error = await failure(RuntimeError("it was hunter22"))
    assert "Traceback" in caplog.text
    assert "it was ***" in caplog.text
    assert "hunter22" not in caplog.text
    assert "Traceback" not in error.message


async def test_without_the_debug_level_no_traceback_is_made(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("made for nothing")

    monkeypatch.setattr("traceback.format_exception", refuse)
    with caplog.at_level(logging.INFO, "stepwell.worker"):
        assert (await failure(RuntimeError("x"))).message == "x"
