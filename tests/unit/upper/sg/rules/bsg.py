"""Version 4 on bsg nodes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..calls import (
    READY,
    SG_IO,
    UNSUPPORTED,
    WILD,
    WRITE_BLOCK,
    Opened,
    Using,
    hdr,
)
from .row import ROWS, Row, row

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
