"""The ioctls, in the order of their table."""

from __future__ import annotations

import ctypes
from typing import Any

from ..calls import (
    BLOCKING,
    INQUIRY,
    INT,
    UINT,
    UNSUPPORTED,
    WILD,
    Opened,
    Using,
    hdr,
    ready,
    slow_read,
)
from .row import RDONLY, ROWS, WRONLY, Row, one, row

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
        u.node.go_on()
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
