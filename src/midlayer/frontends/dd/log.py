"""The log of a copy, by which an interrupted one is resumed.

A line of JSON says which copy it is; each line after it how many blocks are done, from the beginning and
without a gap. Before such a line is written the target has made those blocks durable, and the line itself
is, before the copy goes on: whatever kills the program, or the machine, what the log says is true.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from midlayer.frontends.dd.errors import LogMismatch, file_error
from midlayer.frontends.dd.operands import Operands

_FORMAT = "midlayer dd 1"


class ResumeLog:
    """One log, open for a copy.

    Args:
        path: The file; made if it is not there.
        operands: Those of the copy.
        block_size: Bytes of a block.
        count: Blocks of the whole copy; None if nobody knows.

    Attributes:
        done: Blocks that are done for good.
        unreadable, unwritten: Blocks that earlier runs gave up.

    Raises:
        LogMismatch: If the log is of another copy.
        NodeError: If it can not be opened or written.
    """

    def __init__(self, path: Path, operands: Operands, block_size: int, count: int | None) -> None:
        self._path = path
        self.done = 0
        self.unreadable: list[int] = []
        self.unwritten: list[int] = []
        copy = {
            "format": _FORMAT,
            "if": operands.source,
            "of": operands.target,
            "bs": block_size,
            "skip": operands.skip,
            "seek": operands.seek,
            "count": count,
        }
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise file_error(str(path), error) from None
        try:
            self._take_up(copy)
        except BaseException:
            self.close()
            raise

    def mark(self, done: int, unreadable: list[int], unwritten: list[int]) -> None:
        """Remember that the first `done` blocks are durable."""
        if done > self.done:
            self.done = done
            self._write({"done": done, "unreadable": unreadable, "unwritten": unwritten})

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _take_up(self, copy: dict[str, Any]) -> None:
        lines = self._lines()
        if not lines:
            self._write(copy)
            self._sync_directory()
            return
        if lines[0] != copy:
            differences = ", ".join(
                f"{key}={lines[0].get(key)}" for key in copy if lines[0].get(key) != copy[key]
            )
            raise LogMismatch(
                f"dd: resume={self._path}: the log of another copy ({differences}); "
                "give the operands of that copy, or remove the file"
            )
        if len(lines) > 1:
            last = lines[-1]
            self.done, self.unreadable, self.unwritten = last["done"], last["unreadable"], last["unwritten"]

    def _lines(self) -> list[dict[str, Any]]:
        """Return the whole lines, and cut off one that the writer did not finish."""
        with open(self._path, "rb") as file:
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        lines = read_lines(whole)
        if lines is None:
            raise LogMismatch(
                f"dd: resume={self._path}: not the log of a copy; remove the file, or name another"
            )
        os.ftruncate(self._fd, len(whole))
        os.lseek(self._fd, 0, os.SEEK_END)
        return lines

    def _write(self, line: dict[str, Any]) -> None:
        try:
            os.write(self._fd, json.dumps(line).encode() + b"\n")
            os.fdatasync(self._fd)
        except OSError as error:
            raise file_error(str(self._path), error) from None

    def _sync_directory(self) -> None:
        """Make the name of a new file durable as well."""
        fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def read_lines(text: bytes) -> list[dict[str, Any]] | None:
    """Return the lines of a log, or None if it is none."""
    try:
        lines = [json.loads(line) for line in text.splitlines()]
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(line, dict) for line in lines):
        return None
    return lines if all(_is_mark(line) for line in lines[1:]) else None


def _is_mark(line: dict[str, Any]) -> bool:
    lists = [line.get("unreadable"), line.get("unwritten")]
    return _is_count(line.get("done")) and all(
        isinstance(blocks, list) and all(_is_count(block) for block in blocks) for blocks in lists
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
