"""How texts are kept that PostgreSQL would refuse."""

from __future__ import annotations

from hypothesis import given as for_all
from hypothesis import strategies as st

from stepwell.store.postgres.texts import digest_of, given, kept

any_text = st.text(st.sampled_from("\0\1\2\3aé\U0001f600") | st.characters(exclude_categories=["Cs"]), max_size=12)


@for_all(any_text)
def test_every_text_comes_back_as_it_was_and_is_kept_without_nul(text: str) -> None:
    assert "\0" not in kept(text)
    assert given(kept(text)) == text


@for_all(any_text, any_text)
def test_one_text_contains_another_exactly_if_it_does_in_the_form_in_which_they_are_kept(one: str, other: str) -> None:
    assert (kept(other) in kept(one)) == (other in one)


def test_no_text_is_no_text() -> None:
    assert kept(None) is None
    assert given(None) is None


many_texts = st.lists(st.text(st.sampled_from("a1:\0"), max_size=3), max_size=3)


@for_all(many_texts, many_texts)
def test_the_digests_of_different_texts_differ(some: list[str], others: list[str]) -> None:
    assert len(digest_of(*some)) == 32
    assert (digest_of(*some) == digest_of(*others)) == (some == others)
