"""What a program that a step runs may use of the machine."""

from __future__ import annotations

import msgspec

from stepwell.base.durations import SECOND


class ShellLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a program may use.

    Attributes:
        cpu: processor time, in microseconds; rounded up to a second.
        memory: address space, in bytes.
        file_size: of any file that it writes, in bytes.
        open_files: at once.
        output: what it may write to standard output, in bytes.
        timeout: for a step that says nothing about it, in microseconds.
    """

    cpu: int = 60 * SECOND
    memory: int = 2 * 1024**3
    file_size: int = 1024**3
    open_files: int = 256
    output: int = 1024**2
    timeout: int = 60 * SECOND
