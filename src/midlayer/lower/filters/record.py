"""The record filter: every command with its data and its answer, as JSON lines."""

from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from midlayer.lower.filters.filter import EVERYTHING, Done, Filter, QueueCommand, Scope
from midlayer.lower.filters.recording import VERSION, Data

if TYPE_CHECKING:
    from midlayer.mid.command import Command
    from midlayer.mid.logical_unit import LogicalUnit

_log = logging.getLogger("midlayer.filters.record")


class Writable(Protocol):
    """Where lines go: a text file, for one."""

    def write(self, text: str, /) -> object:
        """Take a line with its newline."""


class RecordFilter(Filter):
    """Writes a recording that `ReplayFilter` and `ReplayDriver` answer from.

    Attributes:
        failure: Why lines are missing: what the first failed write said; empty if none failed.

    Args:
        file: Takes the lines; the caller closes it, after the filter was removed.
        scope: For which logical units.
        hashed: True to keep hashes instead of data: small, tells nothing, and can not be replayed.
    """

    def __init__(self, file: Writable, scope: Scope = EVERYTHING, *, hashed: bool = False) -> None:
        super().__init__(scope)
        self.failure = ""
        self._file: Writable | None = file
        self._hashed = hashed
        self._lock = threading.Lock()
        self._begin_s: float | None = None
        self._number = 0
        self._devices: set[int] = set()
        self._known: list[LogicalUnit] = []  # so that no other device gets the identity of one of these
        self._down: dict[int, dict[str, Any]] = {}

    def queuecommand(self, command: Command, done: Done, behind: QueueCommand) -> int:
        number, began_s = self._goes_down(command)

        def coming_up(command: Command) -> None:
            self._comes_up(number, command, self.clock.monotonic() - began_s)
            done(command)

        command.borrows = False  # what is looked at must not be lent: to touch a page that is gone would kill
        try:
            busy = behind(command, coming_up)
        except BaseException:
            self._forget(number)
            raise
        if busy:
            self._forget(number)
        return busy

    def removed(self) -> None:
        """Write down what never came up, and nothing more."""
        with self._lock:
            for entry in self._down.values():
                self._write(entry)
            self._down.clear()
            self._file = None

    def _goes_down(self, command: Command) -> tuple[int, float]:
        now_s = self.clock.monotonic()
        out = Data.of(command.data_out) if command.data_out is not None else None
        with self._lock:
            if self._begin_s is None:
                self._begin_s = now_s
                begun = datetime.fromtimestamp(self.clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                self._write({"midlayer_recording": VERSION, "begun": begun})
            self._introduce(command.device)
            self._number += 1
            self._down[self._number] = {
                "n": self._number,
                "device": str(command.device.address),
                "at_s": round(now_s - self._begin_s, 9),
                "initiator": str(command.nexus),
                "cdb": bytes(command.cdb).hex(),
                "out": out.to_json(hashed=self._hashed) if out is not None else None,
                "in_length": len(command.data_in) if command.data_in is not None else None,
            }
            return self._number, now_s

    def _introduce(self, device: LogicalUnit) -> None:
        if id(device) in self._devices:
            return
        self._devices.add(id(device))
        self._known.append(device)
        vpd = {f"{page:02x}": data.hex() for page, data in sorted(device.vpd_pages.items())}
        self._write({"device": str(device.address), "inquiry": device.inquiry_data.hex(), "vpd": vpd})

    def _comes_up(self, number: int, command: Command, duration_s: float) -> None:
        received = None
        if command.data_in is not None:
            count = min(max(0, len(command.data_in) - command.residual), len(command.data_in))
            received = Data.of(command.data_in[:count]).to_json(hashed=self._hashed)
        with self._lock:
            entry = self._down.pop(number, None)
            if entry is None:
                return
            self._write(
                entry
                | {
                    "in": received,
                    "status": int(command.status),
                    "host_byte": int(command.host_byte),
                    "sense": bytes(command.sense_data).hex(),
                    "residual": command.residual,
                    "duration_s": round(duration_s, 9),
                }
            )

    def _forget(self, number: int) -> None:
        with self._lock:
            self._down.pop(number, None)

    def _write(self, entry: dict[str, Any]) -> None:
        """Write a line; a full disk must not become the end of a command."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
        except (OSError, ValueError) as error:
            if not self.failure:
                _log.error(
                    "recording: a line could not be written, and those after it may be missing: %s", error
                )
            self.failure = self.failure or str(error)
