"""Functions that block: where they run, and how they are stopped."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from stepwell.ports.work import TaskContext
from stepwell.worker.threads import Stopped, ThreadPool
from tests.conformance.dispatcher import PATIENCE, SECOND, assignment
from tests.worker.harness import LocalHarness

colour: contextvars.ContextVar[str] = contextvars.ContextVar("colour")


def in_thread(function: Callable[[], Any]) -> Any:
    """Work that calls a function in a thread."""

    async def work(config: Any, context: TaskContext) -> Any:
        return await context.run_sync(function)

    return work


async def begun(event: threading.Event) -> None:
    """Return when a thread has set the event."""
    assert await asyncio.get_running_loop().run_in_executor(None, event.wait, PATIENCE)


async def ended(thread: threading.Thread) -> None:
    """Return when a thread is over."""
    await asyncio.get_running_loop().run_in_executor(None, thread.join, PATIENCE)
    assert not thread.is_alive()


async def test_a_function_runs_in_a_daemon_thread_with_its_arguments_and_context() -> None:
    pool = ThreadPool()
    colour.set("blue")

    def tell(*args: int, **kwargs: int) -> tuple[Any, ...]:
        thread = threading.current_thread()
        return thread is not threading.main_thread(), thread.daemon, colour.get(), args, kwargs

    assert await pool.run(tell, 1, 2, x=3) == (True, True, "blue", (1, 2), {"x": 3})
    pool.close()


async def test_an_exception_comes_out_as_it_was_raised() -> None:
    pool = ThreadPool()
    error = LookupError("x")

    def fail() -> None:
        raise error

    with pytest.raises(LookupError) as raised:
        await pool.run(fail)
    assert raised.value is error
    with pytest.raises(RuntimeError, match="StopIteration"):
        await pool.run(next, iter(()))
    pool.close()


async def test_a_free_thread_is_used_again() -> None:
    pool = ThreadPool()
    threads = []
    for _ in range(20):
        threads.append(await pool.run(threading.current_thread))
        while not pool._free._value:
            await asyncio.sleep(0)
    assert len(set(threads)) == 1
    pool.close()
    await ended(threads[0])


async def test_as_many_threads_run_as_there_are_functions() -> None:
    pool = ThreadPool()
    together = threading.Barrier(20)
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(pool.run(together.wait, PATIENCE) for _ in range(20)))
    pool.close()


async def test_an_idle_thread_ends_after_a_while() -> None:
    pool = ThreadPool(idle_seconds=0.01)
    thread = await pool.run(threading.current_thread)
    await ended(thread)
    assert await pool.run(threading.current_thread) is not thread
    pool.close()


async def test_a_function_past_its_timeout_does_not_go_on() -> None:
    entered, effects, threads = threading.Event(), [], []
    gate = threading.Lock()
    gate.acquire()

    def work() -> None:
        threads.append(threading.current_thread())
        entered.set()
        gate.acquire()  # blocks in C code, where nothing can be raised
        effects.append("went on")

    harness = LocalHarness(in_thread(work))
    harness.dispatcher.dispatch(assignment(timeout=SECOND))
    await harness.rest()
    await begun(entered)
    await harness.advance(SECOND)
    assert [each.error.type for each in harness.reports if each.error] == ["timeout"]
    gate.release()
    await ended(threads[0])
    assert effects == []
    await harness.worker.close()


async def test_a_function_that_computes_without_end_is_stopped() -> None:
    entered, threads = threading.Event(), []

    def work() -> None:
        threads.append(threading.current_thread())
        entered.set()
        while True:
            pass

    harness = LocalHarness(in_thread(work))
    harness.dispatcher.dispatch(assignment())
    await harness.rest()
    await begun(entered)
    harness.dispatcher.stop(assignment().id)
    await ended(threads[0])
    await harness.rest()
    assert harness.reports == []
    await harness.worker.close()


async def test_a_function_may_clean_up_when_it_is_stopped() -> None:
    entered, cleaned = threading.Event(), threading.Event()

    def work() -> None:
        try:
            entered.set()
            while True:
                pass
        except Exception:
            raise AssertionError("stopping is not an error to be handled") from None
        finally:
            cleaned.set()

    pool = ThreadPool()
    call = asyncio.create_task(pool.run(work))
    await asyncio.sleep(0)
    await begun(entered)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await begun(cleaned)


async def test_a_stopped_function_that_goes_on_regardless_does_not_disturb_others() -> None:
    entered, go_on, threads = threading.Event(), threading.Event(), []

    def defiant() -> str:
        threads.append(threading.current_thread())
        entered.set()
        try:
            while True:
                pass
        except Stopped:
            go_on.wait(PATIENCE)
        return "late"

    pool = ThreadPool()
    call = asyncio.create_task(pool.run(defiant))
    await asyncio.sleep(0)
    await begun(entered)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    replacement = await pool.run(threading.current_thread)
    assert replacement is not threads[0]
    go_on.set()
    await ended(threads[0])
    assert await pool.run(lambda: "fine") == "fine"
    pool.close()


async def test_a_function_that_was_stopped_before_it_began_never_begins() -> None:
    called = False

    def work() -> None:
        nonlocal called
        called = True

    pool = ThreadPool(idle_seconds=0.001)
    serve, waiting = pool._serve, []
    pool._serve = lambda: waiting.append(serve)  # type: ignore[method-assign]
    call = asyncio.create_task(pool.run(work))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    waiting[0]()
    assert not called


async def test_functions_stopped_at_any_moment_never_harm_the_next_ones() -> None:
    pool = ThreadPool()

    def work(number: int) -> int:
        return sum(range(number))

    survivors = 0
    for round_ in range(300):
        victim = asyncio.create_task(pool.run(work, round_ * 7 % 400))
        for _ in range(round_ % 4):
            await asyncio.sleep(0)
        victim.cancel()
        assert await pool.run(work, 10) == 45
        await asyncio.gather(victim, return_exceptions=True)
        survivors += 1
    assert survivors == 300
    pool.close()


async def test_a_thread_that_cannot_be_had_is_an_error_and_the_function_does_not_run_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[str] = []

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = ThreadPool()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            await pool.run(called.append, "refused")
    await pool.run(called.append, "other")
    assert called == ["other"]
    pool.close()


def test_a_function_that_hangs_does_not_hold_the_process() -> None:
    program = """
import asyncio, threading
from stepwell.worker.threads import ThreadPool
async def main():
    entered = threading.Event()
    def hang():
        entered.set()
        threading.Lock().acquire() or threading.Event().wait()
    call = asyncio.create_task(ThreadPool().run(hang))
    await asyncio.sleep(0)
    entered.wait()
asyncio.run(main())
print("over")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
