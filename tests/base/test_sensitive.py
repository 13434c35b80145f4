"""Secrets that nobody marked, recognised by what they are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.base.sensitive import hide_by_name, hide_in_text
from stepwell.base.values import MASK


def test_values_with_the_name_of_a_secret_are_hidden_and_others_are_not() -> None:
    seen = {
        "user": "ada",
        "password": "hunter2",
        "apiKey": "hunter2",
        "nested": [{"access_token": "hunter2", "tokens": 5, "kept": None}],
        "Authorization": "Bearer hunter2",
        "credentials": {"user": "hunter2", "on": True},
        "secret": None,
        "token": "",
        "pin": 7,
    }
    assert hide_by_name(seen) == {
        "user": "ada",
        "password": MASK,
        "apiKey": MASK,
        "nested": [{"access_token": MASK, "tokens": 5, "kept": None}],
        "Authorization": MASK,
        "credentials": {"user": MASK, "on": True},
        "secret": None,
        "token": "",
        "pin": 7,
    }


@pytest.mark.parametrize(
    "text",
    [
        "POST https://x.example/?api_key=hunter2hunter2&x=1 failed",
        "login with password=hunter2hunter2",
        'it said {"access_token": "hunter2hunter2", "x": 1}',
        "{'client_secret': 'hunter2hunter2'}",
        "Authorization: Bearer hunter2hunter2",
        "authorization=Basic hunter2hunter2",
        "sent 'Bearer hunter2hunter2'",
        "Cookie: hunter2hunter2",
    ],
)
def test_what_a_text_says_of_a_secret_is_hidden(text: str) -> None:
    hidden = hide_in_text(text)
    assert "hunter2" not in hidden
    assert MASK in hidden


@pytest.mark.parametrize(
    "text",
    [
        "unexpected token: identifier at line 3",
        "there is no secret 'CRM'",
        "the password must have 8 characters",
        "a bearer of bad news",
        "step 'a' timed out after 5s: x=1",
    ],
)
def test_prose_stays_as_it_is(text: str) -> None:
    assert hide_in_text(text) == text


@given(st.text())
def test_any_text_can_be_looked_through(text: str) -> None:
    assert isinstance(hide_in_text(text), str)


def test_a_long_text_takes_no_longer_than_it_must() -> None:
    """Many beginnings of names that never come to a value."""
    assert hide_in_text("-" * 50_000 + "token" * 20_000 + "=") is not None
