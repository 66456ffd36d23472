"""Where data goes, and what comes back: pieces, headers, direct I/O."""

from __future__ import annotations

import ctypes
from typing import Any

from ..calls import (
    AT_TAIL,
    DIRECT,
    FROM_DEV,
    KERNEL,
    NONE,
    READ_BLOCK,
    READY,
    TO_DEV,
    TO_FROM,
    UNSUPPORTED,
    WILD,
    WRITE_BLOCK,
    Opened,
    Using,
    hdr,
    ready,
)
from .row import ROWS, Row, one, row

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
    f.using.kept.append(room)
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
