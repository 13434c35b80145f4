"""A terminal to run commands on: a pseudo-terminal, and just enough of a screen to see what stands on it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_TOKEN = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|\x1b\][^\x07]*\x07|([\r\n\x07])|([^\x1b\r\n\x07]+)")


class Screen:
    """What stands on a terminal, scrolled-off lines included. Knows what live tables are drawn with, and no more."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines: list[str] = [""]
        self.row = 0
        self.column = 0
        self.cursor_visible = True

    def feed(self, text: str) -> None:
        for arguments, command, control, plain in _TOKEN.findall(text):
            if command:
                self._command(arguments, command)
            elif control == "\n":
                self._line_feed()
            elif control == "\r":
                self.column = 0
            else:
                for character in plain:
                    self._put(character)

    def _command(self, arguments: str, command: str) -> None:
        if command == "A":
            self.row = max(0, self.row - int(arguments or 1))
        elif command == "K":
            line = self.lines[self.row]
            self.lines[self.row] = "" if arguments == "2" else line[: self.column]
        elif command in "hl" and arguments == "?25":
            self.cursor_visible = command == "h"

    def _line_feed(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def _put(self, character: str) -> None:
        if self.column == self.columns:
            self.column = 0
            self._line_feed()
        line = self.lines[self.row].ljust(self.column)
        self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
        self.column += 1

    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


class Terminal:
    """A command on a terminal of its own."""

    def __init__(
        self, command: Sequence[str], *, columns: int, rows: int, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.screen = Screen(columns)
        self.received = ""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={"TERM": "xterm-256color", **environment},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self._undecoded = b""

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, seen: Callable[[Screen], bool], seconds: float = 20) -> None:
        """Read what the command prints until the screen shows what is wanted, or the command has ended."""
        deadline = time.monotonic() + seconds
        while not seen(self.screen):
            remaining = deadline - time.monotonic()
            assert remaining > 0, f"not seen in {seconds} s; the screen shows:\n{self.screen.text()}"
            if select.select([self._master], [], [], remaining)[0] and not self._read():
                return

    def end(self, seconds: float = 20) -> int:
        """Read the rest, and return the exit status."""
        self.read_until(lambda screen: False, seconds)
        os.close(self._master)
        return self.process.wait(seconds)

    def _read(self) -> bool:
        try:
            read = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        data = self._undecoded + read
        text = data.decode("utf-8", errors="ignore")
        self._undecoded = data[len(text.encode()) :]
        self.received += text
        self.screen.feed(text)
        return bool(read)
