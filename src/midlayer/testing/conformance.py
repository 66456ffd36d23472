"""Does a lower-level driver keep the contract? A suite for whoever writes one.

::

    def bring_up(subsystem: Subsystem) -> Host:
        host = subsystem.host_alloc(MyDriver())
        subsystem.add_host(host)
        subsystem.scan_host(host)
        return host

    def test_my_driver() -> None:
        check_lower_driver(bring_up)

Or one test for each check: ``@pytest.mark.parametrize("check", LOWER_DRIVER_CHECKS)`` and
``check_lower_driver(bring_up, only=[check])``. Nothing is written to a medium unless ``may_write`` allows it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING

from midlayer.mid.command import HostByte, Result
from midlayer.standards.opcodes import cdb_length
from midlayer.standards.sam import Status
from midlayer.standards.sbc import Read10, ReadCapacity10, ReadCapacity10Data, Write10
from midlayer.standards.spc import Inquiry, PeripheralQualifier
from midlayer.testing.rig import BringUp, Rig, rigged
from midlayer.upper.sg import execute

if TYPE_CHECKING:
    from midlayer.mid.logical_unit import LogicalUnit

_THREADS, _COMMANDS_EACH = 4, 25
_JOIN_S = 60.0
_SEED = 0x5C51
_NO_SUCH_OPCODE = 0x0D
_MOST_READ_BLOCKS = 8


def check_lower_driver(
    bring_up: BringUp, *, only: Iterable[str] | None = None, may_write: bool = False
) -> None:
    """Run the checks, each on a host of its own.

    Args:
        bring_up: Makes a host of the driver on a subsystem, adds it and scans it. It has to have a device.
        only: Names of `LOWER_DRIVER_CHECKS`; all by default.
        may_write: True to write to media, and to read back.

    Raises:
        AssertionError: With every check that failed, and why.
    """
    failures = []
    for name in only if only is not None else LOWER_DRIVER_CHECKS:
        try:
            with rigged(bring_up, may_write=may_write) as rig:
                LOWER_DRIVER_CHECKS[name](rig)
        except AssertionError as failure:
            failures.append(f"{name}: {failure}")
    assert not failures, "\n".join(failures)


def _members(rig: Rig) -> None:
    """Members that a template has to have."""
    template, host = rig.host.template, rig.host
    assert template.name, "name is empty"
    assert template.proc_name.replace("-", "").replace("_", "").isalnum(), f"proc_name {template.proc_name!r}"
    assert host.can_queue >= 1, f"can_queue is {host.can_queue}"
    assert 6 <= host.max_cmd_len <= 260, f"max_cmd_len is {host.max_cmd_len}"
    assert "\n" not in host.info, f"info has more than one line: {host.info!r}"
    shown = template.show_info(host)
    assert shown.endswith("\n"), f"show_info does not end with a newline: {shown!r}"


def _scan(rig: Rig) -> None:
    """A scan finds devices, and each answers INQUIRY as it did in the scan."""
    assert rig.devices(), "the scan found no device"
    for device in rig.devices():
        result = _inquire(device, 36)
        assert result.ok, f"{result}"
        assert bytes(result.data) == device.inquiry_data[:36], (
            f"{device.address}: other INQUIRY data than before"
        )


def _short_buffers(rig: Rig) -> None:
    """Data is cut at the allocation length, and the residual says by how much it falls short."""
    for device in rig.devices():
        whole = bytes(_inquire(device, 255).data)
        claimed = min(whole[4] + 5, 255) if len(whole) > 4 else 5
        assert len(whole) == claimed, (
            f"{device.address} INQUIRY: {len(whole)} bytes, {claimed} bytes were to come"
        )
        for length in (0, 1, 4, 5, 35, 36, 96, 255):
            result = _inquire(device, length)
            expected = whole[:length]
            assert bytes(result.data) == expected, (
                f"{device.address} INQUIRY length={length}: {len(result.data)} bytes, residual"
                f" {result.residual}; {len(expected)} bytes were to come"
            )


def _unknown_opcode(rig: Rig) -> None:
    """A command that the device does not know ends with CHECK CONDITION, and moves nothing."""
    for device in rig.devices():
        result = execute(device, bytes((_NO_SUCH_OPCODE, 0, 0, 0, 0, 0)), data_in=16)
        assert result.status == Status.CHECK_CONDITION, f"{result}: CHECK CONDITION was to come"
        assert result.sense is not None, f"{result}: no sense data"
        assert result.residual == 16, f"{result}: residual {result.residual}, but nothing was to be moved"


def _any_opcode(rig: Rig) -> None:
    """Every operation code that has no data and harms nobody ends somehow, and the device lives on."""
    device = rig.devices()[0]
    for opcode in range(256):
        length = cdb_length(opcode)
        if opcode in _HARMFUL or length is None or length > rig.host.max_cmd_len:
            continue
        result = execute(device, bytes((opcode,)) + bytes(length - 1))
        assert result.host_byte != HostByte.DID_TIME_OUT, f"{result}: no answer"
        assert bool(result.sense_data) <= (result.status == Status.CHECK_CONDITION), (
            f"{result}: sense data without CHECK CONDITION"
        )
    assert _inquire(device, 36).ok, "the device does not answer INQUIRY any more"


def _exactly_once(rig: Rig) -> None:
    """`done` is called exactly once for each command that was accepted, from as many threads as there are."""
    _hammer(rig)
    rig.remove()
    assert rig.host.unexpected_done == 0, f"done was called {rig.host.unexpected_done} times too often"
    wrong = sum(1 for command, times in rig.accepted.items() if rig.done.get(command, 0) != times)
    assert not wrong, f"{wrong} of {len(rig.accepted)} commands were not completed exactly once"


def _concurrency(rig: Rig) -> None:
    """Many threads at once get the answers that one thread gets."""
    for device, data in _hammer(rig):
        assert data == device.inquiry_data[: len(data)], f"{device.address}: other INQUIRY data under load"


def _removal(rig: Rig) -> None:
    """The host is removed while commands are on their way: each ends, and later ones are refused."""
    devices = [device.get() for device in rig.devices()]
    started = threading.Barrier(_THREADS + 1)
    stop = threading.Event()

    def send(device: LogicalUnit) -> None:
        started.wait(_JOIN_S)
        while not stop.is_set():
            execute(device, bytes(6))

    threads = _start(send, devices)
    started.wait(_JOIN_S)
    rig.remove()
    stop.set()
    _join(threads)
    for device in devices:
        result = execute(device, bytes(6))
        assert result.host_byte == HostByte.DID_NO_CONNECT, f"{result}: DID_NO_CONNECT was to come"
        device.put()


def _life_cycle(rig: Rig) -> None:
    """Each `slave_alloc` has its `slave_destroy`, and `release` is called once, in the end."""
    early = rig.released
    rig.remove()
    assert not early, "release was called while the host was there"
    assert sorted(rig.allocated) == sorted(rig.destroyed), (
        f"slave_alloc accepted {sorted(rig.allocated)}, slave_destroy was called for {sorted(rig.destroyed)}"
    )
    assert rig.released == 1, f"release was called {rig.released} times"


def _rescan(rig: Rig) -> None:
    """A second scan changes nothing."""
    before = [str(device.address) for device in rig.devices()]
    rig.subsystem.scan_host(rig.host)
    after = [str(device.address) for device in rig.devices()]
    assert before == after, f"the first scan found {before}, the second {after}"


def _reads(rig: Rig) -> None:
    """A disk reads as many bytes as its blocks have, and nothing beyond its end."""
    for device, blocks, size in _disks(rig):
        count = min(blocks, _MOST_READ_BLOCKS)
        result = execute(device, Read10(transfer_length=count).encode(), data_in=count * size)
        assert result.ok, f"{result}"
        assert not result.residual, f"{result}: residual {result.residual}"
        beyond = execute(
            device, Read10(logical_block_address=blocks, transfer_length=1).encode(), data_in=size
        )
        assert not beyond.ok, f"{beyond}: a block beyond the end was read"


def _writes(rig: Rig) -> None:
    """What was written is read back. Only with `may_write`."""
    choose = Random(_SEED)
    for device, blocks, size in _disks(rig) if rig.may_write else ():
        count = min(blocks, _MOST_READ_BLOCKS)
        first = choose.randrange(blocks - count + 1)
        data = choose.randbytes(count * size)
        write = Write10(logical_block_address=first, transfer_length=count).encode()
        written = execute(device, write, data_out=data)
        if written.sense is not None and written.sense.key == 7:  # write protected
            continue
        assert written.ok, f"{written}"
        read = Read10(logical_block_address=first, transfer_length=count).encode()
        result = execute(device, read, data_in=len(data))
        assert bytes(result.data) == data, f"{result}: not what was written (seed {_SEED:#x})"


LOWER_DRIVER_CHECKS: Mapping[str, Callable[[Rig], None]] = {
    "members": _members,
    "scan": _scan,
    "short buffers": _short_buffers,
    "unknown opcode": _unknown_opcode,
    "any opcode": _any_opcode,
    "exactly once": _exactly_once,
    "concurrency": _concurrency,
    "removal": _removal,
    "life cycle": _life_cycle,
    "rescan": _rescan,
    "reads": _reads,
    "writes": _writes,
}
"""The checks by name; each is called with a `Rig`."""

_HARMFUL = frozenset(
    {0x04, 0x0A, 0x15, 0x1B, 0x1D, 0x1E, 0x2A, 0x2E, 0x3B, 0x3F, 0x41, 0x42, 0x48, 0x4C, 0x55, 0x5F, 0x83}
    | {0x85, 0x89, 0x8A, 0x8B, 0x8E, 0x93, 0x94, 0x9A, 0x9C, 0x9F, 0xA1, 0xA4, 0xAA, 0xAE, 0xB5}
    | set(range(0xC0, 0x100))
)
"""Operation codes that write, format, reserve or are the vendor's own: not sent without a reason."""


def _inquire(device: LogicalUnit, length: int) -> Result:
    return execute(device, Inquiry(allocation_length=length).encode(), data_in=length)


def _disks(rig: Rig) -> Iterator[tuple[LogicalUnit, int, int]]:
    """Yield the disks with the number and the size of their blocks."""
    for device in rig.devices():
        if device.type or device.standard_inquiry.peripheral_qualifier != PeripheralQualifier.CONNECTED:
            continue
        result = execute(device, ReadCapacity10().encode(), data_in=8)
        if not result.ok or len(result.data) < 8:
            continue
        data = ReadCapacity10Data.decode(bytes(result.data))
        yield device, data.returned_logical_block_address + 1, data.block_length_in_bytes


def _hammer(rig: Rig) -> list[tuple[LogicalUnit, bytes]]:
    """Send INQUIRY from many threads; return the answers."""
    answers: list[tuple[LogicalUnit, bytes]] = []

    def send(device: LogicalUnit) -> None:
        for _ in range(_COMMANDS_EACH):
            result = _inquire(device, 36)
            assert result.ok, f"{result}"
            answers.append((device, bytes(result.data)))

    _join(_start(send, rig.devices()))
    expected = _THREADS * _COMMANDS_EACH
    assert len(answers) == expected, f"{len(answers)} of {expected} commands were answered"
    return answers


def _start(target: Callable[[LogicalUnit], None], devices: list[LogicalUnit]) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=target, args=(devices[number % len(devices)],)) for number in range(_THREADS)
    ]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(_JOIN_S)
    assert not any(thread.is_alive() for thread in threads), f"commands did not end in {_JOIN_S:.0f} s"
