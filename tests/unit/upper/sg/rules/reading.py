"""read, poll, mmap, and SG_IO that is interrupted: SG-40 to SG-53."""

from __future__ import annotations

from typing import Any

from ..calls import (
    AT_TAIL,
    BLOCKING,
    INQUIRY,
    MMAP,
    READ_BLOCK,
    READY,
    UNSUPPORTED,
    WRITE_BLOCK,
    Opened,
    Using,
    hdr,
    outcome,
    ready,
    slow_read,
)
from .row import HUP, IN, OUT, one, row

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


@row("SG-30 requests go to the head of the queue, unless they say at the tail", [1, 3, 2])
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.2), u.node.one_at_a_time():
        f.write(slow_read(pack_id=1))
        f.write(slow_read(pack_id=2, flags=AT_TAIL))
        f.write(slow_read(pack_id=3))
        order: list[int] = []
        while len(order) < 3:
            u.node.go_on()
            f.eventually(len(order) + 1)
            order += [pack_id for _, _, _, pack_id, _ in ready_rows(f) if pack_id not in order]
    return order


def ready_rows(f: Opened) -> list[tuple[int, ...]]:
    return [entry for entry in f.table() if entry[0] == 2]


@row("SG-41 submission order, not completion order", ("EAGAIN", 1, (1,), (2,)))
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.4):
        f.write(slow_read(pack_id=1))
        at_once = f.read()
        f.write(hdr(pack_id=2))
        first = f.eventually(1)
        u.node.go_on()
        f.eventually(2)
        return at_once, first, f.read("pack_id"), f.read("pack_id")


@row("SG-42 a blocking read waits for the answer", (5,))
def _(u: Using) -> Any:
    f = u.open(BLOCKING)
    with u.node.slow(0.2):
        f.write(slow_read(pack_id=5))
        u.node.go_on()
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
        u.node.go_on()
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
        u.node.go_on()
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
        u.node.go_on()
        f.eventually(1)
        return answer, before, f.table(), f.read("pack_id")


@row("SG-52 close with a request on its way", 0)
def _(u: Using) -> Any:
    f = u.open()
    with u.node.slow(0.1):
        f.write(slow_read())
        u.handles.pop().close()
        return u.open().sg_io(ready())
