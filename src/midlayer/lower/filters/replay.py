"""Answers from a recording, byte for byte and in order; a client that departs from it is told where."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from midlayer.lower.filters.filter import EVERYTHING, Done, Filter, QueueCommand, Scope
from midlayer.lower.filters.recording import Data, RecordedCommand, Recording, RecordingError
from midlayer.mid.command import Command, HostByte
from midlayer.mid.host_template import HostTemplate
from midlayer.standards.opcodes import describe_cdb

if TYPE_CHECKING:
    from collections.abc import Callable

    from midlayer.address import Address
    from midlayer.mid.host import Host
    from midlayer.mid.logical_unit import LogicalUnit
    from midlayer.mid.subsystem import Subsystem

_log = logging.getLogger("midlayer.filters.replay")


class Player:
    """The position in a recording, for each of its devices.

    A command is answered if it is the next one of its device, or one that comes later; those between were
    left out, which is a departure. Any other command is a departure too, and ends with DID_ABORT.

    Attributes:
        departures: What the client did in another way than the record, in order.

    Raises:
        RecordingError: From the constructor, if data that has to be sent was recorded as a hash only.
    """

    def __init__(self, recording: Recording, say: Callable[[str], None] | None = None) -> None:
        self.departures: list[str] = []
        self._say = say or _log.warning
        self._lock = threading.Lock()
        self._left: dict[Address, list[RecordedCommand]] = {}
        for command in recording.commands:
            if command.data_in is not None and command.data_in.content is None and command.data_in.length:
                raise RecordingError(
                    f"command {command.number}: its data was recorded as a hash, and can not be sent"
                )
            self._left.setdefault(command.address, []).append(command)

    def left(self) -> int:
        """Return how many commands of the record nobody has sent yet."""
        with self._lock:
            return sum(map(len, self._left.values()))

    def answer(self, command: Command, address: Address) -> bool:
        """Answer a command to the device that had `address` in the record; False if it never came up then."""
        with self._lock:
            left = self._left.get(address, [])
            place = next((at for at, one in enumerate(left) if _difference(one, command) is None), None)
            if place is None:
                self._depart(_departure(left[0] if left else None, command))
                command.host_byte = HostByte.DID_ABORT
                command.residual = command.requested_bytes
                return True
            for one in left[:place]:
                self._depart(
                    f"{address}: command {one.number} of the record, {describe_cdb(one.cdb)}, was left out"
                )
            recorded = left[place]
            del left[: place + 1]
        if recorded.finished:
            _fill(command, recorded)
        return recorded.finished

    def _depart(self, text: str) -> None:
        self.departures.append(text)
        self._say(text)


class ReplayFilter(Filter):
    """Answers for the devices of a recording; their drivers get no commands.

    Args:
        player: The recording; `Player.departures` says what the client did otherwise.
        scope: For which logical units.
    """

    def __init__(self, player: Player, scope: Scope = EVERYTHING) -> None:
        super().__init__(scope)
        self.player = player

    def queuecommand(self, command: Command, done: Done, behind: QueueCommand) -> int:
        if self.player.answer(command, command.device.address):
            done(command)
        else:
            self.holding.lose(command, done)
        return 0


class ReplayDriver(HostTemplate):
    """A host for each host of a recording, with its devices as they were; nothing is scanned.

    A command that never came up in the record never does here either.
    """

    name = "midlayer replay"
    proc_name = "replay"
    can_queue = 1024
    cmd_per_lun = 64
    max_cmd_len = 260
    max_channel = 255
    max_id = 65536
    max_lun = 1 << 63
    scans_itself = True
    answers_in_order = True

    def __init__(self, subsystem: Subsystem) -> None:
        self._subsystem = subsystem

    def add_hosts(
        self, recording: Recording, say: Callable[[str], None] | None = None
    ) -> tuple[list[Host], Player]:
        """Bring up the hosts of a recording.

        Returns:
            The hosts, and the player of the recording.
        """
        player = Player(recording, say)
        hosts = []
        for number in sorted({address.host for address in recording.devices}):
            host = self._subsystem.host_alloc(self)
            host.hostdata = (number, player)
            self._subsystem.add_host(host)
            hosts.append(host)
            for device in recording.devices.values():
                if device.address.host == number:
                    self._subsystem.add_reported_device(
                        host,
                        device.address._replace(host=host.host_no),
                        inquiry=device.inquiry,
                        vpd_pages=device.vpd,
                        names={},
                        session="",
                    )
        return hosts, player

    def remove_hosts(self, hosts: Iterable[Host]) -> None:
        """Take hosts down."""
        for host in hosts:
            self._subsystem.remove_host(host)
            host.put()

    # What the mid level calls; see `HostTemplate`.

    def queuecommand(self, command: Command, done: Done) -> int:
        number, player = command.device.host.hostdata
        if player.answer(command, command.device.address._replace(host=number)):
            done(command)
        return 0

    def eh_abort_handler(self, command: Command) -> int:
        return _SUCCESS

    def eh_device_reset_handler(self, command: Command) -> int:
        return _SUCCESS

    def user_scan(self, host: Host, channel: int | None, target: int | None, lun: int | None) -> bool:
        return True

    def slave_configure(self, device: LogicalUnit) -> int:
        return 0


_SUCCESS = 0x2002


def _difference(recorded: RecordedCommand, command: Command) -> str | None:
    """Return what is other about a command than in the record; None if nothing is."""
    if bytes(command.cdb) != recorded.cdb:
        return f"{describe_cdb(command.cdb)} ({bytes(command.cdb).hex()})"
    room = len(command.data_in) if command.data_in is not None else None
    if room != recorded.in_length:
        return f"room for {room or 0} bytes instead of {recorded.in_length or 0}"
    if (command.data_out is None) != (recorded.data_out is None):
        return "data for the device" if command.data_out is not None else "no data for the device"
    if command.data_out is not None and recorded.data_out is not None:
        return _other_data(recorded.data_out, bytes(command.data_out))
    return None


def _other_data(recorded: Data, sent: bytes) -> str | None:
    if len(sent) != recorded.length:
        return f"{len(sent)} bytes for the device instead of {recorded.length}"
    if recorded.content is None:
        return None if Data.of(sent).sha256 == recorded.sha256 else "other data for the device (by its hash)"
    pairs = enumerate(zip(sent, recorded.content, strict=True))
    at = next((at for at, (ours, theirs) in pairs if ours != theirs), None)
    return None if at is None else f"other data for the device, from byte {at} on"


def _departure(expected: RecordedCommand | None, command: Command) -> str:
    address = command.device.address
    if expected is None:
        return f"{address}: the record has no more commands; the client sent {describe_cdb(command.cdb)}"
    return (
        f"{address}: command {expected.number} of the record is {describe_cdb(expected.cdb)} "
        f"({expected.cdb.hex()}); the client sent {_difference(expected, command)}"
    )


def _fill(command: Command, recorded: RecordedCommand) -> None:
    command.status = recorded.status
    command.host_byte = recorded.host_byte
    command.sense_data = recorded.sense
    command.residual = recorded.residual
    data = recorded.data_in.content if recorded.data_in is not None else None
    if data and command.data_in is not None:
        if command.borrows:
            command.data_in = memoryview(data + bytes(len(command.data_in) - len(data)))
        else:
            command.data_in[: len(data)] = data
