"""Opening, and the order of the checks of write(2): SG-1 to SG-30."""

from __future__ import annotations

import os
from typing import Any

from ..calls import (
    BLOCKING,
    DIRECT,
    INQUIRY,
    KERNEL,
    MMAP,
    RDWR,
    READ_BLOCK,
    READY,
    SG_IO,
    TO_DEV,
    UNSUPPORTED,
    WILD,
    WRITE_BLOCK,
    Opened,
    Using,
    hdr,
    ready,
)
from .row import EXCL, IN, OUT, RDONLY, ROWS, WRONLY, Row, one, opens, row

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
