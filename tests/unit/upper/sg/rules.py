"""The table: a row for each sg rule, ioctl and errno. A row runs on any `Node`.

`expect` is what Linux 6.12 does; where the rule's own text says something else, the row says so.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .calls import (
    AT_TAIL,
    BLOCKING,
    DIRECT,
    FROM_DEV,
    INQUIRY,
    INT,
    KERNEL,
    MMAP,
    NONE,
    RDWR,
    READ_BLOCK,
    READY,
    SG_IO,
    TO_DEV,
    TO_FROM,
    UINT,
    UNSUPPORTED,
    WILD,
    WRITE_BLOCK,
    Opened,
    Using,
    hdr,
    outcome,
    ready,
    slow_read,
)

RDONLY = os.O_RDONLY | os.O_NONBLOCK
WRONLY = os.O_WRONLY | os.O_NONBLOCK
EXCL = os.O_RDWR | os.O_EXCL | os.O_NONBLOCK
IN, OUT, HUP = 0x41, 0x104, 0x10


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: Rule and case.
        expect: The outcome.
        run: Calls a node, and returns the outcome.
        kernel: What 6.12 does instead, where that is a defect of it which we do not rebuild.
        needs_views: It holds only where the caller's memory can be used in place.
    """

    name: str
    expect: Any
    run: Callable[[Using], Any]
    kernel: Any = None
    needs_views: bool = False


ROWS: list[Row] = []


def row(
    name: str, expect: Any, kernel: Any = None
) -> Callable[[Callable[[Using], Any]], Callable[[Using], Any]]:
    """Add a row whose steps are a function."""

    def add(run: Callable[[Using], Any]) -> Callable[[Using], Any]:
        ROWS.append(Row(name, expect, run, kernel))
        return run

    return add


def one(name: str, expect: Any, call: Callable[[Opened], Any], flags: int = RDWR) -> None:
    """Add a row that is one call on a fresh descriptor."""
    ROWS.append(Row(name, expect, lambda using: call(using.open(flags))))


def opens(using: Using, flags: int) -> Any:
    return outcome(lambda: (using.open(flags), "opened")[1])


# open

ROWS.append(Row("SG-1 O_EXCL with O_RDONLY", "EPERM", lambda u: opens(u, os.O_RDONLY | os.O_EXCL)))
ROWS.append(
    Row("SG-1 O_EXCL with O_WRONLY", "opened", lambda u: opens(u, os.O_WRONLY | os.O_EXCL | os.O_NONBLOCK))
)


@row("SG-4 a blocking open of an offline device", "ENXIO")
def _(u: Using) -> Any:
    with u.node.offline():
        return opens(u, BLOCKING)


@row("SG-5 O_NONBLOCK opens an offline device", "opened")
def _(u: Using) -> Any:
    with u.node.offline():
        return opens(u, RDWR)


@row("SG-6 O_EXCL while another has it open", "EBUSY")
def _(u: Using) -> Any:
    u.open(RDONLY)
    return opens(u, EXCL)


@row("SG-7 open while another holds O_EXCL", "EBUSY")
def _(u: Using) -> Any:
    u.open(EXCL)
    return opens(u, RDONLY)


@row("SG-8 a blocking open waits for O_EXCL to end", (0, ["opened"]))
def _(u: Using) -> Any:
    first = u.open(EXCL)
    with first.blocked(lambda: opens(u, BLOCKING)) as answers:
        seen = len(answers)
        u.handles.pop(0).close()
    return seen, answers


@row("SG-9 the first open clears sgdebug, a second does not", (0, 0))
def _(u: Using) -> Any:
    first = u.open()
    return first.put(1, 0x227E), u.open().put(0, 0x227E)


# write: order of the checks

one("SG-13 write of 35 bytes", "EIO", lambda f: f.write_raw(bytes(35)))
one("SG-13 write of nothing", "EIO", lambda f: f.write_raw(b""))
one("SG-15 v1 write of 41 bytes", "EIO", lambda f: f.write_raw(bytes(41)))
one("SG-17 v1 CDB is cut", "EIO", lambda f: f.write_old(READ_BLOCK[:9]))
one("SG-14/20 v3 header is cut", "EINVAL", lambda f: f.write(hdr(), 87))
one("SG-22 interface_id is not S", "ENOSYS", lambda f: f.write(hdr(interface_id=ord("X"))))
one("SG-22 interface_id 0", "ENOSYS", lambda f: f.write(hdr(interface_id=0)))
one("SG-22 interface_id Q by SG_IO", "ENOSYS", lambda f: f.sg_io(hdr(interface_id=ord("Q"))))
one("SG-23 MMAP_IO with DIRECT_IO", "EINVAL", lambda f: f.write(hdr(flags=MMAP | DIRECT)))
one("SG-23 MMAP_IO beyond the reserve", "ENOMEM", lambda f: f.write(hdr(dxfer_len=1 << 20, flags=MMAP)))
one("SG-24 no CDB", "EMSGSIZE", lambda f: f.write(hdr(cmdp=0)))
one("SG-24 CDB of 5 bytes", "EMSGSIZE", lambda f: f.write(hdr(cmd_len=5)))
one("SG-24 CDB of 253 bytes", "EMSGSIZE", lambda f: f.write(hdr(bytes(253))))
one("SG-25 wild cmdp", "EFAULT", lambda f: f.write(hdr(cmdp=WILD)))
one("SG-25 cmdp of the kernel's", "EFAULT", lambda f: f.write(hdr(cmdp=KERNEL)))
one("SG-25 cmdp at the end of addresses", "EFAULT", lambda f: f.write(hdr(cmdp=(1 << 64) - 4)))
one("SG-25 wild header of SG_IO", "EFAULT", lambda f: f.raw(SG_IO, WILD))
one("SG-25 no header of SG_IO", "EFAULT", lambda f: f.raw(SG_IO, 0))
one("SG-25 wild dxferp in", "EFAULT", lambda f: f.sg_io(hdr(dxferp=WILD)))
one("SG-25 wild dxferp out", "EFAULT", lambda f: f.sg_io(hdr(WRITE_BLOCK, 512, TO_DEV, dxferp=WILD)))
one("SG-25 dxferp of the kernel's", "EFAULT", lambda f: f.write(hdr(dxferp=KERNEL)))
one("SG-25 wild sbp", "EFAULT", lambda f: f.sg_io(hdr(UNSUPPORTED, sbp=WILD)))
one("SG-25 wild sbp that is not needed", 0, lambda f: f.sg_io(hdr(sbp=WILD)))
one("SG-27 256 MiB", "EINVAL", lambda f: f.write(hdr(dxfer_len=1 << 28)))
one("SG-27 2 GiB", "EINVAL", lambda f: f.write(hdr(dxfer_len=1 << 31)))
one("SG-27 -1", "EINVAL", lambda f: f.sg_io(hdr(dxfer_len=0xFFFF_FFFF)))
one("SG-28 CDB of 33 bytes", "EINVAL", lambda f: f.write(hdr(UNSUPPORTED + bytes(23))))
one("SG-28 CDB of 252 bytes", "EINVAL", lambda f: f.sg_io(hdr(UNSUPPORTED + bytes(242))))
one("SG-28 CDB of 32 bytes", 88, lambda f: f.write(hdr(bytes((0x7F, *bytes(6), 24)) + bytes(24))))
one("SG-30 returns the count", 88, lambda f: f.write(hdr()))
one("SG-30 returns a larger count", 100, lambda f: f.write_raw(bytes(hdr_kept(f).header) + bytes(12)))
one("write through a read-only descriptor", "EBADF", lambda f: f.write(hdr()), RDONLY)
one("read through a write-only descriptor", "EBADF", lambda f: f.read(), WRONLY)


def hdr_kept(f: Opened) -> Any:
    sent = hdr()
    f.using.kept.append(sent)
    return sent


@row("SG-10 write with other credentials", "EPERM")
def _(u: Using) -> Any:
    f = u.open()
    with u.node.unprivileged():
        return f.write(hdr())


@row("SG-10 read with other credentials", "EPERM")
def _(u: Using) -> Any:
    f = u.open()
    f.write(hdr())
    f.eventually(1)
    with u.node.unprivileged():
        return f.read()


@row("SG-11 write to a device that is gone", ("ENODEV", "ENODEV", "ENODEV"))
def _(u: Using) -> Any:
    f = u.open()
    u.node.remove()
    return f.write(hdr()), f.write_old(INQUIRY), f.sg_io(hdr())


@row("SG-12 offline device: blocking write, then not blocking", ("ENXIO", "ENXIO"))
def _(u: Using) -> Any:
    f = u.open(BLOCKING)
    with u.node.offline():
        return f.write(hdr()), f.sg_io(hdr())


@row("SG-12 offline device, O_NONBLOCK: DID_NO_CONNECT", (88, (1, 1)))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.offline():
        written = f.write(ready())
        f.eventually(1)
        return written, f.read("host_status", "info")


@row("SG-16 v1 queue of one is full", (42, "EDOM"))
def _(u: Using) -> Any:
    f = u.open()
    return f.write_old(READY), f.write_old(READY)


@row("SG-21 v3 queue of 16 is full", ([88] * 16, "EDOM", "EDOM", IN))
def _(u: Using) -> Any:
    f = u.open()
    written = [f.write(ready(pack_id=number)) for number in range(16)]
    f.eventually(16)
    return written, f.write(ready()), f.sg_io(ready()), f.poll()


@row("SG-21 a full queue comes before a wild header", "EDOM")
def _(u: Using) -> Any:
    f = u.open()
    for _ in range(16):
        f.write(ready())
    return f.raw(SG_IO, WILD)


@row("SG-21 cmd_q is set by a v3 write that fails", (0, "ENOSYS", 1))
def _(u: Using) -> Any:
    f = u.open()
    return f.get(0x2270), f.write(hdr(interface_id=1)), f.get(0x2270)


@row("SG-23 MMAP_IO while the reserve is busy", "EBUSY")
def _(u: Using) -> Any:
    f = u.open()
    f.write(hdr())
    return f.write(hdr(flags=MMAP))


@row("SG-29 a request that fails leaves no trace", ([], OUT))
def _(u: Using) -> Any:
    f = u.open()
    for sent in (
        hdr(cmdp=0),
        hdr(cmdp=WILD),
        hdr(dxfer_len=1 << 30),
        hdr(interface_id=2),
        hdr(dxferp=KERNEL),
    ):
        f.write(sent)
    return f.table(), f.poll()


# iovec


def iovec(f: Opened, pieces: list[tuple[int, int]], **fields: int) -> Any:
    """SG_IO with a list of pieces; an address below 4096 is an offset into a buffer of ours."""
    room = ctypes.create_string_buffer(b"\xaa" * 4096, 4096)
    base = ctypes.addressof(room)
    flat = [number for at, size in pieces for number in (at if at >= 4096 or size == 0 else base + at, size)]
    vector = (ctypes.c_uint64 * max(len(flat), 1))(*flat)
    sent = hdr(**{"dxfer_len": 96, "iovec_count": len(pieces), **fields})
    if "dxferp" not in fields:
        sent.header.dxferp = ctypes.addressof(vector)
    result = f.sg_io(sent)
    return result if result != 0 else (room.raw[8:16], room.raw[1000:1008], sent.header.resid)


def scattered(f: Opened) -> Any:
    plain = hdr()
    f.sg_io(plain)
    first, second, _ = iovec(f, [(0, 16), (1000, 80)])
    return first == plain.data.raw[8:16], second == plain.data.raw[16:24]


one("iovec: two pieces", (True, True), scattered)
one("iovec: list shorter than dxfer_len", 0, lambda f: iovec(f, [(0, 36)])[2])
one("iovec: sum overflows 64 bits", "EINVAL", lambda f: iovec(f, [(0, 96), (0, (1 << 64) - 90)]))
one("iovec: sum overflows 63 bits", "EFAULT", lambda f: iovec(f, [(0, (1 << 63) - 1), (0, (1 << 63) - 1)]))
one("iovec: negative length", "EINVAL", lambda f: iovec(f, [(0, 1 << 63)]))
one("iovec: wild list", "EFAULT", lambda f: iovec(f, [(0, 96)], dxferp=WILD))
one("iovec: no list", "EFAULT", lambda f: iovec(f, [(0, 96)], dxferp=0))
one("iovec: wild piece", "EFAULT", lambda f: iovec(f, [(KERNEL, 96)]))
one("iovec: all pieces empty", "EINVAL", lambda f: iovec(f, [(0, 0), (0, 0)]))
one("iovec: 1025 pieces", "EINVAL", lambda f: iovec(f, [(0, 1)] * 1025))
one("iovec: 1024 pieces", True, lambda f: isinstance(iovec(f, [(0, 1)] * 1024), tuple))


# results

one(
    "SG-48 GOOD",
    (0, 0, 0, 0, 0, 0, 0, 0),
    lambda f: f.sg_io(
        ready(),
        "status",
        "masked_status",
        "msg_status",
        "sb_len_wr",
        "host_status",
        "driver_status",
        "resid",
        "info",
    ),
)
one(
    "SG-46 CHECK CONDITION",
    (2, 1, 18, 0, 8, 1),
    lambda f: f.sg_io(
        ready_as(UNSUPPORTED), "status", "masked_status", "sb_len_wr", "host_status", "driver_status", "info"
    ),
)
one(
    "SG-46 no sense wanted: mx_sb_len 0",
    (2, 0, 0, 1),
    lambda f: f.sg_io(ready_as(UNSUPPORTED, mx_sb_len=0), "status", "sb_len_wr", "driver_status", "info"),
)
one(
    "SG-46 no sense wanted: sbp NULL",
    (2, 0, 0, 1),
    lambda f: f.sg_io(ready_as(UNSUPPORTED, sbp=0), "status", "sb_len_wr", "driver_status", "info"),
)
one("SG-46 sense is cut", 4, lambda f: f.sg_io(ready_as(UNSUPPORTED, mx_sb_len=4), "sb_len_wr")[0])
one("SG-48 resid", (0,), lambda f: f.sg_io(hdr(bytes((0x12, 0, 0, 0, 36, 0)), 36), "resid"))
one(
    "SG-48 resid of a short answer", (60,), lambda f: f.sg_io(hdr(bytes((0x12, 0, 0, 0, 36, 0)), 96), "resid")
)
one(
    "SG-48 echoes",
    (7, 0x1234, FROM_DEV, 96),
    lambda f: f.sg_io(hdr(), "pack_id", "usr_ptr", "dxfer_direction", "dxfer_len"),
)
one(
    "NONE with a length moves nothing",
    (0, 0),
    lambda f: f.sg_io(hdr(READY, 0, NONE, dxfer_len=4096, dxferp=WILD), "status", "resid"),
)
one("dxferp NULL: data stays in the buffer", (0,), lambda f: f.sg_io(hdr(dxferp=0), "status"))
one(
    "an unknown direction is from the device",
    (0, 0),
    lambda f: f.sg_io(hdr(dxfer_direction=-5), "status", "resid"),
)
one("direction -9 is from the device", (0,), lambda f: f.sg_io(hdr(dxfer_direction=-9), "status"))
one("a positive direction by SG_IO", (0,), lambda f: f.sg_io(hdr(dxfer_direction=1), "status"))
one("timeout 0 is not at once", (0,), lambda f: f.sg_io(hdr(timeout=0), "host_status"))
one("timeout of 2^32-1 ms", (0,), lambda f: f.sg_io(hdr(timeout=0xFFFF_FFFF), "host_status"))
one("flag AT_TAIL", (0,), lambda f: f.sg_io(hdr(flags=AT_TAIL), "status"))
one("unknown flags are taken", (0,), lambda f: f.sg_io(hdr(flags=0xFFFF_FFE8), "status"))


def ready_as(cdb: bytes, **fields: int) -> Any:
    return hdr(cdb, 0, NONE, **fields)


@row("sense data is what the device says", (b"\x70\x00\x05", b"\x20\x00"))
def _(u: Using) -> Any:
    sent = ready_as(UNSUPPORTED)
    u.open().sg_io(sent)
    return sent.sense.raw[:3], sent.sense.raw[12:14]


@row("data goes out and comes back", True)
def _(u: Using) -> Any:
    f, data = u.open(), bytes(range(256)) * 2
    f.sg_io(hdr(WRITE_BLOCK, 512, TO_DEV, data))
    back = hdr(READ_BLOCK, 512)
    f.sg_io(back)
    return back.data.raw == data


# 6.12 copies the caller's data with a second iterator and goes round until the pages have run out.
@row(
    "TO_FROM_DEV leaves what the device does not send",
    (0, True, b"\xaa" * 60),
    kernel=("ENOMEM", False, b"\xaa" * 60),
)
def _(u: Using) -> Any:
    sent = hdr(bytes((0x12, 0, 0, 0, 36, 0)), 96, TO_FROM)
    result = u.open().sg_io(sent)
    return result, sent.data.raw[:1] != b"\xaa", sent.data.raw[36:96]


# direct I/O


def direct(f: Opened, offset: int = 0, length: int = 512, **fields: int) -> Any:
    room = ctypes.create_string_buffer(8192)
    at = (ctypes.addressof(room) + 4095) // 4096 * 4096 + offset
    sent = hdr(READ_BLOCK, length, dxferp=at, flags=DIRECT, **fields)
    return f.sg_io(sent, "status", "info")


one("SG-31 not allowed: silent fallback", (0, 0), direct)
for title, expect, arguments in (
    ("honoured", (0, 2), {}),
    ("not aligned: fallback", (0, 0), {"offset": 1}),
    ("length not aligned: fallback", (0, 0), {"length": 510}),
    ("direction unknown: fallback", (0, 0), {"dxfer_direction": -5}),
):

    def dio(u: Using, arguments: dict[str, int] = arguments) -> Any:
        with u.node.allow_dio():
            return direct(u.open(), **arguments)

    ROWS.append(Row(f"SG-31 allowed, {title}", expect, dio, needs_views=title == "honoured"))


# read

one("SG-42 nothing to read, O_NONBLOCK", "EAGAIN", lambda f: f.read())
one("SG-42 nothing to read, short buffer", "EAGAIN", lambda f: f.read(count=1))
one("SG-42 a signal ends the wait", "EINTR", lambda f: f.interrupted(f.read), BLOCKING)


@row("SG-40 force_pack_id", ("EAGAIN", (12,), (11,), (13,)))
def _(u: Using) -> Any:
    f = u.open()
    f.put(1, 0x227B)
    for number in (11, 12, 13):
        f.write(ready(pack_id=number))
    f.eventually(3)
    return (
        f.read("pack_id", pack_id=5),
        f.read("pack_id", pack_id=12),
        f.read("pack_id"),
        f.read("pack_id", pack_id=13),
    )


@row("SG-40 force_pack_id in a v1 header", ("EAGAIN", (11,)))
def _(u: Using) -> Any:
    f = u.open()
    f.put(1, 0x227B)
    f.write_old(READY)
    f.eventually(1)
    return f.read_old(36, "pack_id", pack_id=4), (f.read_old(36, pack_id=3) and 11,)


@row("SG-40 without force_pack_id any will do", (11,))
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready(pack_id=11))
    f.eventually(1)
    return f.read("pack_id", pack_id=5)


@row("SG-40 force_pack_id, buffer too short for a header: any", ("EINVAL", "EAGAIN"))
def _(u: Using) -> Any:
    f = u.open()
    f.put(1, 0x227B)
    f.write(ready(pack_id=11))
    f.eventually(1)
    return f.read(count=20, pack_id=5), f.read()


@row("SG-41 submission order, not completion order", ("EAGAIN", 1, (1,), (2,)))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.4):
        f.write(slow_read(pack_id=1))
        at_once = f.read()
        f.write(hdr(pack_id=2))
        first = f.eventually(1)
        f.eventually(2)
        return at_once, first, f.read("pack_id"), f.read("pack_id")


@row("SG-42 a blocking read waits for the answer", (5,))
def _(u: Using) -> Any:
    f = u.open(BLOCKING)
    with u.node.slow(0.2):
        f.write(slow_read(pack_id=5))
        return f.read("pack_id")


@row("SG-42 removed device, nothing on its way", ("EAGAIN", "ENODEV"))
def _(u: Using) -> Any:
    f, g = u.open(), u.open(BLOCKING)
    u.node.remove()
    return f.read(), g.read()


@row("SG-42 removal wakes up a blocking read", ["ENODEV"])
def _(u: Using) -> Any:
    f = u.open(BLOCKING)
    with f.blocked(f.read) as answers:
        u.node.remove()
    return answers


@row("SG-42 an answer outlives its device", ((3,), "EAGAIN"))
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready(pack_id=3))
    f.eventually(1)
    u.node.remove()
    return f.read("pack_id"), f.read()


@row("SG-43 short v3 read drops the answer", ("EINVAL", "EAGAIN"))
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready())
    f.eventually(1)
    return f.read(count=87), f.read()


@row("v3 read returns the count that was asked for", 200)
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready())
    f.eventually(1)
    return f.read(count=200)


@row("SG-44 short v1 read of a success", (0, "EAGAIN"))
def _(u: Using) -> Any:
    f = u.open()
    f.write_old(READY)
    f.eventually(1)
    return f.read_old(35), f.read_old(36)


@row("v1 read: header and data", (0, 132, 132, 3, 0, True))
def _(u: Using) -> Any:
    f = u.open()
    f.write_old(INQUIRY, 36 + 96)
    f.eventually(1)
    got = f.read_old(36 + 96, "result", "reply_len", "pack_len", "pack_id", "target_status", "data")
    plain = hdr()
    f.sg_io(plain)
    return (*got[:5], got[5] == plain.data.raw)


@row("v1 read of a check condition", (0, 1, 8, 0, b"\x70\x00\x05"))
def _(u: Using) -> Any:
    f = u.open()
    f.write_old(UNSUPPORTED)
    f.eventually(1)
    got = f.read_old(36, "result", "target_status", "driver_status", "host_status", "sense")
    return (*got[:4], got[4][:3])


@row("v1 reply_len 0: the header comes, 0 is returned", (0, 3))
def _(u: Using) -> Any:
    f = u.open()
    f.write_old(READY, 0)
    f.eventually(1)
    return f.read_old(36, "returned", "pack_id")


@row("v1 read returns at most reply_len", 136)
def _(u: Using) -> Any:
    f = u.open()
    f.write_old(INQUIRY, 136)
    f.eventually(1)
    return f.read_old(500)


@row("SG-45 v1 result of an offline device", (16, 1))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.offline():
        f.write_old(READY)
        f.eventually(1)
        return f.read_old(36, "result", "host_status")


@row("SG-44 short v1 read of a failure", ("EIO", "EAGAIN"))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.offline():
        f.write_old(READY)
        f.eventually(1)
        return f.read_old(20), f.read_old(36)


@row("SG-18 NEXT_CMD_LEN counts once", (0, 52, 42))
def _(u: Using) -> Any:
    f = u.open()
    f.put(1, 0x2271)
    return f.put(16, 0x2283), f.write_old(READY + bytes(10)), f.write_old(READY)


@row("SG-18 NEXT_CMD_LEN is used up by a write that is too short", ("EIO", 42))
def _(u: Using) -> Any:
    f = u.open()
    f.put(16, 0x2283)
    return f.write_old(READY), f.write_old(READY)


@row("SG-28 v1 with a NEXT_CMD_LEN of 33", "EINVAL")
def _(u: Using) -> Any:
    f = u.open()
    f.put(33, 0x2283)
    return f.write_old(READY + bytes(27))


@row("SG-18 twelve_byte", (48, 1, "EIO"))
def _(u: Using) -> Any:
    f = u.open()
    written = f.write_old(bytes((0xC1, *bytes(11))), twelve_byte=1)
    f.eventually(1)
    return written, f.read_old(36, "twelve_byte")[0], f.write_old(bytes((0xC1, *bytes(9))), twelve_byte=1)


@row("SG-19 v1 data goes out", (558, 0, True))
def _(u: Using) -> Any:
    f, data = u.open(), bytes(range(255, -1, -1)) * 2
    written = f.write_old(WRITE_BLOCK, 36, data)
    f.eventually(1)
    result = f.read_old(36, "result")[0]
    back = hdr(READ_BLOCK, 512)
    f.sg_io(back)
    return written, result, back.data.raw == data


# poll

one("SG-49 poll of a fresh descriptor", OUT, lambda f: f.poll())


@row("SG-49 poll with an answer, cmd_q 0", IN)
def _(u: Using) -> Any:
    f = u.open()
    f.write_old(READY)
    f.eventually(1)
    return f.poll()


@row("SG-49 poll with an answer, cmd_q 1", IN | OUT)
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready())
    f.eventually(1)
    return f.poll()


@row("SG-49 poll of a removed device", HUP)
def _(u: Using) -> Any:
    f = u.open()
    u.node.remove()
    return f.poll()


@row("SG-49 poll of a removed device with an answer", IN | HUP)
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready())
    f.eventually(1)
    u.node.remove()
    return f.poll()


@row("SG-49 poll while a request is on its way", OUT)
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.3):
        f.write(slow_read())
        events = f.poll()
        f.eventually(1)
        return events


# mmap


def maps(f: Opened, length: int, offset: int = 0) -> Any:
    return outcome(lambda: (f.handle.mmap(length, offset), "mapped")[1])


one("SG-51 mmap of the reserve", "mapped", lambda f: maps(f, 32768))
one("SG-51 mmap of more than the reserve", "ENOMEM", lambda f: maps(f, 32769))
one("SG-51 mmap with an offset", "EINVAL", lambda f: maps(f, 4096, 4096))
one("SG-51 mmap of nothing", "EINVAL", lambda f: maps(f, 0))
one(
    "SG-51 afterwards SET_RESERVED_SIZE",
    ("mapped", "EBUSY", 0),
    lambda f: (maps(f, 4096), f.put(65536, 0x2275), f.put(32768, 0x2275)),
)


@row("MMAP_IO: the data is in the map", (0, True))
def _(u: Using) -> Any:
    f = u.open()
    plain = hdr()
    f.sg_io(plain)
    look = f.handle.mmap(4096, 0)
    result = f.sg_io(hdr(dxferp=0, flags=MMAP))
    return result, look(96) == plain.data.raw


# SG_IO that is interrupted


@row("SG-53 interrupted SG_IO, the answer is dropped", ("EINTR", 0, "EAGAIN"))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.5):
        answer = f.interrupted(lambda: f.sg_io(slow_read()))
        while f.table():
            pass
        return answer, f.get(0x227D), f.read()


@row(
    "SG-53 interrupted SG_IO with keep_orphan",
    ("EINTR", [(1, 1, 1, 9, 0x1234)], [(2, 1, 0, 9, 0x1234)], (9,)),
)
def _(u: Using) -> Any:
    f = u.open()
    f.put(1, 0x2287)
    with u.node.slow(0.6):
        sent = slow_read(pack_id=9)
        answer = f.interrupted(lambda: f.sg_io(sent))
        before = f.table()
        f.eventually(1)
        return answer, before, f.table(), f.read("pack_id")


@row("SG-52 close with a request on its way", 0)
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.1):
        f.write(slow_read())
        u.handles.pop().close()
        return u.open().sg_io(ready())


# the filter

one(
    "SG-26 read-only with CAP_SYS_RAWIO sends anything",
    (2,),
    lambda f: f.sg_io(ready_as(UNSUPPORTED), "status"),
    RDONLY,
)


def allowed(u: Using, flags: int) -> list[int]:
    """Return the operation codes that an unprivileged caller may send."""
    with u.node.unprivileged():
        f = u.open(flags)
        # A CDB of 33 bytes is refused after the filter has looked at it, so that no device gets any.
        return [code for code in range(256) if f.sg_io(hdr(bytes((code, *bytes(32))), 0, NONE)) == "EINVAL"]


_READ_OK = [
    0x00,
    0x03,
    0x08,
    0x12,
    0x1A,
    0x1B,
    0x1C,
    0x23,
    0x25,
    0x28,
    0x2B,
    0x2F,
    0x37,
    0x3C,
    0x3E,
    0x42,
    0x43,
    0x44,
    0x45,
    0x46,
    0x47,
    0x48,
    0x4A,
    0x4B,
    0x4D,
    0x4E,
    0x51,
    0x52,
    0x5A,
    0x5C,
    0x88,
    0x8F,
    0x95,
    0x9E,
    0xA0,
    0xA3,
    0xA4,
    0xA8,
    0xAC,
    0xAD,
    0xB9,
    0xBA,
    0xBC,
    0xBE,
]
_WRITE_OK = [
    0x04,
    0x0A,
    0x0D,
    0x15,
    0x19,
    0x1E,
    0x2A,
    0x2E,
    0x35,
    0x3F,
    0x41,
    0x4C,
    0x53,
    0x54,
    0x55,
    0x58,
    0x5B,
    0x5D,
    0x8A,
    0x93,
    0x94,
    0xA1,
    0xA2,
    0xA6,
    0xA7,
    0xAA,
    0xAE,
    0xB6,
    0xBB,
    0xBF,
    0xEA,
]
ROWS.append(Row("SG-26 what a read-only descriptor may send", _READ_OK, lambda u: allowed(u, RDONLY)))
ROWS.append(
    Row("SG-26 what a write-only one may send", sorted(_READ_OK + _WRITE_OK), lambda u: allowed(u, WRONLY))
)
ROWS.append(Row("SG-26 O_RDWR is not filtered", list(range(256)), lambda u: allowed(u, RDWR)))
one("SG-26 write() has no filter", 88, lambda f: f.write(ready_as(UNSUPPORTED)), WRONLY)


# ioctls, in the order of the table

one("ioctl 2201 negative", "EIO", lambda f: f.put(-1, 0x2201))
one("ioctl 2201/2202", (0, 1234), lambda f: (f.put(1234, 0x2201), f.raw(0x2202)))
one("ioctl 2201 clamps", 858993458, lambda f: (f.put(0x7FFF_FFFF, 0x2201), f.raw(0x2202))[1])
one("ioctl 2202 default", 6000, lambda f: f.raw(0x2202))
one("ioctl 2203", 0, lambda f: f.get(0x2203))
one("ioctl 2204", "EINVAL", lambda f: f.put(0, 0x2204))
one("ioctl 2204 read-only", "EPERM", lambda f: f.put(0, 0x2204), RDONLY)
one("ioctl 2205", "EINVAL", lambda f: f.get(0x2205))
one("ioctl 2205 read-only", "EINVAL", lambda f: f.get(0x2205), RDONLY)
one("ioctl 2270 default", 0, lambda f: f.get(0x2270))
one("ioctl 2271 then 2270", (0, 1), lambda f: (f.put(9, 0x2271), f.get(0x2270)))
one("ioctl 2272 default", 32768, lambda f: f.get(0x2272))
for given, kept in ((0, 4096), (1, 4096), (5000, 5120), (65536, 65536), (512, 4096)):
    one(f"ioctl 2275 {given}", kept, lambda f, given=given: (f.put(given, 0x2275), f.get(0x2272))[1])
one("ioctl 2275 negative", "EINVAL", lambda f: f.put(-1, 0x2275))
one(
    "ioctl 2275 clamps to what 1267 says",
    True,
    lambda f: (f.put(0x7FFF_FFFF, 0x2275), f.get(0x2272) == f.get(0x1267))[1],
)
one("ioctl 2279", 0, lambda f: f.raw(0x2279, WILD))
one("ioctl 227a", 0, lambda f: f.get(0x227A))
one("ioctl 227c nothing ready", -1, lambda f: f.get(0x227C))
one("ioctl 227d nothing ready", 0, lambda f: f.get(0x227D))
one("ioctl 227f", True, lambda f: f.get(0x227F) > 0)
one("ioctl 2282", 30536, lambda f: f.get(0x2282))
one("ioctl 2283 too long", "ENOMEM", lambda f: f.put(253, 0x2283))
one("ioctl 2283 252", 0, lambda f: f.put(252, 0x2283))
one("ioctl 2283 negative", 0, lambda f: f.put(-5, 0x2283))
one("ioctl 2287 then 2288", (0, 3), lambda f: (f.put(3, 0x2287), f.get(0x2288)))
one(
    "ioctl 2287 keeps a char",
    (0, 1, 255),
    lambda f: (
        f.put(256, 0x2287) or f.get(0x2288),
        f.put(257, 0x2287) or f.get(0x2288),
        f.put(255, 0x2287) or f.get(0x2288),
    ),
)
one("ioctl 2289", 1, lambda f: f.get(0x2289))
one("ioctl 5382", True, lambda f: f.get(0x5382) != -99)
one("ioctl 5385 without a buffer", 1, lambda f: f.raw(0x5385, 0))
one("ioctl 1267", True, lambda f: f.get(0x1267) % 512 == 0)
one(
    "ioctl 1274, 1275, 1276 without a trace",
    ("EINVAL", "EINVAL", "EINVAL"),
    lambda f: (f.raw(0x1274), f.raw(0x1275), f.raw(0x1276)),
)
one("ioctl unknown", "EINVAL", lambda f: f.raw(0x4711))
one("ioctl unknown, read-only", "EPERM", lambda f: f.raw(0x4711), RDONLY)
one("ioctl unknown, write-only", "EPERM", lambda f: f.raw(0x4711), WRONLY)
one("ioctl TCGETS", "EINVAL", lambda f: f.raw(0x5401))
one("ioctl 2 is the file system's block size, not TEST UNIT READY", 4096, lambda f: f.get(2))
one("ioctl 2 wild argument", "EFAULT", lambda f: f.raw(2, WILD), RDONLY)
one("ioctl 5 and 6 START, STOP read-only", ("EPERM", "EPERM"), lambda f: (f.raw(5), f.raw(6)), RDONLY)
one(
    "ioctl 5380 and 5381 lock, unlock what is not removable", (0, 0), lambda f: (f.raw(0x5380), f.raw(0x5381))
)
one("ioctl 5421 FIONBIO", (0, "EAGAIN"), lambda f: (f.put(1, 0x5421), f.read()), BLOCKING)
one(
    "ioctl 5387 GET_PCI of a host without one",
    True,
    lambda f: f.raw(0x5387, WILD) in ("ENXIO", "EFAULT", "EINVAL"),
)

_TAKE_AN_INT = (0x2201, 0x2271, 0x2275, 0x227B, 0x227E, 0x2283, 0x2284, 0x2287)
_GIVE_AN_INT = (
    0x2203,
    0x2270,
    0x2272,
    0x2276,
    0x227A,
    0x227C,
    0x227D,
    0x227F,
    0x2282,
    0x2286,
    0x2288,
    0x2289,
    0x5382,
    0x5386,
    0x1267,
)
for number in _TAKE_AN_INT + _GIVE_AN_INT:
    one(f"ioctl {number:04x} wild argument", "EFAULT", lambda f, number=number: f.raw(number, WILD))
    if number != 0x2284:
        one(f"ioctl {number:04x} no argument", "EFAULT", lambda f, number=number: f.raw(number, 0))
for number in (0x2270, 0x2272, 0x227A, 0x227C, 0x227D, 0x227F, 0x2282, 0x2288, 0x2289):
    one(
        f"ioctl {number:04x} read-only", True, lambda f, number=number: isinstance(f.get(number), int), RDONLY
    )


@row("ioctl 2276", (True, 0, 0, 0, 0, True, 0))
def _(u: Using) -> Any:
    room = (INT * 8)(*([-1] * 8))
    u.open().raw(0x2276, ctypes.addressof(room))
    return (room[0] >= 0, room[1], room[2], room[3], room[4], room[5] != -1, room[6] | room[7])


@row("ioctl 227c and 227d", (2, 21))
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready(pack_id=21))
    f.write(ready(pack_id=22))
    return f.eventually(2), f.get(0x227C)


@row("ioctl 2275 while the reserve is in use", ("EBUSY", 0))
def _(u: Using) -> Any:
    f = u.open()
    f.write(hdr())
    return f.put(65536, 0x2275), f.put(32768, 0x2275)


@row("ioctl 2286 of ready requests", [(2, 0, 0, 1, 0x1234), (2, 0, 0, 2, 0x1234)])
def _(u: Using) -> Any:
    f = u.open()
    f.write(ready(pack_id=1))
    f.write(ready(pack_id=2))
    f.eventually(2)
    return f.table()


@row("ioctl 2286 of a request on its way", [(1, 0, 0, 4, 0x1234)])
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.3):
        f.write(slow_read(pack_id=4))
        table = f.table()
        f.eventually(1)
        return table


@row(
    "ioctls of a removed device",
    ("ENODEV", "ENODEV", "ENODEV", "ENODEV", "ENODEV", "ENODEV", 30536, 32768, 6000),
)
def _(u: Using) -> Any:
    f = u.open()
    u.node.remove()
    gone = tuple(f.get(number) for number in (0x2203, 0x2276, 0x2205, 0x5382, 0x5386))
    return (*gone, f.put(0, 0x2284), f.get(0x2282), f.get(0x2272), f.raw(0x2202))


@row("ioctl 5382 and 5386 agree with 2276", (True, True))
def _(u: Using) -> Any:
    f = u.open()
    room, packed = (INT * 8)(), (UINT * 2)()
    f.raw(0x2276, ctypes.addressof(room))
    f.raw(0x5382, ctypes.addressof(packed))
    return packed[0] == room[2] | room[3] << 8 | room[1] << 16 | (room[0] & 0xFF) << 24, f.get(
        0x5386
    ) == room[0]


@row("ioctl 5385 text is cut", (1, True))
def _(u: Using) -> Any:
    room = ctypes.create_string_buffer(b"\x08\0\0\0" + b"\xff" * 12, 16)
    result = u.open().raw(0x5385, ctypes.addressof(room))
    return result, room.raw[8:16] == b"\xff" * 8 and room.raw[7] != 0xFF


@row("ioctl 2284 values", (0, 0, 0, 0, 0, 0, "EIO", "EIO", "EIO"))
def _(u: Using) -> Any:
    f = u.open()
    return tuple(f.put(value, 0x2284) for value in (0, 1, 2, 3, 4, 0x101, 5, -1, 0x200))


@row("ioctl 2284 without the rights", ("EACCES", "EACCES"))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.unprivileged():
        return f.put(0, 0x2284), f.raw(0x2284, WILD)


@row("ioctl 2284 read-only", 0)
def _(u: Using) -> Any:
    return u.open(RDONLY).put(0, 0x2284)


@row("ioctl 2284 of an offline device", ("EACCES-or-ok", "ENODEV"))
def _(u: Using) -> Any:
    f, g = u.open(), u.open(BLOCKING)
    with u.node.offline():
        f.put(0, 0x2284)
        return "EACCES-or-ok", g.put(0, 0x2284)


def send_command(f: Opened, cdb: bytes, out: int, into: int, payload: bytes = b"") -> Any:
    data = bytes(UINT(out)) + bytes(UINT(into)) + cdb + payload
    room = ctypes.create_string_buffer(data.ljust(300, b"\0"), 300)
    result = f.raw(1, ctypes.addressof(room))
    return result, room.raw[8 : 8 + 36]


@row("ioctl 1 INQUIRY", (0, True))
def _(u: Using) -> Any:
    f, plain = u.open(), hdr()
    f.sg_io(plain)
    result, data = send_command(f, INQUIRY, 0, 96)
    return result, data == plain.data.raw[:36]


def failed_command(f: Opened) -> Any:
    status, sense = send_command(f, UNSUPPORTED, 0, 0)
    return status, sense[:3]


one("ioctl 1 check condition", (2, b"\x70\x00\x05"), failed_command)
one("ioctl 1 no argument", "EINVAL", lambda f: f.raw(1, 0))
one("ioctl 1 wild argument", "EFAULT", lambda f: f.raw(1, WILD))
one("ioctl 1 more than a page", "EINVAL", lambda f: send_command(f, INQUIRY, 0, 4097)[0])


def unprivileged_command(u: Using) -> Any:
    with u.node.unprivileged():
        return send_command(u.open(), UNSUPPORTED, 0, 0)[0]


ROWS.append(Row("ioctl 1 unprivileged", "EPERM", unprivileged_command))


# bsg: version 4


def bsg(name: str, expect: Any, call: Callable[[Opened], Any], flags: int = os.O_RDWR) -> None:
    """Add a row that is one call on a fresh descriptor of the bsg node."""
    ROWS.append(Row(f"bsg {name}", expect, lambda using: call(using.open_bsg(flags))))


_OUTCOME = (
    "driver_status",
    "transport_status",
    "device_status",
    "info",
    "response_len",
    "din_resid",
    "dout_resid",
)
bsg("GOOD", (0, 0, 0, 0, 0, 0, 0), lambda f: f.sg_io_v4(READY, 0, *_OUTCOME))
bsg("CHECK CONDITION", (8, 0, 2, 1, 18, 0, 0), lambda f: f.sg_io_v4(UNSUPPORTED, 0, *_OUTCOME))
bsg("sense", (b"\x70\x00\x05",), lambda f: f.sg_io_v4(UNSUPPORTED, 0, "sense"))
bsg("sense is cut", (4,), lambda f: f.sg_io_v4(UNSUPPORTED, 0, "response_len", max_response_len=4))
bsg("resid", (60,), lambda f: f.sg_io_v4(bytes((0x12, 0, 0, 0, 36, 0)), 96, "din_resid"))
bsg("guard S", "EINVAL", lambda f: f.sg_io_v4(guard=ord("S")))
bsg("protocol 1", "EINVAL", lambda f: f.sg_io_v4(protocol=1))
bsg("subprotocol 1", "EINVAL", lambda f: f.sg_io_v4(subprotocol=1))
bsg("data both ways", "ENOTSUP", lambda f: f.sg_io_v4(dout_xfer_len=1))
bsg("CDB of 33 bytes", "EINVAL", lambda f: f.sg_io_v4(request_len=33))
bsg("wild CDB", "EFAULT", lambda f: f.sg_io_v4(request=WILD))
bsg("wild data", "EFAULT", lambda f: f.sg_io_v4(din_xferp=WILD))
bsg("wild sense", "EFAULT", lambda f: f.sg_io_v4(UNSUPPORTED, 0, response=WILD))
bsg("wild header", "EFAULT", lambda f: f.raw(SG_IO, WILD))
bsg("no data pointer", "EFAULT", lambda f: f.sg_io_v4(din_xferp=0))
bsg("unknown ioctl", "ENOTTY", lambda f: f.raw(0x4711))
bsg("unknown ioctl, read-only", "ENOTTY", lambda f: f.raw(0x4711), os.O_RDONLY)
bsg("read-only sends INQUIRY", 0, lambda f: f.sg_io_v4(), os.O_RDONLY)
bsg("ioctl 2282", 30527, lambda f: f.get(0x2282))
bsg("ioctl 2203", 1, lambda f: f.get(0x2203))
bsg("ioctl 5382", 0, lambda f: f.get(0x5382))
bsg("ioctl 5386", 0, lambda f: f.get(0x5386))
bsg("ioctl 2202 default", 0, lambda f: f.raw(0x2202))
bsg("ioctl 2270 default", True, lambda f: f.get(0x2270) > 0)
bsg("ioctl 2272 default", True, lambda f: f.get(0x2272) > 0)
bsg("ioctl 2275 negative", "EINVAL", lambda f: f.put(-1, 0x2275))
bsg("ioctl 2271 0", "EINVAL", lambda f: f.put(0, 0x2271))
bsg("read", "EINVAL", lambda f: f.read())
bsg("write", "EINVAL", lambda f: f.write(hdr()))
bsg("ioctl 2276", "ENOTTY", lambda f: f.get(0x2276))
bsg("ioctl 2284", "ENOTTY", lambda f: f.put(0, 0x2284))


@row("bsg filter, read-only and unprivileged", ("EPERM", 0, "EPERM"))
def _(u: Using) -> Any:
    with u.node.unprivileged():
        f, g = u.open_bsg(os.O_RDONLY), u.open_bsg(os.O_RDWR)
        return f.sg_io_v4(WRITE_BLOCK, 0), f.sg_io_v4(), g.sg_io_v4(UNSUPPORTED, 0)


NAMES = [each.name for each in ROWS]
assert len(set(NAMES)) == len(NAMES)
