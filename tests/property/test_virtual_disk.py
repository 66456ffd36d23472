"""The virtual disk against a bytearray, and every virtual device against garbage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midlayer.errors import NoSuchDevice
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.lower.virtual.type_keys import Place
from midlayer.mid.command import HostByte, Result
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.mid.subsystem import Subsystem
from midlayer.standards import sbc
from midlayer.testing import FakeClock
from midlayer.upper.sg import execute

BLOCKS = 64


def disk(**keys: object) -> tuple[VirtualDriver, LogicalUnit]:
    driver = VirtualDriver(Subsystem(clock=FakeClock()))
    host = driver.add_host(HostSpec(units=(UnitSpec(**keys),), max_id=1))  # type: ignore[arg-type]
    return driver, host.devices()[0]


STEP = st.tuples(
    st.sampled_from(["read", "write", "unmap", "same", "zero", "or", "compare", "atomic", "grow"]),
    st.integers(0, BLOCKS + 2),
    st.integers(0, BLOCKS),
    st.integers(0, 255),
)


_BY_OPCODE = {"or": 0x8B, "compare": 0x89, "atomic": 0x9C}


def step(
    device: LogicalUnit, model: bytearray, what: str, lba: int, blocks: int, fill: int, size: int
) -> None:
    """Do the same to the disk and to the model."""
    fits = lba + blocks <= BLOCKS
    part = slice(lba * size, (lba + blocks) * size)
    data = b"".join((fill << 16 | at).to_bytes(4, "big") * (size // 4) for at in range(blocks))
    block = bytes([fill]) * size if what == "same" else bytes(size)
    if what == "read":
        result = execute(
            device, sbc.Read16(logical_block_address=lba, transfer_length=blocks).encode(), data_in=len(data)
        )
        assert not fits or bytes(result.data) == model[part]
    elif what == "write":
        result = execute(
            device, sbc.Write12(logical_block_address=lba, transfer_length=blocks).encode(), data_out=data
        )
    elif what == "unmap":
        ranges = [sbc.UnmapBlockDescriptor(unmap_logical_block_address=lba, number_of_logical_blocks=blocks)]
        body = sbc.encode_unmap_list(ranges)
        data = bytes(len(data))
        result = execute(device, sbc.Unmap(parameter_list_length=len(body)).encode(), data_out=body)
    elif what in _BY_OPCODE:
        opcode = _BY_OPCODE[what]
        cdb = bytes((opcode, 0)) + lba.to_bytes(8, "big") + blocks.to_bytes(4, "big") + bytes(2)
        sent = bytes(model[part]).ljust(len(data), b"\0") + data if what == "compare" else data
        result = execute(device, cdb, data_out=sent)
        if what == "or":
            data = bytes(old | new for old, new in zip(model[part], data, strict=False))
    elif what == "grow":
        device.hostdata.resize((BLOCKS + blocks) * size)
        device.hostdata.resize(BLOCKS * size)
        execute(device, bytes(6))  # the unit attention
        result, fits, data, part = execute(device, bytes(6)), True, b"", slice(0, 0)
    else:
        fits = fits and lba < BLOCKS
        part = part if blocks else slice(lba * size, BLOCKS * size)  # 0 blocks: to the end
        data = block * (blocks or max(0, BLOCKS - lba))
        cdb = sbc.WriteSame10(logical_block_address=lba, number_of_logical_blocks=blocks).encode()
        result = execute(device, cdb, data_out=block)
    assert result.ok is fits
    if fits and what != "read":
        model[part] = data


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("size", [512, 4096])
def test_the_disk_is_a_bytearray(where: str, size: int, tmp_path: Path) -> None:
    path = tmp_path / "disk" if where == "file" else None

    @settings(max_examples=40)
    @given(steps=st.lists(STEP, max_size=30))
    def run(steps: list[tuple[str, int, int, int]]) -> None:
        if path is not None:
            path.unlink(missing_ok=True)
        driver, device = disk(size=BLOCKS * size, block_size=size, thin=True, file=path)
        model = bytearray(BLOCKS * size)
        for what, lba, blocks, fill in steps:
            step(device, model, what, lba, blocks, fill, size)
        whole = execute(device, sbc.Read10(transfer_length=BLOCKS).encode(), data_in=len(model))
        assert bytes(whole.data) == model
        driver.remove_host(device.host)

    run()


KINDS: list[dict[str, object]] = [
    *[{"type": number} for number in (0x00, 0x01, 0x03, 0x04, 0x08, 0x0D, 0x14)],
    {"type": 0, "thin": True, "scsi_level": 2},
    {"type": 0, "write_protected": True},
    {"type": 0, "qualifier": 1},
    {"type": 5, "size": 2048 * 32},
    {"type": 1, "write_protected": True},
    {"type": 1, "loaded": False},
    {"type": 8, "slots": 2, "cartridges": ("A", "B"), "mail_slots": 1, "drives": (Place(0, 1, 0),)},
    {"type": 0x0D, "slots": 3, "bays": (Place(0, 1, 0), None)},
    {"type": 0x1E, "lun": 0xC101},
]
OPCODES = st.one_of(
    st.sampled_from([0x00, 0x03, 0x08, 0x0A, 0x12, 0x1A, 0x25, 0x28, 0x2A, 0x2F, 0x35, 0x41, 0x42, 0x5A, 0x88,
                     0x8A, 0x8F, 0x91, 0x93, 0x9E, 0xA0, 0xA8, 0xAA, 0xAF,
                     0x04, 0x15, 0x1C, 0x1D, 0x2E, 0x37, 0x3B, 0x3C, 0x4D, 0x55, 0x5E, 0x5F, 0x83, 0x84, 0x89,
                     0x8B, 0x9C, 0xA3, 0xA4, 0xB7,
                     0x01, 0x05, 0x10, 0x11, 0x19, 0x1B, 0x2B, 0x34, 0x44, 0x92,
                     0x07, 0xA5, 0xA6, 0xB8,
                     0x43, 0x46, 0x4A, 0x51, 0x52, 0xBB, 0xBD, 0xBE]),
    st.integers(0, 255),
)  # fmt: skip
# Mostly zeros, so that commands are not all refused for their first reserved field.
REST = st.one_of(
    st.lists(st.sampled_from([0, 0, 0, 0, 1, 2, 8, 0x10, 0xFF]), min_size=5, max_size=31).map(bytes),
    st.binary(min_size=5, max_size=259),
)


@pytest.mark.parametrize("keys", KINDS, ids=str)
def test_garbage_gets_a_result_and_touches_nothing_else(keys: dict[str, object]) -> None:
    driver = VirtualDriver(Subsystem(clock=FakeClock()))
    host = driver.add_host(HostSpec(max_cmd_len=260))
    device = driver.plug(host, UnitSpec(**{"size": 65536, **keys}))  # type: ignore[arg-type]
    neighbour = driver.plug(host, UnitSpec(target=1, size=65536))
    assert execute(neighbour, sbc.Write10(transfer_length=128).encode(), data_out=b"n" * 65536).ok

    @settings(max_examples=300)
    @given(opcode=OPCODES, rest=REST, room=st.integers(0, 5000), way=st.sampled_from(["in", "out", "none"]))
    def run(opcode: int, rest: bytes, room: int, way: str) -> None:
        guarded = bytearray(b"\xee" * (room + 64))
        window = memoryview(guarded)[32 : 32 + room]
        data = {"in": {"data_in": window}, "out": {"data_out": window}, "none": {}}[way]
        result = execute(device, bytes((opcode,)) + rest, **data)  # type: ignore[arg-type]
        assert isinstance(result, Result)
        moved = len(window) - result.residual if way != "none" else -result.residual
        assert 0 <= moved <= len(window)
        untouched = guarded[:32] + guarded[32 + (moved if way == "in" else 0) :]
        assert untouched == b"\xee" * len(untouched)
        short_write = way != "out" or opcode in (0x0A, 0x2A, 0x8A, 0xAA)
        assert result.host_byte == 0 or (result.host_byte == HostByte.DID_ERROR and short_write)

    run()
    assert host.unexpected_done == 0
    whole = execute(neighbour, sbc.Read10(transfer_length=128).encode(), data_in=65536)
    assert bytes(whole.data) == b"n" * 65536
    driver.remove_host(host)


def test_commands_while_units_come_and_go(tmp_path: Path) -> None:
    driver = VirtualDriver(Subsystem(clock=FakeClock()))
    host = driver.add_host(
        HostSpec(can_queue=4, cmd_per_lun=2, max_id=4, units=(UnitSpec(size=65536, target=3),))
    )
    subsystem, stop = host.subsystem, threading.Event()
    wrong: list[object] = []
    counts: list[int] = []
    read = sbc.Read10(transfer_length=8).encode()
    write = sbc.Write10(transfer_length=8).encode()

    def user() -> None:
        done = 0
        while not stop.is_set() or not done:
            for device in subsystem.devices():
                for result in (
                    execute(device, write, data_out=b"d" * 4096),
                    execute(device, read, data_in=4096),
                    execute(device, bytes(6)),
                ):
                    done += 1
                    known = result.ok or result.host_byte == 1 or result.status == 2
                    if not known or (result.cdb == read and result.ok and set(result.data) - {0, ord("d")}):
                        wrong.append(result)
        counts.append(done)

    def plugger() -> None:
        try:
            for turn in range(60):
                file = tmp_path / f"disk{turn % 3}" if turn % 2 else None
                spec = UnitSpec(size=65536, target=turn % 3, lun=turn % 2, file=file)
                device = driver.plug(host, spec)
                if turn % 5 == 0:
                    driver.disconnect(host, *device.address[1:])
                    subsystem.remove_device(device)
                else:
                    driver.unplug(device)
        except NoSuchDevice as error:
            wrong.append(error)
        finally:
            stop.set()

    run_all([*[user] * 8, plugger])
    assert wrong == []
    assert len(counts) == 8
    (left,) = subsystem.devices()
    assert (left.busy, host.busy, host.waiting, host.unexpected_done) == (0, 0, 0, 0)
    driver.remove_host(host)


def run_all(calls: list[Callable[[], None]]) -> None:
    """Run the calls at once, and fail if they have not all ended in five minutes."""
    threads = [
        threading.Thread(target=call, name=f"test-{number}", daemon=True) for number, call in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert [thread.name for thread in threads if thread.is_alive()] == []
