"""Which commands a descriptor may send: SG-26."""

from __future__ import annotations

from ..calls import (
    NONE,
    RDWR,
    UNSUPPORTED,
    Using,
    hdr,
)
from .results import ready_as
from .row import RDONLY, ROWS, WRONLY, Row, one

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
