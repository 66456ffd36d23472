"""What the sg driver is told from outside: its module parameters, and who calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midlayer.upper.sg.trace import SgTrace

DEF_RESERVED_SIZE = 32768
MAX_RESERVED_SIZE = 1 << 20
"""Most that ``/proc/scsi/sg/def_reserved_size`` takes."""

SCATTER_ELEMENT_BYTES = 32768
"""Largest piece of a scatter-gather list; the kernel's ``scatter_elem_sz``."""


@dataclass(slots=True)
class SgParameters:
    """The driver's parameters, one object for all its devices; each is read when it is needed.

    Attributes:
        allow_dio: Honour SG_FLAG_DIRECT_IO.
        def_reserved_size: Bytes of the reserved buffer of a descriptor opened from now on.
        v4_on_sg: Take the v4 header on sg nodes too. The kernel does so on bsg nodes only (SG-22).
        trace: Hears of requests and ioctls; None for nobody.
    """

    allow_dio: bool = False
    def_reserved_size: int = DEF_RESERVED_SIZE
    v4_on_sg: bool = False
    trace: SgTrace | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: credentials, and the width of its pointers.

    Attributes:
        uid: Effective user.
        pid: Process, for log lines only: a child keeps the right to a descriptor that it inherits.
        sys_admin: CAP_SYS_ADMIN is effective.
        sys_rawio: CAP_SYS_RAWIO is effective.
        ilp32: A 32-bit program: pointers have four bytes, and ``sg_io_hdr`` has 64.
    """

    uid: int = 0
    pid: int = 0
    sys_admin: bool = False
    sys_rawio: bool = False
    ilp32: bool = False

    def same_credentials(self, other: Caller) -> bool:
        """Say whether two callers have the same rights (rule SG-10)."""
        mine = (self.uid, self.sys_admin, self.sys_rawio)
        return mine == (other.uid, other.sys_admin, other.sys_rawio)


ROOT = Caller(sys_admin=True, sys_rawio=True)
"""A caller with every right."""
