"""Steps of type `shell`, with real programs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from stepwell.base.durations import SECOND
from stepwell.policy.process_limits import ShellLimits
from stepwell.ports.work import TaskError
from stepwell.tasks import shell
from stepwell.tasks.shell import ShellHandler
from tests.tasks.context import PlainContext


async def call(directory: Path | None = None, limits: ShellLimits | None = None, **config: Any) -> Any:
    handler = ShellHandler(limits or ShellLimits(), directory)
    return (await handler.run(config, PlainContext())).value


async def failure(directory: Path | None = None, limits: ShellLimits | None = None, **config: Any) -> TaskError:
    with pytest.raises(TaskError) as raised:
        await call(directory, limits, **config)
    return raised.value


async def test_a_command_gives_what_it_wrote() -> None:
    assert await call(command=["printf", "%s-%s", "a b", 7]) == {"exit_code": 0, "stdout": "a b-7", "stderr": ""}


async def test_nothing_in_an_argument_is_read_by_a_shell() -> None:
    assert (await call(command=["echo", "$HOME; rm -rf x && `id`"]))["stdout"] == "$HOME; rm -rf x && `id`\n"


async def test_a_command_in_one_text_is_split_and_not_run_by_a_shell() -> None:
    assert (await call(command="echo 'a  b' $HOME"))["stdout"] == "a  b $HOME\n"


async def test_a_script_sees_its_environment_and_the_step() -> None:
    result = await call(script='echo "$WHO $STEPWELL_STEP $STEPWELL_IDEMPOTENCY_KEY"; echo warn >&2', env={"WHO": "me"})
    assert (result["stdout"], result["stderr"]) == ("me call e1/call\n", "warn\n")


async def test_the_environment_of_the_engine_is_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPWELL_SECRET_TOKEN", "hidden")
    assert "hidden" not in (await call(command="env"))["stdout"]


async def test_a_script_stops_at_its_first_failing_line() -> None:
    error = await failure(script="false\necho later")
    assert (error.type, error.retryable) == ("exit_status", True)


async def test_another_status_than_zero_is_an_error_that_shows_what_was_said() -> None:
    error = await failure(script="echo no luck >&2; exit 3")
    assert error.details == {"exit_code": 3, "stderr": "no luck\n"}
    assert str(error) == "/bin/sh ended with status 3: no luck"


async def test_a_program_that_is_not_there_is_named() -> None:
    error = await failure(command=["no-such-program-here"])
    assert error.type == "not_found"
    assert "no-such-program-here" in str(error)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"command": "a", "script": "b"},
        {"command": []},
        {"command": "'"},
        {"command": ["a", None]},
        {"command": ["a\0b"]},
        {"command": "a", "env": {"X": {}}},
        {"command": "a", "timeout": "soon"},
        {"command": "a", "unknown": 1},
    ],
)
async def test_a_wrong_configuration_runs_nothing(config: dict[str, Any]) -> None:
    assert (await failure(**config)).type == "invalid_config"


async def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    error = await failure(tmp_path, script="sleep 600 & echo $! > child; wait", timeout="200ms")
    assert (error.type, error.retryable) == ("timeout", True)
    await _gone(int((tmp_path / "child").read_text()))


async def test_a_stopped_attempt_ends_its_program(tmp_path: Path) -> None:
    task = asyncio.create_task(call(tmp_path, script="trap '' TERM; echo $$ > own; sleep 600"))
    async with asyncio.timeout(10):
        while not (tmp_path / "own").exists() or not (tmp_path / "own").read_text().strip():
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _gone(int((tmp_path / "own").read_text()))


async def test_a_program_is_asked_to_end_twice_before_it_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_ASKED_FOR", 1.0)  # machines that test are slow
    traps = "trap 'echo int >> said' INT; trap 'echo term >> said; exit' TERM"
    script = f"{traps}; touch ready; while :; do sleep 0.01 || :; done"
    task = asyncio.create_task(call(tmp_path, script=script))
    async with asyncio.timeout(10):
        while not (tmp_path / "ready").exists():
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "said").read_text().split() == ["int", "term"]


async def test_a_program_that_ends_leaves_nothing_behind_in_its_group(tmp_path: Path) -> None:
    await call(tmp_path, script="sleep 600 >/dev/null 2>&1 & echo $! > child")
    await _gone(int((tmp_path / "child").read_text()))


async def _gone(process: int) -> None:
    """Until the process has ended; a zombie that nobody has waited for has ended, too."""
    async with asyncio.timeout(10):
        while True:
            try:
                os.kill(process, 0)
                if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except (ProcessLookupError, FileNotFoundError):
                return
            await asyncio.sleep(0.01)


async def test_too_much_output_is_refused_and_the_program_ended() -> None:
    error = await failure(limits=ShellLimits(output=1_000), command=["yes"])
    assert error.type == "output_too_large"


async def test_of_standard_error_only_the_end_is_kept() -> None:
    result = await call(script="head -c 200000 /dev/zero | tr '\\0' x >&2; printf END >&2")
    assert result["stderr"].endswith("xEND")
    assert len(result["stderr"]) == 64 * 1024


async def test_a_program_gets_no_more_memory_than_allowed() -> None:
    error = await failure(limits=ShellLimits(memory=64 * 1024**2), command=["head", "-c", "200000000", "/dev/zero"])
    assert error.type in ("exit_status", "killed", "output_too_large")
    program = "x = bytearray(500_000_000)"
    error = await failure(limits=ShellLimits(memory=200 * 1024**2), command=["python3", "-c", program])
    assert error.type in ("exit_status", "killed", "not_found")


async def test_a_program_gets_no_more_processor_time_than_allowed() -> None:
    error = await failure(limits=ShellLimits(cpu=SECOND), script="while :; do :; done", timeout="30s")
    assert error.type == "killed"


async def test_a_program_writes_no_larger_file_than_allowed(tmp_path: Path) -> None:
    error = await failure(tmp_path, ShellLimits(file_size=10_240), command=["dd", "if=/dev/zero", "of=x", "count=100"])
    assert error.type in ("killed", "exit_status")
    assert (tmp_path / "x").stat().st_size <= 10_240


async def test_without_a_directory_each_gets_an_empty_folder_that_is_deleted() -> None:
    result = await call(script="ls -A; touch x; pwd")
    folder = Path(result["stdout"].strip())
    assert folder.name.startswith("stepwell-")
    assert not folder.exists()


async def test_a_folder_outside_of_the_directory_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
    (inside / "link").symlink_to(outside)
    for cwd in ("..", "/tmp", "link", "missing"):
        assert (await failure(inside, command="pwd", cwd=cwd)).type == "forbidden_path"
    assert (await failure(command="pwd", cwd="x")).type == "forbidden_path"
    assert (await call(inside, command="pwd", cwd="."))["stdout"].strip() == str(inside)
