"""One shell for a page: commands are typed into it one after the other, and what they print is read."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

from .pages import ROOT

SOON_S = 120.0
WILD = "…"
_CHANCE = [
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3,6}"), "TIME"),
    (re.compile(r"\b\d\d-\d\d \d\d:\d\d:\d\d"), "DATE"),
    (re.compile(r"\b\d+(\.\d+)? (µs|ms|s)\b"), "SECONDS"),
    (re.compile(r"\b[\d.]+ [KMGT]iB/s"), "SPEED"),
    (re.compile(r"\b\d+ answers"), "MANY answers"),
    (re.compile(r"\b\d+ times?"), "MANY times"),
    (re.compile(r" {3,}"), "  "),  # columns are as wide as what stands in them
]
"""What differs from run to run, and what stands for it in both texts."""


class Shell:
    """A shell in a directory of its own, with the examples of the checkout and ``midlayer`` in its path."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "examples").symlink_to(ROOT / "examples")
        self._mark = secrets.token_hex(8)
        self._status = 0
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=self._environment(),
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        programs = self.directory / "bin"
        programs.mkdir()
        midlayer = programs / "midlayer"
        midlayer.write_text(f'#!/bin/sh\nexec {sys.executable} -m midlayer "$@"\n')
        midlayer.chmod(0o755)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MIDLAYER_")}
        path = f"{programs}:{os.environ['PATH']}:/usr/sbin"
        own = {"PATH": path, "COLUMNS": "110", "LC_ALL": "C.UTF-8"}
        return kept | own | {"MIDLAYER_SOCKET": str(self.directory / "page.sock")}  # never the user's daemon

    def run(self, command: str) -> tuple[list[str], int]:
        """Type a command; return the lines that it printed, and its exit status."""
        assert self._process.stdin is not None
        typed = f"(exit {self._status})\n{{ {command}\n}} </dev/null\nprintf '\\n%s %s\\n' {self._mark} $?\n"
        self._process.stdin.write(typed.encode())
        self._process.stdin.flush()
        watchdog = threading.Timer(SOON_S, self._kill)
        watchdog.start()
        try:
            lines = self._read()
        finally:
            watchdog.cancel()
            watchdog.join()
        return lines, self._status

    def _read(self) -> list[str]:
        assert self._process.stdout is not None
        lines: list[str] = []
        while line := self._process.stdout.readline().decode():
            if line.startswith(self._mark):
                self._status = int(line.split()[1])
                return lines[:-1] if lines and not lines[-1] else lines
            lines.append(line.rstrip())
        raise AssertionError("the shell ended, or a command did not:\n" + "\n".join(lines))

    def _kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End what runs in the background, and the shell."""
        try:
            self.run("kill $(jobs -p) 2>/dev/null; wait")
        finally:
            self._kill()
            self._process.wait(SOON_S)
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()


def masked(line: str) -> str:
    """Return a line without what differs from run to run."""
    for pattern, word in _CHANCE:
        line = pattern.sub(word, line)
    return line.rstrip()


def agree(shown: list[str], printed: list[str]) -> bool:
    """Whether a page shows what was printed: ``…`` stands for any text, and alone for any number of lines."""
    parts = [
        r"(?:.*\n)*" if line.strip() == WILD else re.escape(masked(line)).replace(WILD, ".*") + r"\n"
        for line in shown
    ]
    return re.fullmatch("".join(parts), "".join(f"{masked(line)}\n" for line in printed)) is not None
