"""Messages of the FUSE protocol, version 7, as ``<linux/fuse.h>`` prints them."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

VERSION, MINOR_VERSION = 7, 31
ROOT_ID = 1


class Opcode(IntEnum):
    """What the kernel asks for."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    INTERRUPT = 36
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    BATCH_FORGET = 42
    CUSE_INIT = 4096


IN_HEADER = Struct(
    "="
    "I"  # len
    "I"  # opcode
    "Q"  # unique
    "Q"  # nodeid
    "I"  # uid
    "I"  # gid
    "I"  # pid: of the thread that calls
    "4x"
)
OUT_HEADER = Struct(
    "="
    "I"  # len
    "i"  # error
    "Q"  # unique
)

INIT_IN = Struct(
    "="
    "I"  # major
    "I"  # minor
    "I"  # max_readahead
    "I"  # flags
)
INIT_OUT = Struct(
    "="
    "I"  # major
    "I"  # minor
    "I"  # max_readahead
    "I"  # flags
    "H"  # max_background
    "H"  # congestion_threshold
    "I"  # max_write
    "I"  # time_gran
    "H"  # max_pages
    "H"  # map_alignment
    "I"  # flags2
    "28x"
)
INIT_BIG_WRITES, INIT_PARALLEL_DIROPS, INIT_MAX_PAGES = 1 << 5, 1 << 18, 1 << 22

CUSE_INIT_OUT = Struct(
    "="
    "I"  # major
    "I"  # minor
    "I"  # unused
    "I"  # flags
    "I"  # max_read
    "I"  # max_write
    "I"  # dev_major
    "I"  # dev_minor
    "40x"
)
CUSE_UNRESTRICTED_IOCTL = 1

ATTR = Struct(
    "="
    "Q"  # ino
    "Q"  # size
    "Q"  # blocks
    "Q"  # atime
    "Q"  # mtime
    "Q"  # ctime
    "I"  # atimensec
    "I"  # mtimensec
    "I"  # ctimensec
    "I"  # mode
    "I"  # nlink
    "I"  # uid
    "I"  # gid
    "I"  # rdev
    "I"  # blksize
    "I"  # flags
)
ENTRY_OUT = Struct(
    "="
    "Q"  # nodeid
    "Q"  # generation
    "Q"  # entry_valid
    "Q"  # attr_valid
    "I"  # entry_valid_nsec
    "I"  # attr_valid_nsec
)
ATTR_OUT = Struct(
    "="
    "Q"  # attr_valid
    "I"  # attr_valid_nsec
    "4x"
)
OPEN_IN = Struct("=I4x")  # flags
OPEN_OUT = Struct(
    "="
    "Q"  # fh
    "I"  # open_flags
    "4x"
)
OPENED_DIRECT_IO, OPENED_STREAM, OPENED_PARALLEL_WRITES = 1 << 0, 1 << 4, 1 << 6

READ_IN = Struct(
    "="
    "Q"  # fh
    "Q"  # offset
    "I"  # size
    "I"  # read_flags
    "Q"  # lock_owner
    "I"  # flags
    "4x"
)
WRITE_IN = READ_IN  # what was written follows
WRITE_OUT = Struct("=I4x")  # size
RELEASE_IN = Struct(
    "="
    "Q"  # fh
    "I"  # flags
    "I"  # release_flags
    "Q"  # lock_owner
)
IOCTL_IN = Struct(
    "="
    "Q"  # fh
    "I"  # flags
    "I"  # cmd
    "Q"  # arg
    "I"  # in_size
    "I"  # out_size
)
IOCTL_32BIT = 1 << 3
IOCTL_OUT = Struct(
    "="
    "i"  # result
    "I"  # flags
    "I"  # in_iovs
    "I"  # out_iovs
)
POLL_IN = Struct(
    "="
    "Q"  # fh
    "Q"  # kh
    "I"  # flags
    "I"  # events
)
POLL_SCHEDULE_NOTIFY = 1
POLL_OUT = Struct("=I4x")  # revents
NOTIFY_POLL = 1
NOTIFY_POLL_OUT = Struct("=Q")  # kh
INTERRUPT_IN = Struct("=Q")  # unique
FORGET_IN = Struct("=Q")  # nlookup
BATCH_FORGET_IN = Struct("=I4x")  # count
FORGET_ONE = Struct(
    "="
    "Q"  # nodeid
    "Q"  # nlookup
)
STATFS_OUT = Struct(
    "="
    "Q"  # blocks
    "Q"  # bfree
    "Q"  # bavail
    "Q"  # files
    "Q"  # ffree
    "I"  # bsize
    "I"  # namelen
    "I"  # frsize
    "28x"
)
DIRENT = Struct(
    "="
    "Q"  # ino
    "Q"  # off
    "I"  # namelen
    "I"  # type; then the name, filled up to eight bytes
)
