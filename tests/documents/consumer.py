"""A program of somebody else, as the type checker and Python see it: `make lint` checks it strictly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import midlayer
from midlayer import HostByte, Request, Result, SenseKey, Status
from midlayer.errors import CommandError, MediumError
from midlayer.standards.sbc import Read10, ReadCapacity10, ReadCapacity10Data


def block_length(device: midlayer.Device) -> int:
    """Ask for the length of a block."""
    result = device.execute(ReadCapacity10().encode(), data_in=8)
    result.raise_for_status()
    return ReadCapacity10Data.decode(result.data).block_length_in_bytes


def read(device: midlayer.Device, lba: int) -> bytes | None:
    """Read one block; None if the medium has lost it."""
    cdb = Read10(logical_block_address=lba, transfer_length=1).encode()
    result: Result = device.execute(cdb, data_in=block_length(device), timeout_s=5.0)
    try:
        result.raise_for_status()
    except MediumError as error:
        sense = error.result.sense
        return None if sense is not None and sense.key is SenseKey.MEDIUM_ERROR else b""
    except CommandError as error:
        if error.result.host_byte is HostByte.DID_OK and error.result.status is Status.BUSY:
            return b""
        raise
    return bytes(result.data)


def read_all(device: midlayer.Device, cdbs: Iterable[bytes]) -> dict[int, int]:
    """Send many commands at once; return the bytes of each answer by pack id."""
    with device.session(depth=8) as session:
        session.submit(Request(cdb, data_in=512) for cdb in cdbs)
        return {pack_id: len(result.data) for pack_id, result in session}


async def read_later(name: str) -> list[bool]:
    """The same for asyncio."""
    async with midlayer.aio.open_session(name, depth=4) as session:
        first = await session.execute(bytes(6))
        session.submit(Request(bytes(6)) for _ in range(3))
        return [first.ok] + [result.ok async for _, result in session]


def main() -> None:
    """Do all of it."""
    with midlayer.open_device("virtual:disk?size=1M") as disk:
        cdbs = [Read10(logical_block_address=lba, transfer_length=1).encode() for lba in range(3)]
        print(block_length(disk), read(disk, 0) == bytes(512), read_all(disk, cdbs))
    print(asyncio.run(read_later("virtual:disk?size=1M")))


if __name__ == "__main__":
    main()
