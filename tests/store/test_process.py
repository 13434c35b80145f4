"""Whether a process is known to be gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from stepwell.store.process import is_gone, this_process


def test_this_process_is_not_gone() -> None:
    assert this_process().pid == os.getpid()
    assert not is_gone(this_process())


def test_a_process_that_has_ended_is_gone() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert is_gone(this_process()._replace(pid=ended.pid))


@pytest.mark.skipif(this_process().started is None, reason="the system does not tell when a process began")
def test_a_later_process_with_the_same_number_is_another_one() -> None:
    assert is_gone(this_process()._replace(started="1"))


@pytest.mark.parametrize(
    "unknown",
    [{"machine": "another"}, {"machine": None}, {"started": None}, {"pid": 1, "started": None}, {"pid": 2**70}],
)
def test_what_cannot_be_told_is_not_gone(unknown: dict[str, str | int | None]) -> None:
    assert not is_gone(this_process()._replace(**unknown))  # type: ignore[arg-type]


def test_a_process_is_named_by_number_and_host() -> None:
    assert str(this_process()._replace(pid=7, host="here")) == "process 7 on here"
