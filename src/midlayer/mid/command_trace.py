"""What SCSI logging says: a line for each event, which names the CDB.

::

    0:0:0:1 READ(10) lba=0 blocks=8 issued
    0:0:0:1 READ(10) lba=0 blocks=8 done GOOD 12 µs

| field | level | lines |
| --- | --- | --- |
| error | 1 | steps of recovery: aborts, resets, devices that go offline |
| timeout | 1 | commands that the driver did not complete in time |
| scan | 1 | devices that come and go; from 3 on, begin and end of each scan |
| mlqueue | 2 | every command that is issued to a driver |
| mlcomplete | 1 | commands that did not end in GOOD; from 2 on, every one |
| llqueue | 1 | commands that a driver refused to take |
| llcomplete | 1 | every command that a driver gives back: status, host byte and residual in numbers |

The trace covers the way between the mid level and a driver, and takes itself away again: while it is off,
a command does not meet it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from midlayer.mid.command import Command, HostByte, Result
from midlayer.mid.events import UpperDriver
from midlayer.mid.host_template import DEVICE_BUSY, HOST_BUSY, TARGET_BUSY
from midlayer.mid.logging_level import LoggingLevel

if TYPE_CHECKING:
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.recovery_step import RecoveryStep
    from midlayer.mid.subsystem import Subsystem
    from midlayer.mid.way import QueueCommand

Say = Callable[[str], None]
_Done = Callable[[Command], None]

_log = logging.getLogger("midlayer.trace")

_ISSUED, _ALL, _EACH_SCAN = 2, 2, 3
_BUSY = {DEVICE_BUSY: "DEVICE_BUSY", TARGET_BUSY: "TARGET_BUSY", HOST_BUSY: "HOST_BUSY"}


class CommandTrace(UpperDriver):
    """SCSI logging of one subsystem: off at first, and changed with `set`.

    Args:
        subsystem: Whose hosts.
        say: Takes the lines, from any thread; without it they go to the logger ``midlayer.trace``.
    """

    def __init__(self, subsystem: Subsystem, say: Say | None = None) -> None:
        self._subsystem = subsystem
        self._say = _careful(say) if say is not None else _log.info
        self._changes = threading.Lock()
        self._lock = threading.Lock()  # of the taps
        self._level = LoggingLevel()
        self._taps: dict[Host, _Tap] = {}
        self._registered = False

    @property
    def level(self) -> LoggingLevel:
        """The word that is in force."""
        return self._level

    def set(self, level: int) -> LoggingLevel:
        """Put a word in force, for commands that are issued from now on.

        Raises:
            UsageError: If it has bits that no field has.
        """
        return self.update({}, base=level)

    def update(self, levels: Mapping[str, int], *, base: int | None = None) -> LoggingLevel:
        """Change some fields of a word, of the one in force if no other is given, and put it in force.

        Raises:
            UsageError: If there is no such field, or no such level.
        """
        with self._changes:
            word = LoggingLevel(self._level if base is None else base).with_fields(levels)
            if word and not self._registered:  # at level 0, or devices that are there would be said to come
                _log.setLevel(logging.INFO)
                self._subsystem.register_upper(self)
                self._registered = True
            self._level = word
            for host in self._subsystem.hosts():
                self._tap(host)
        return word

    # What the mid level calls; see `UpperDriver`.

    def host_added(self, host: Host, *, by_resync: bool = False) -> None:
        self._tap(host)

    def host_removed(self, host: Host, *, by_resync: bool = False) -> None:
        with self._lock:
            tap = self._taps.pop(host, None)
        if tap is not None:
            tap.remove()

    def match(self, device: LogicalUnit) -> bool:
        return True

    def attach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        if self._level.field("scan"):
            self._say(f"{device.address} {device.vendor} {device.model} attached")

    def detach(self, device: LogicalUnit, *, by_resync: bool = False) -> None:
        if self._level.field("scan"):
            self._say(f"{device.address} {device.vendor} {device.model} detached")

    def recovery(self, host: Host, step: RecoveryStep) -> None:
        if self._level.field("error"):
            self._say(str(step))

    def scan_begins(self, host: Host) -> None:
        if self._level.field("scan") >= _EACH_SCAN:
            self._say(f"host {host.host_no} scan begins")

    def scan_ends(self, host: Host) -> None:
        if self._level.field("scan") >= _EACH_SCAN:
            self._say(f"host {host.host_no} scan ends")

    def _tap(self, host: Host) -> None:
        """Put a tap into the path of a host, change the one that is there, or take it away."""
        with self._lock:
            tap = self._taps.pop(host, None)
            if tap is not None:
                tap.remove()
            if _Wanted(self._level):
                self._taps[host] = _Tap(host, _Wanted(self._level), self._say)


class _Wanted:
    """Which events of a command get a line."""

    __slots__ = ("any_done", "bad_done", "given_back", "issued", "refused", "timed_out")

    def __init__(self, level: LoggingLevel) -> None:
        self.issued = level.field("mlqueue") >= _ISSUED
        self.bad_done = level.field("mlcomplete") > 0
        self.any_done = level.field("mlcomplete") >= _ALL
        self.refused = level.field("llqueue") > 0
        self.given_back = level.field("llcomplete") > 0
        self.timed_out = level.field("timeout") > 0

    def __bool__(self) -> bool:
        return self.issued or self.coming_up or self.refused or self.timed_out

    @property
    def coming_up(self) -> bool:
        """True if a command is to be met on its way up."""
        return self.bad_done or self.given_back


class _Tap:
    """Stands in the way to the devices of one host, outside of all filters."""

    __slots__ = ("host", "say", "wanted")

    def __init__(self, host: Host, wanted: _Wanted, say: Say) -> None:
        self.host = host
        self.wanted = wanted
        self.say = say
        host.way.cover(self.cover)

    def remove(self) -> None:
        self.host.way.uncover(self.cover)

    def cover(self, device: LogicalUnit, behind: QueueCommand) -> QueueCommand:
        return partial(self.queuecommand, behind)

    def queuecommand(self, behind: QueueCommand, command: Command, done: _Done) -> int:
        wanted = self.wanted
        text = str(command)
        if wanted.issued:
            self.say(f"{text} issued")
        if wanted.timed_out and not isinstance(command.on_finished, _WhenFinished):
            command.on_finished = _WhenFinished(text, command.on_finished, self.say)
        busy = behind(command, self._reporting(text, done, wanted) if wanted.coming_up else done)
        if busy and wanted.refused:
            self.say(f"{text} refused {_BUSY.get(busy, 'HOST_BUSY')}")
        return busy

    def _reporting(self, text: str, done: _Done, wanted: _Wanted) -> _Done:
        def report_and_complete(command: Command) -> None:
            # Before `done`, which may send the command on another way.
            if wanted.given_back:
                numbers = f"status={command.status:#04x} host={command.host_byte:#04x}"
                self.say(f"{text} given back {numbers} residual={command.residual}")
            if wanted.any_done or (wanted.bad_done and (command.status or command.host_byte)):
                elapsed_s = self.host.monotonic() - command.started_s
                self.say(f"{text} done {_outcome(command)} {_duration(elapsed_s)}")
            done(command)

        return report_and_complete


class _WhenFinished:
    """Hears of the end of a command, to tell a time-out, which no driver reports."""

    __slots__ = ("next", "say", "text")

    def __init__(self, text: str, following: Callable[[Command], None] | None, say: Say) -> None:
        self.text = text
        self.next = following
        self.say = say

    def __call__(self, command: Command) -> None:
        if command.host_byte == HostByte.DID_TIME_OUT:
            self.say(f"{self.text} timed out {_duration(command.duration_s)}")
        if self.next is not None:
            self.next(command)


def _careful(say: Say) -> Say:
    """Keep what a listener raises from becoming the end of a command."""

    def careful(line: str) -> None:
        try:
            say(line)
        except Exception:
            _log.exception("a line of the trace could not be said: %s", line)

    return careful


def _outcome(command: Command) -> str:
    result = Result(
        command.status,
        command.host_byte,
        0,
        command.sense_data,
        command.residual,
        0.0,
        None,
        command.device.address,
        command.cdb,
    )
    return result.outcome


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
