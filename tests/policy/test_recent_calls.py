"""Error rate and latency of the calls of late."""

from __future__ import annotations

import pytest

from stepwell.base.durations import MINUTE, SECOND
from stepwell.policy.recent_calls import MOST_REMEMBERED, Figures, RecentCalls


def test_without_calls_there_are_no_figures() -> None:
    assert RecentCalls().figures(0, MINUTE) == Figures(0)


def test_figures_are_of_the_calls_within_the_window() -> None:
    recent = RecentCalls()
    recent.add(0, 100 * SECOND, failed=True)
    for number in range(1, 101):
        recent.add(SECOND, number, failed=number <= 25)
    figures = recent.figures(MINUTE, MINUTE)
    assert figures == Figures(calls=100, error_rate=0.25, latency_mean=50, latency_p95=95)
    assert recent.figures(MINUTE + SECOND, MINUTE) == Figures(0)


def test_of_one_call_every_figure_is_its_own() -> None:
    recent = RecentCalls()
    recent.add(0, 7, failed=False)
    assert recent.figures(0, MINUTE) == Figures(calls=1, error_rate=0.0, latency_mean=7, latency_p95=7)


def test_only_the_last_calls_are_remembered() -> None:
    recent = RecentCalls()
    for number in range(2 * MOST_REMEMBERED):
        recent.add(0, 1, failed=number < MOST_REMEMBERED)
    assert recent.figures(0, MINUTE).calls == MOST_REMEMBERED
    assert recent.figures(0, MINUTE).error_rate == pytest.approx(0)
