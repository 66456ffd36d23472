"""Sessions on real devices: sg's write and read with many commands on their way."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import midlayer
from midlayer import HostByte, Request
from midlayer.standards.sbc import Read10, Write10
from midlayer.standards.spc import TestUnitReady

from .eventually import eventually
from .nodes import ready_node
from .scsi_debug import ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]
DEPTH, BLOCK = 32, 512
SLOW_S = 2.0
"""While a command takes that long even a slow machine has done what is to be done meanwhile."""


def sg_node(debug: ScsiDebug, delay_s: float | None = None) -> str:
    """Return the node of the disk, whose commands take a while from now on."""
    (device,) = eventually(debug.devices)
    path = ready_node(device)
    if delay_s is not None:
        debug.slow_down(delay_s)
    return path


def busy(debug: ScsiDebug) -> int:
    (device,) = debug.devices()
    return int((device / "device_busy").read_text())


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves descriptors of an sg node, or threads of ours."""
    yield
    left = [link for link in map(_link, Path("/proc/self/fd").iterdir()) if link.startswith("/dev/sg")]
    assert left == []
    assert [one.name for one in threading.enumerate() if one.name.startswith("midlayer")] == []


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def test_32_commands_are_on_their_way_at_once_and_every_result_comes(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(dev_size_mb=4, max_queue=192)
    path = sg_node(debug, 0.2)
    content = random.Random(32).randbytes(512 * BLOCK)
    with midlayer.open_device(path) as device, device.session(depth=DEPTH) as session:
        writes = session.submit(
            Request(
                Write10(logical_block_address=at * 4, transfer_length=4).encode(),
                data_out=content[at * 4 * BLOCK : (at + 1) * 4 * BLOCK],
            )
            for at in range(128)
        )
        assert {pack_id: result.ok for pack_id, result in session} == dict.fromkeys(writes, True)
        debug.slow_down(SLOW_S)
        reads = session.submit(
            Request(Read10(logical_block_address=at * 4, transfer_length=4).encode(), data_in=4 * BLOCK)
            for at in range(128)
        )
        eventually(lambda: busy(debug) >= DEPTH, interval_s=0.001)
        came = {pack_id: bytes(result.data) for pack_id, result in session}
        unit = device.logical_unit.hostdata
        assert unit.channels.opened == 2
    assert sorted(came) == reads
    assert b"".join(came[pack_id] for pack_id in reads) == content


def test_results_come_by_pack_id(scsi_debug: LoadScsiDebug) -> None:
    path = sg_node(scsi_debug(ndelay=200_000))
    with midlayer.open_device(path) as device, device.session(depth=DEPTH) as session:
        cdbs = [Read10(logical_block_address=at, transfer_length=1).encode() for at in range(DEPTH)]
        pack_ids = session.submit(Request(cdb, data_in=BLOCK) for cdb in cdbs)
        for pack_id, cdb in reversed(list(zip(pack_ids, cdbs, strict=True))):
            received, result = session.receive(pack_id, timeout_s=60)
            assert (received, result.cdb, result.ok) == (pack_id, cdb, True)


def test_errors_are_results(scsi_debug: LoadScsiDebug) -> None:
    path = sg_node(scsi_debug(opts=2))
    with midlayer.open_device(path) as device, device.session() as session:
        bad = Read10(logical_block_address=0x1234, transfer_length=1).encode()
        beyond = Read10(logical_block_address=0xFFFFFFF0, transfer_length=1).encode()
        session.submit(
            [Request(bad, data_in=BLOCK), Request(beyond, data_in=BLOCK), TestUnitReady().encode()]
        )
        outcomes = {pack_id: result.outcome for pack_id, result in session}
    assert "unrecovered read error (3/11/00)" in outcomes[0]
    assert "(5/21/00)" in outcomes[1]
    assert outcomes[2] == "GOOD"


def test_the_kernel_ends_a_command_in_time(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(max_queue=192)
    path = sg_node(debug)
    debug.set("ndelay", 0)
    debug.set("every_nth", -1)
    debug.set("opts", 4)  # SDEBUG_OPT_TIMEOUT: every command is forgotten
    with midlayer.open_device(path) as device, device.session() as session:
        session.submit([Request(TestUnitReady().encode(), timeout_s=0.3)])
        debug_off = threading.Timer(0.6, lambda: debug.set("opts", 0))
        debug_off.start()
        _, result = session.receive(timeout_s=60)
        debug_off.join()
    assert result.host_byte in (HostByte.DID_TIME_OUT, HostByte.DID_ABORT)


def test_an_abort_ends_one_command_and_no_other(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(max_queue=192)
    path = sg_node(debug, SLOW_S)
    with midlayer.open_device(path) as device, device.session(depth=DEPTH) as session:
        buffers = [bytearray(b"\xaa" * BLOCK) for _ in range(4)]
        cdb = Read10(transfer_length=1).encode()
        session.submit(Request(cdb, data_in=buffer) for buffer in buffers)
        assert session.abort(1)
        assert session.receive(timeout_s=0)[0] == 1
        results = dict(session)
    assert [result.ok for result in results.values()] == [True] * 3
    assert bytes(buffers[1]) == b"\xaa" * BLOCK
    assert all(bytes(buffers[at]) == bytes(BLOCK) for at in (0, 2, 3))


def test_leaving_by_an_exception_leaves_nothing(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(max_queue=192)
    path = sg_node(debug, SLOW_S)
    cdb = Read10(transfer_length=1).encode()
    with midlayer.open_device(path) as device:
        session = device.session(depth=DEPTH)
        session.submit(Request(cdb, data_in=BLOCK) for _ in range(100))
        eventually(lambda: busy(debug) >= DEPTH, interval_s=0.001)
        with pytest.raises(KeyError), session:
            raise KeyError
        assert {result.host_byte for _, result in session} == {HostByte.DID_ABORT}
        assert busy(debug) > 0, "the kernel still has them"
    eventually(lambda: busy(debug) == 0)


def test_a_device_that_goes_gives_every_result(scsi_debug: LoadScsiDebug) -> None:
    debug = scsi_debug(max_queue=192)
    path = sg_node(debug, SLOW_S)
    with midlayer.open_device(path) as device, device.session(depth=DEPTH) as session:
        cdb = Read10(transfer_length=1).encode()
        session.submit(Request(cdb, data_in=BLOCK) for _ in range(DEPTH))
        eventually(lambda: busy(debug) >= DEPTH, interval_s=0.001)
        (gone,) = debug.devices()
        deleting = threading.Thread(target=(gone / "delete").write_text, args=("1\n",))
        deleting.start()
        results = dict(session)
        deleting.join()
        session.submit([TestUnitReady().encode()])
        assert session.receive(timeout_s=60)[1].host_byte == HostByte.DID_NO_CONNECT
    assert len(results) == DEPTH
    assert {result.host_byte for result in results.values()} <= {HostByte.DID_OK, HostByte.DID_NO_CONNECT}


def test_several_threads_share_a_session(scsi_debug: LoadScsiDebug) -> None:
    path = sg_node(scsi_debug(ndelay=100_000, max_queue=192))
    with midlayer.open_device(path) as device, device.session(depth=DEPTH) as session:
        cdb = Read10(transfer_length=1).encode()
        counts: list[int] = []

        def work() -> None:
            good = 0
            for _ in range(20):
                for pack_id in session.submit([Request(cdb, data_in=BLOCK)] * 4):
                    good += session.receive(pack_id)[1].ok
            counts.append(good)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counts == [80] * 4


def test_the_asynchronous_form(scsi_debug: LoadScsiDebug) -> None:
    path = sg_node(scsi_debug(ndelay=1_000_000, max_queue=192))
    cdb = Read10(transfer_length=1).encode()

    async def run() -> list[bool]:
        async with midlayer.aio.open_session(path, depth=DEPTH) as session:
            results = await asyncio.gather(*(session.execute(cdb, data_in=BLOCK) for _ in range(100)))
            session.submit([Request(cdb, data_in=BLOCK)] * 100)
            results += [result async for _, result in session]
            return [result.ok for result in results]

    assert asyncio.run(run()) == [True] * 200
