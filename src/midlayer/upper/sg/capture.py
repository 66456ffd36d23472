"""Capture: ask a device everything that identifies and describes it, and keep its answers as a twin.

Only commands that read descriptions are sent; no user data is read, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from midlayer.layout import LayoutError
from midlayer.mid.command import Result
from midlayer.standards import mode
from midlayer.standards.opcodes import Opcode
from midlayer.standards.sam import Status
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import (
    Inquiry,
    LogSense,
    ModeSense6,
    ModeSense10,
    PeripheralDeviceType,
    ReportLuns,
    ReportSupportedOperationCodes,
    decode_supported_opcodes,
)
from midlayer.twin import ALLOCATION_LENGTHS, Answer, Twin, key_of
from midlayer.upper.sg.masking import masked

TIMEOUT_S = 20.0
_ATTENTIONS_CLEARED = 8
_LONG = 0xFFFC
"""Scsi_debug, for one, refuses 64 KiB and more."""
_NOT_LISTED = 0x3E
"""A page code that no standard uses, neither for VPD nor for mode or log pages."""

_Type = PeripheralDeviceType
_WITH_CAPACITY = frozenset(
    {
        _Type.DIRECT_ACCESS,
        _Type.CD_DVD,
        _Type.OPTICAL_MEMORY,
        _Type.SIMPLIFIED_DIRECT_ACCESS,
        _Type.HOST_MANAGED_ZONED_BLOCK,
    }
)


class Asked(Protocol):
    """What a command is sent to: `midlayer.open_device` returns one."""

    def execute(self, cdb: bytes, *, data_in: int | None = None, timeout_s: float = TIMEOUT_S) -> Result:
        """Send one command."""


def capture(
    device: Asked,
    *,
    captured_at: str = "",
    mask_serials: bool = False,
    progress: Callable[[int], object] = lambda commands: None,
) -> Twin:
    """Return the twin of a device.

    Args:
        device: What to ask.
        captured_at: Text for the document.
        mask_serials: True to put other characters in the place of serial numbers and names, of the same
            length and the same everywhere.
        progress: Called with the number of commands that were sent.

    Raises:
        CommandError: If the device does not answer INQUIRY.
    """
    asker = _Asker(device, progress)
    inquiry = asker.inquiry()
    for question in (_vpd_pages, _mode_pages, _log_pages, _target, _opcodes, *_BY_TYPE.get(inquiry, ())):
        question(asker)
    if inquiry in _WITH_CAPACITY:
        _capacity(asker)
    twin = Twin(answers=asker.answers, refusals=asker.refusals, captured_at=captured_at)
    return masked(twin) if mask_serials else twin


class _Asker:
    """Sends commands, and keeps what they were answered with."""

    def __init__(self, device: Asked, progress: Callable[[int], object]) -> None:
        self._device = device
        self._progress = progress
        self._commands = 0
        self.answers: dict[bytes, Answer] = {}
        self.refusals: dict[int, Answer] = {}

    def inquiry(self) -> int:
        """Ask for standard INQUIRY data and readiness; return the peripheral device type."""
        first = self._send(Inquiry(allocation_length=36).encode(), 36).raise_for_status()
        length = max(36, min(first.data[4] + 5, 0xFF) if len(first.data) > 4 else 36)
        self.ask(Inquiry(allocation_length=length).encode()) if length > 36 else self._keep(first)
        for _ in range(_ATTENTIONS_CLEARED):
            ready = self._send(bytes(6), None)
            sense = ready.sense
            if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
                self._keep(ready)
                break
        return first.data[0] & 0x1F

    def ask(self, cdb: bytes, fixed_length: int | None = None) -> bytes:
        """Send a command and keep the answer; return the data, empty if it was refused.

        Args:
            cdb: Its allocation length is filled in here, if it has one.
            fixed_length: Length of the data of a command without an allocation length.
        """
        place = ALLOCATION_LENGTHS.get(cdb[0])
        length = fixed_length
        if place is not None:
            width = place.stop - place.start
            length = 0xFC if width == 1 else _LONG
            if cdb[0] in (Opcode.INQUIRY, Opcode.SERVICE_ACTION_IN_16):  # old devices take one byte, or 32
                length = int.from_bytes(cdb[place], "big") or 0xFC
            cdb = cdb[: place.start] + length.to_bytes(width, "big") + cdb[place.stop :]
        result = self._send(cdb, length)
        return self._keep(result) if not result.host_byte else b""

    def refusal(self, cdb: bytes) -> None:
        """Ask for something that the device does not have, and keep how it says so."""
        result = self._send(cdb, 0xFC if ALLOCATION_LENGTHS.get(cdb[0]) else None)
        if result.status == Status.CHECK_CONDITION:
            self.refusals[cdb[0]] = Answer(b"", int(result.status), result.sense_data)

    def _send(self, cdb: bytes, length: int | None) -> Result:
        self._commands += 1
        self._progress(self._commands)
        result = self._device.execute(cdb, data_in=length, timeout_s=TIMEOUT_S)
        sense = result.sense
        if sense is not None and sense.key == SenseKey.UNIT_ATTENTION and any(cdb):  # it came in between
            result = self._device.execute(cdb, data_in=length, timeout_s=TIMEOUT_S)
        return result

    def _keep(self, result: Result) -> bytes:
        data = bytes(result.data) if result.status == Status.GOOD else b""
        self.answers[key_of(result.cdb)] = Answer(data, int(result.status), result.sense_data)
        return data


def _vpd_pages(asker: _Asker) -> None:
    listed = asker.ask(Inquiry(evpd=True, page_code=0, allocation_length=0xFC).encode())
    for code in listed[4:]:
        head = asker.ask(Inquiry(evpd=True, page_code=code, allocation_length=0xFC).encode())
        length = int.from_bytes(head[2:4], "big") + 4
        if len(head) >= 4 and length > 0xFC:
            asker.ask(Inquiry(evpd=True, page_code=code, allocation_length=length).encode())
    asker.refusal(Inquiry(evpd=True, page_code=_NOT_LISTED, allocation_length=0xFC).encode())


def _mode_pages(asker: _Asker) -> None:
    for command, long in ((ModeSense6, False), (ModeSense10, True)):
        found = {(0x3F, 0), (0x3F, 0xFF), (0, 0)}
        everything = asker.ask(_mode_sense(command, 0x3F, 0xFF)) or asker.ask(_mode_sense(command, 0x3F, 0))
        found |= set(_pages_in(everything, ten=long))
        for page, subpage in sorted(found):
            for control in range(4):
                for dbd in (False, True):
                    asker.ask(_mode_sense(command, page, subpage, control, dbd=dbd))
        asker.refusal(_mode_sense(command, _NOT_LISTED, 0))


def _mode_sense(
    command: type[ModeSense6 | ModeSense10], page: int, subpage: int, control: int = 0, *, dbd: bool = False
) -> bytes:
    return command(
        page_code=page, subpage_code=subpage, page_control=control, dbd=dbd, allocation_length=0xFC
    ).encode()


def _pages_in(data: bytes, *, ten: bool) -> Iterator[tuple[int, int]]:
    try:
        pages = mode.decode_mode_sense(data, ten).pages if data else ()
    except LayoutError:  # a device whose mode data makes no sense has no pages that could be told apart
        pages = ()
    for page in pages:
        yield page.page, page.subpage


def _log_pages(asker: _Asker) -> None:
    listed = asker.ask(_log_sense(0, 0))
    pairs = [(code & 0x3F, 0) for code in listed[4:]]
    with_subpages = asker.ask(_log_sense(0, 0xFF))
    pairs += [(with_subpages[at] & 0x3F, with_subpages[at + 1]) for at in range(4, len(with_subpages) - 1, 2)]
    for page, subpage in dict.fromkeys(pairs):
        for control in (0, 1):
            asker.ask(_log_sense(page, subpage, control))
    asker.refusal(_log_sense(_NOT_LISTED, 0))


def _log_sense(page: int, subpage: int, control: int = 1) -> bytes:
    return LogSense(
        page_code=page, subpage_code=subpage, page_control=control, allocation_length=_LONG
    ).encode()


def _target(asker: _Asker) -> None:
    for select in range(3):
        asker.ask(ReportLuns(select_report=select, allocation_length=_LONG).encode())
    for action in (0x0A, 0x2A, 0x0D):  # REPORT TARGET PORT GROUPS, with its header; REPORT SUPPORTED TMFS
        asker.ask(bytes((Opcode.MAINTENANCE_IN, action)) + bytes(10))


def _opcodes(asker: _Asker) -> None:
    asker.ask(ReportSupportedOperationCodes(rctd=True, allocation_length=_LONG).encode())
    listed = asker.ask(ReportSupportedOperationCodes(allocation_length=_LONG).encode())
    try:
        commands = decode_supported_opcodes(listed) if listed else []
    except LayoutError:
        commands = []
    for command in commands:
        action = command.service_action
        for options in (1 if action is None else 2, 3):
            cdb = ReportSupportedOperationCodes(
                reporting_options=options,
                requested_operation_code=command.opcode,
                requested_service_action=action or 0,
                allocation_length=_LONG,
            )
            asker.ask(cdb.encode())


def _capacity(asker: _Asker) -> None:
    asker.ask(bytes((Opcode.READ_CAPACITY_10,)) + bytes(9), 8)
    asker.ask(bytes((Opcode.SERVICE_ACTION_IN_16, 0x10)) + bytes(11) + b"\x20" + bytes(2))


def _cd(asker: _Asker) -> None:
    asker.ask(bytes((Opcode.GET_CONFIGURATION,)) + bytes(9))
    asker.ask(bytes((Opcode.READ_DISC_INFORMATION,)) + bytes(9))
    for form in (0, 1):
        for msf in (0, 2):
            asker.ask(bytes((Opcode.READ_TOC_PMA_ATIP, msf, form)) + bytes(7))


def _tape(asker: _Asker) -> None:
    asker.ask(bytes((Opcode.READ_BLOCK_LIMITS,)) + bytes(5), 6)
    asker.ask(bytes((Opcode.READ_POSITION,)) + bytes(9), 20)
    for media in (0, 1):
        asker.ask(bytes((Opcode.REPORT_DENSITY_SUPPORT, media)) + bytes(8))


def _changer(asker: _Asker) -> None:
    for tags in (0, 0x10):
        asker.ask(bytes((Opcode.READ_ELEMENT_STATUS, tags, 0, 0, 0xFF, 0xFF)) + bytes(6))


def _enclosure(asker: _Asker) -> None:
    listed = asker.ask(bytes((Opcode.RECEIVE_DIAGNOSTIC_RESULTS, 1, 0)) + bytes(3))
    for code in listed[4:]:
        asker.ask(bytes((Opcode.RECEIVE_DIAGNOSTIC_RESULTS, 1, code)) + bytes(3))
    asker.refusal(bytes((Opcode.RECEIVE_DIAGNOSTIC_RESULTS, 1, 0xEE, 0, 0xFC, 0)))


_BY_TYPE: Mapping[int, tuple[Callable[[_Asker], None], ...]] = {
    _Type.CD_DVD: (_cd,),
    _Type.SEQUENTIAL_ACCESS: (_tape,),
    _Type.MEDIUM_CHANGER: (_changer,),
    _Type.ENCLOSURE_SERVICES: (_enclosure,),
}
