"""A SCSI device as an end of a copy.

Commands go by a session, which keeps many on their way; or one by one in the thread of the caller, where
that is how they get to the device: the kernel's, of which several threads make many; the daemon's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from midlayer.errors import UsageError
from midlayer.frontends.cli.client import Executor
from midlayer.frontends.dd.ends import Chunk, Ended
from midlayer.frontends.dd.operands import Operands
from midlayer.frontends.dd.transfers import MakeCdb, maker
from midlayer.frontends.naming import for_the_daemon
from midlayer.mid.command import Buffer, Result
from midlayer.standards.sbc import (
    ReadCapacity10,
    ReadCapacity10Data,
    ReadCapacity16,
    ReadCapacity16Data,
    SynchronizeCache10,
    Unmap,
    UnmapBlockDescriptor,
    encode_unmap_list,
)
from midlayer.standards.sense import SenseKey
from midlayer.standards.spc import Inquiry
from midlayer.upper.sg import BoundDevice, Request, Session

_UNIT_ATTENTIONS = 8
_USUAL_BYTES = 64 << 10
_MOST_THREADS = 64
_NOTHING_TO_FLUSH = (SenseKey.ILLEGAL_REQUEST,)


def open_device_end(
    operands: Operands, *, writes: bool, on_ready: Callable[[], None], socket: Path | None
) -> DeviceEnd:
    """Open the device at one end.

    Raises:
        MidlayerError: If it can not be opened, or does not say how big it is.
    """
    name = operands.target if writes else operands.source
    flags = operands.output_flags if writes else operands.input_flags
    if "flock" in flags:
        raise UsageError(f"dd: flock is for files; {name} is a device")
    device = _open(name, flags, socket)
    try:
        return DeviceEnd(name, device, operands, writes=writes, on_ready=on_ready)
    except BaseException:
        device.close()
        raise


def _open(name: str, flags: frozenset[str], socket: Path | None) -> Executor:
    place = for_the_daemon(name, socket)
    if place is not None:
        from midlayer.frontends.cli.client import Client, RemoteDevice

        return RemoteDevice(Client(place), name)
    from midlayer.device import open_device

    return open_device(name, direct_io=bool(flags & {"dio", "mmap"}))


class DeviceEnd:
    """A device; see `ends.End`."""

    reads_in_order = False

    def __init__(
        self, name: str, device: Executor, operands: Operands, *, writes: bool, on_ready: Callable[[], None]
    ) -> None:
        self.name = name
        self._device = device
        self._operands = operands
        self._begin = operands.seek if writes else operands.skip
        self._flags = operands.output_flags if writes else operands.input_flags
        blocks, self.block_size, self._unmaps = _capacity(device)
        if self._begin > blocks:
            what = "seek" if writes else "skip"
            raise UsageError(f"dd: {what}={self._begin}: {name} has {blocks} blocks")
        self.capacity: int | None = blocks - self._begin
        self.most_bytes = _most_bytes(device, self.block_size)
        self._on_ready = on_ready
        self._session: Session | None = None
        self.waits = _waits(device) and operands.depth <= _MOST_THREADS
        self._on_their_way: dict[int, Chunk] = {}
        self._writes = writes

    def prepare(self, block_size: int) -> None:
        if block_size != self.block_size:
            raise UsageError(f"dd: bs={block_size}: {self.name} has blocks of {self.block_size} bytes")

    def plan(self, count: int, most_blocks: int, *, at_once: bool) -> None:
        """Settle how commands go, and which CDBs are used, from the size of the copy.

        Raises:
            UsageError: If it does not fit into CDBs of the size that is wanted.
        """
        last = max(0, self._begin + count - 1)

        def make(kind: str) -> MakeCdb:
            size = self._operands.cdb_size
            return maker(
                kind, size, last_lba=last, most_blocks=most_blocks, flags=self._flags, name=self.name
            )

        self._read_cdb, self._write_cdb = make("read"), make("write") if self._writes else make("read")
        self._verify_cdb = make("verify") if self._operands.verify and self._writes else None
        if isinstance(self._device, BoundDevice) and not at_once:
            self._session = self._device.session(depth=self._operands.depth, on_ready=self._on_ready)

    def read(self, chunk: Chunk) -> list[Ended]:
        cdb = self._read_cdb(self._begin + chunk.at, chunk.blocks)
        return self._send(chunk, cdb, None, chunk.data)

    def write(self, chunk: Chunk) -> list[Ended]:
        whole = chunk.blocks * self.block_size
        if chunk.length < whole:
            chunk.room[chunk.length : whole] = bytes(whole - chunk.length)
        cdb = self._write_cdb(self._begin + chunk.at, chunk.blocks)
        return self._send(chunk, cdb, chunk.room[:whole])

    def skip(self, chunk: Chunk) -> list[Ended]:
        if not self._unmaps:
            return [(chunk, None)]
        descriptor = UnmapBlockDescriptor(
            unmap_logical_block_address=self._begin + chunk.at, number_of_logical_blocks=chunk.blocks
        )
        parameters = encode_unmap_list([descriptor])
        cdb = Unmap(parameter_list_length=len(parameters)).encode()
        return self._send(chunk, cdb, parameters)

    def verify(self, chunk: Chunk) -> list[Ended]:
        assert self._verify_cdb is not None
        cdb = self._verify_cdb(self._begin + chunk.at, chunk.blocks)
        whole = chunk.room[: chunk.blocks * self.block_size]
        return self._send(chunk, cdb, whole)

    def ended(self) -> list[Ended]:
        if self._session is None:
            return []
        return [
            (self._on_their_way.pop(pack_id), result)
            for pack_id, result in self._session.receive_many(timeout_s=0)
        ]

    def salvage(self, chunk: Chunk) -> list[int]:
        lost = []
        for number in range(chunk.blocks):
            piece = chunk.room[number * self.block_size : (number + 1) * self.block_size]
            cdb = self._read_cdb(self._begin + chunk.at + number, 1)
            for _ in range(self._operands.retries + 1):
                result = self._device.execute(cdb, data_in=piece, timeout_s=self._operands.timeout_s)
                if result.ok and not result.residual:
                    break
            else:
                piece[:] = bytes(self.block_size)
                lost.append(self._begin + chunk.at + number)
        return lost

    def flush(self) -> None:
        result = self._device.execute(SynchronizeCache10().encode(), timeout_s=self._operands.timeout_s)
        sense = result.sense
        if not result.ok and (sense is None or sense.key not in _NOTHING_TO_FLUSH):
            result.raise_for_status()

    def finish(self, length_bytes: int) -> None:
        """A device keeps its size."""

    def close(self, *, abort: bool) -> None:
        if self._session is not None:
            self._session.close(abort=abort)
        self._device.close()

    def _send(
        self, chunk: Chunk, cdb: bytes, data_out: Buffer | None, data_in: memoryview | None = None
    ) -> list[Ended]:
        chunk.tries += 1
        timeout_s = self._operands.timeout_s
        if self._session is None:
            result = self._device.execute(cdb, data_out=data_out, data_in=data_in, timeout_s=timeout_s)
            return [(chunk, result)]
        (pack_id,) = self._session.submit((Request(cdb, data_out, data_in, timeout_s),))
        self._on_their_way[pack_id] = chunk
        return []


def _waits(device: Executor) -> bool:
    return isinstance(device, BoundDevice) and device.logical_unit.host.template.queuecommand_may_block


def _capacity(device: Executor) -> tuple[int, int, bool]:
    """Return the number of blocks, their size, and whether UNMAP makes them zeros."""
    result = _despite_attention(device, ReadCapacity16(allocation_length=32).encode(), 32)
    if result.ok and len(result.data) >= 12:
        long = ReadCapacity16Data.decode(bytes(result.data))
        blocks = long.returned_logical_block_address + 1
        return blocks, long.block_length_in_bytes, long.lbpme and long.lbprz
    sense = result.sense
    if not result.ok and (sense is None or sense.key != SenseKey.ILLEGAL_REQUEST):
        result.raise_for_status()
    result = _despite_attention(device, ReadCapacity10().encode(), 8).raise_for_status()
    short = ReadCapacity10Data.decode(bytes(result.data))
    return short.returned_logical_block_address + 1, short.block_length_in_bytes, False


def _most_bytes(device: Executor, block_size: int) -> int:
    """Return how much one command may move: by the host, and by the Block Limits page."""
    if not isinstance(device, BoundDevice):
        return _USUAL_BYTES
    host_bytes = device.logical_unit.host.max_sectors * 512
    result = device.execute(Inquiry(evpd=True, page_code=0xB0, allocation_length=64).encode(), data_in=64)
    page = bytes(result.data)
    blocks = int.from_bytes(page[8:12], "big") if result.ok and page[1:2] == b"\xb0" else 0
    return min(host_bytes, blocks * block_size or host_bytes)


def _despite_attention(device: Executor, cdb: bytes, length: int) -> Result:
    """Send a command again as long as the device has something to tell first."""
    for _ in range(_UNIT_ATTENTIONS):
        result = device.execute(cdb, data_in=length)
        sense = result.sense
        if sense is None or sense.key != SenseKey.UNIT_ATTENTION:
            break
    return result
