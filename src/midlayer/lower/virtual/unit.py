"""A virtual logical unit: what it is, where its blocks are, and what its initiators have made of it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from midlayer.errors import NodeError
from midlayer.lower.virtual import saved_reservations
from midlayer.lower.virtual.answers import illegal_request, invalid_field
from midlayer.lower.virtual.attentions import (
    ASYMMETRIC_ACCESS_STATE_CHANGED,
    CAPACITY_CHANGED,
    DEVICE_RESET,
    THIN_PROVISIONING_SOFT_THRESHOLD,
    Attention,
    Attentions,
)
from midlayer.lower.virtual.changer import Changer
from midlayer.lower.virtual.disc import DiscDrive
from midlayer.lower.virtual.enclosure import Enclosure
from midlayer.lower.virtual.medium import FileMedium, Medium, MemoryMedium
from midlayer.lower.virtual.operations import Kind, Operation, Why
from midlayer.lower.virtual.port_groups import BY_COMMAND, BY_ITSELF, PortGroups
from midlayer.lower.virtual.reservations import Port, Reservations, port_of
from midlayer.lower.virtual.settings import Counters, Settings, TapeSettings, first_settings
from midlayer.lower.virtual.spec import UnitSpec
from midlayer.lower.virtual.tape import NO_MEDIUM, TapeDrive
from midlayer.lower.virtual.thin import Pool, ThinFileMedium, ThinMemoryMedium
from midlayer.lower.virtual.type_keys import Place
from midlayer.mid.clock import Clock
from midlayer.mid.command import Command, HostByte
from midlayer.mid.nexus import LOCAL, Nexus
from midlayer.standards.extended_copy import CopyStatus
from midlayer.standards.port_groups import AccessState
from midlayer.standards.spc import PeripheralDeviceType

MAX_TRANSFER_BYTES = 32 << 20
"""Most bytes that a READ, a WRITE or a VERIFY with data moves."""


class Neighbourhood:
    """What a unit may ask of the host that it hangs on. The driver's own has more to say."""

    def luns(self) -> list[int]:
        """Return the LUNs of the unit's target, in order."""
        return [0]

    def at(self, place: Place) -> VirtualUnit | None:
        """Return the unit at a place of the same host; None if there is none."""
        return None

    def find(self, naa: str) -> VirtualUnit | None:
        """Return the unit of any virtual host with this NAA designator, in hexadecimal."""
        return None


Copies = dict[tuple[Nexus, int, int], CopyStatus]
"""How EXTENDED COPY commands ended: by nexus, list identifier and the service action that will tell."""


class VirtualUnit:
    """One logical unit of a virtual host.

    The driver looks a command up in `table`. As long as nothing stands between initiators and the unit,
    that is `commands`; else it is `guard`, which looks at each command first. So that a nexus is known
    before there is something to tell it, the driver calls `meet` when a command's nexus is not `nexus`.

    Attributes:
        spec: What the configuration says of it.
        blocks: Logical blocks; 0 for a device without a medium.
        block_size: Bytes of a logical block.
        medium: Where the blocks are.
        commands: Operation code → `Handler`; what is not in it is not supported.
        table: What the driver looks commands up in.
        nexus: Where the last command came from.
        max_blocks: Most blocks in one READ or WRITE, as the Block Limits page says.
        plugged: False once it has been pulled out.
        neighbourhood: Its target and the other units.
        attentions, reservations, ports, settings, counters, copies: Parts of its state.
        enclosure: Elements and what was asked of them; an enclosure alone has it.
        tape: The drive; a tape alone has it.
        changer: Elements and cartridges; a medium changer alone has it.
        disc: Events and speed; a CD drive alone has it.
        first_settings: What `settings` are after a reset.
        not_ready: Sense key, ASC and ASCQ of why it takes no medium access commands; None if it does.
        operation: What goes on and keeps it from nearly all commands; None if nothing does.
        clock: Measures what takes time.
        may_exit_failure: After SANITIZE has failed, EXIT FAILURE MODE may help.
        prevented: Nexuses that do not want the medium removed.
        exclusive: Held by whatever writes blocks; from the first read on where that decides what is written.
        echo, buffer: What WRITE BUFFER has left; `echo` is None if nothing was written yet.
        identifying_text: What SET IDENTIFYING INFORMATION has set, by type.
        inquiry_data: What INQUIRY has answered, by all that the answer depends on; see `spc_commands`.
        read_only, write_through: What `settings` and `spec` mean for a write.
    """

    __slots__ = (
        "_guard",
        "_lock",
        "attentions",
        "block_size",
        "blocks",
        "buffer",
        "changer",
        "clock",
        "commands",
        "copies",
        "counters",
        "disc",
        "echo",
        "enclosure",
        "exclusive",
        "first_settings",
        "identifying_text",
        "inquiry_data",
        "lun_in_cdb",
        "max_blocks",
        "may_exit_failure",
        "medium",
        "neighbourhood",
        "nexus",
        "not_ready",
        "operation",
        "plugged",
        "pool",
        "ports",
        "prevented",
        "read_only",
        "reservations",
        "settings",
        "spec",
        "table",
        "tape",
        "write_through",
    )

    def __init__(
        self,
        spec: UnitSpec,
        commands: Table,
        guard: Table,
        neighbourhood: Neighbourhood,
        clock: Clock,
        *,
        has_blocks: bool,
    ) -> None:
        self.spec = spec
        self.commands = self.table = commands
        self.neighbourhood, self.clock = neighbourhood, clock
        self.block_size = spec.block_size
        self.lun_in_cdb = spec.scsi_level <= 2
        self.pool = Pool(spec.pool_size, spec.pool_threshold)
        self.medium = _medium(spec, self.pool, has_blocks=has_blocks)
        block_size = spec.block_size or 1
        self.blocks = self.medium.size_bytes // block_size
        self.max_blocks = MAX_TRANSFER_BYTES // block_size
        self.plugged = True
        self.nexus = LOCAL
        self.attentions, self.ports = Attentions(), PortGroups(spec.alua)
        self.reservations = Reservations(self._tell)
        self.first_settings, self.counters = first_settings(spec), Counters()
        self.copies: Copies = {}
        self.not_ready: Why | None = None
        self.operation: Operation | None = None
        self.may_exit_failure = False
        self.prevented: set[Nexus] = set()
        self.echo: bytes | None = None
        self.buffer = bytearray()
        self.exclusive = threading.Lock()
        self.identifying_text: dict[int, bytes] = {}
        self.inquiry_data: dict[tuple[int, int, int], bytes] = {}
        self._guard, self._lock = guard, threading.Lock()
        if spec.type == PeripheralDeviceType.ENCLOSURE_SERVICES:
            self.enclosure = Enclosure(spec, lambda slot: self.occupant(slot) is not None)
        self.attentions.meet(LOCAL)
        self.pool.on_threshold = self._at_threshold
        self.take_settings(replace(self.first_settings))
        if spec.type == PeripheralDeviceType.MEDIUM_CHANGER and not spec.qualifier:
            self.changer = Changer(spec, neighbourhood.at)
        if self.is_disc:
            self.disc = DiscDrive()
        if self.is_tape:
            self.tape = TapeDrive(spec)
            self.not_ready = NO_MEDIUM if self.tape.medium is None else None
        if has_blocks and not self.blocks:
            self.medium.close()
            raise NodeError(errno.EINVAL, f"{spec.file}: the file has not room for one block")
        if spec.file is not None and self.keeps_reservations:
            saved_reservations.load(saved_reservations.path_for(spec.file), self.reservations)
        self.regard()

    def close(self, table: Table) -> None:
        """Let go of the medium, and answer by `table` from now on."""
        with self._lock:
            self.plugged, self.table, self._guard, self.commands = False, table, table, table
            operation, self.operation = self.operation, None
        if operation is not None:
            operation.stop(HostByte.DID_NO_CONNECT)
        self.medium.close()
        if self.is_tape:
            self.tape.close()

    def meet(self, nexus: Nexus) -> None:
        """Take note that commands come from another nexus."""
        self.attentions.meet(nexus)
        self.nexus = nexus

    def nexus_lost(self, nexus: Nexus) -> None:
        """Forget what an I_T nexus loss takes away (SAM-5 6.3.4); registrations stay."""
        self.attentions.lose(nexus)
        self.prevented.discard(nexus)
        for key in [key for key in list(self.copies) if key[0] == nexus]:
            self.copies.pop(key, None)
        with self.reservations.lock:
            if self.reservations.reserved_by == nexus:
                self.reservations.reserved_by = None
        if self.nexus == nexus:
            self.nexus = LOCAL
        self.regard()

    def reset(self, attention: Attention = DEVICE_RESET) -> None:
        """Do what a logical unit reset does (SAM-5 6.3.3); persistent reservations stay.

        Args:
            attention: What initiators are told, the one that asked for the reset too.
        """
        with self.reservations.lock:
            self.reservations.reserved_by = None
        self._reset_operation()
        self.prevented.clear()
        self.copies.clear()
        self.take_settings(replace(self.first_settings))
        self.attentions.replace_all(attention)
        self.regard()

    def attend(self, attention: Attention, *, spare: Nexus | None = None) -> None:
        """Establish a unit attention condition for every nexus but `spare`."""
        self.attentions.establish(attention, spare=spare)
        self.regard()

    def regard(self) -> None:
        """Choose the table again. Whoever changes something that the guard looks at calls this afterwards."""
        with self._lock:
            watched = (
                self.attentions.pending
                or self.reservations.held
                or self.not_ready is not None
                or self.operation is not None
                or self.ports.restrict
            )
            self.table = self._guard if watched else self.commands

    def begin(self, kind: Kind, duration_s: float, *, failed: bool) -> Operation:
        """Be busy with an operation from now on.

        Args:
            kind: What it is.
            duration_s: How long it takes.
            failed: How it will have ended then.

        Raises:
            CheckCondition: Another one goes on.
        """
        with self._lock:
            if self.operation is not None:
                raise self.operation.refusal()
            operation = self.operation = Operation(
                kind, duration_s, self.clock, partial(self.conclude, kind, failed=failed)
            )
        self.regard()
        return operation

    def conclude(self, kind: Kind, *, failed: bool) -> bool:
        """Take on the state that an operation leaves; return False if it has failed."""
        with self._lock:
            self.operation = None
            self.not_ready = kind.leaves if failed else None
        self.regard()
        return not failed

    def _reset_operation(self) -> None:
        operation = self.operation
        if operation is None:
            return
        if operation.kind.outlives_reset:
            operation.reset()
            return
        operation.stop(HostByte.DID_RESET)
        self.conclude(operation.kind, failed=True)

    def resize(self, size_bytes: int) -> None:
        """Give the disk another size while it is used.

        Args:
            size_bytes: A multiple of the block size. What is cut off is lost, what is added reads as zeros.

        Raises:
            NodeError: It has no medium, or the medium can not have that size.
        """
        if size_bytes < self.block_size or size_bytes % self.block_size or not self.blocks:
            raise NodeError(errno.EINVAL, f"{size_bytes} bytes is not a size that this unit can have")
        blocks = size_bytes // self.block_size
        before = self.blocks
        try:
            # Commands must not get beyond the end of a medium that becomes shorter.
            self.blocks = min(self.blocks, blocks)
            self.medium.resize(size_bytes)
            self.blocks = blocks
            self.inquiry_data.clear()
        except OSError as error:
            self.blocks = before
            raise NodeError(error.errno, f"{self.spec.file}: {error.strerror}") from error
        self.attend(CAPACITY_CHANGED)

    def occupant(self, slot: int) -> VirtualUnit | None:
        """Return the unit in a slot of an enclosure; None if none is there."""
        bay = self.spec.bays[slot] if slot < len(self.spec.bays) else None
        return self.neighbourhood.at(bay) if bay is not None else None

    def set_access_state(self, group: int, state: AccessState, *, spare: Nexus | None = None) -> None:
        """Change the asymmetric access state of a target port group.

        Args:
            group: Its number, from 1; KeyError if there is no such group.
            state: What it is to be.
            spare: The nexus that has asked for it by a command; None if the unit does it by itself.
        """
        if group not in self.ports.numbers:
            raise KeyError(group)
        if self.ports.states[group - 1] is not state:
            self.ports.states[group - 1] = state
            self.ports.causes[group - 1] = BY_ITSELF if spare is None else BY_COMMAND
            self.attend(ASYMMETRIC_ACCESS_STATE_CHANGED, spare=spare)

    def take_settings(self, settings: Settings) -> None:
        """Go by other settings from now on."""
        self.settings = settings
        self.read_only = self.spec.write_protected or settings.swp
        self.write_through = not settings.wce

    @property
    def is_disc(self) -> bool:
        """It has a drive for CDs, `disc`."""
        return self.spec.type == PeripheralDeviceType.CD_DVD and not self.spec.qualifier

    @property
    def is_tape(self) -> bool:
        """It has a drive, `tape`."""
        return self.spec.type == PeripheralDeviceType.SEQUENTIAL_ACCESS and not self.spec.qualifier

    @property
    def tape_settings(self) -> TapeSettings:
        """The settings of a tape."""
        assert isinstance(self.settings, TapeSettings)
        return self.settings

    @property
    def keeps_reservations(self) -> bool:
        """Registrations can survive a loss of power: there is a file beside which they can be kept."""
        return self.spec.file is not None and not self.spec.write_protected

    def keep_reservations(self) -> None:
        """Write down what is to survive; called with the lock of the reservations held."""
        if self.spec.file is not None and self.keeps_reservations:
            saved_reservations.save(saved_reservations.path_for(self.spec.file), self.reservations)

    def _tell(self, port: Port, attention: Attention) -> None:
        for nexus in self.attentions.known():
            if port_of(nexus) == port:
                self.attentions.establish_for(nexus, attention)

    def _at_threshold(self) -> None:
        self.attend(THIN_PROVISIONING_SOFT_THRESHOLD)


def _medium(spec: UnitSpec, pool: Pool, *, has_blocks: bool) -> Medium:
    if not has_blocks:
        return MemoryMedium(0)
    writable = not spec.write_protected and spec.type != PeripheralDeviceType.CD_DVD
    if spec.file is not None:
        if spec.thin:
            return ThinFileMedium(spec.file, spec.size, pool, writable=writable)
        return FileMedium(spec.file, spec.size, writable=writable)
    return ThinMemoryMedium(spec.size, spec.block_size, pool) if spec.thin else MemoryMedium(spec.size)


Handler = Callable[[VirtualUnit, Command], None]
Table = Mapping[int, Handler]


class OpcodeTable(dict[int, Handler]):
    """Operation code → handler; every other code is refused, which saves the driver a question."""

    def __missing__(self, opcode: int) -> Handler:
        """Return the handler of a command that the unit does not know."""
        return _not_supported


def _not_supported(unit: VirtualUnit, command: Command) -> None:
    raise illegal_request(0x20)


class ServiceActions:
    """Handler of an operation code that has service actions: one handler for each of them.

    Attributes:
        actions: Service action → handler; what is not in it is refused.
    """

    __slots__ = ("actions",)

    def __init__(self, actions: Table) -> None:
        self.actions = actions

    def __call__(self, unit: VirtualUnit, command: Command) -> None:
        """Run the service action in byte 1 of the CDB."""
        handler = self.actions.get(command.cdb[1] & 0x1F)
        if handler is None:
            raise invalid_field(1, 4)
        handler(unit, command)
