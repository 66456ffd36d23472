"""What goes over a channel to a program; ``preload/wire.h`` declares the same for the other end."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct


class Operation(IntEnum):
    """What a program asks for."""

    HELLO = 1
    OPEN = 2
    WHO = 3
    IOCTL = 4
    READ = 5
    WRITE = 6
    MMAP = 7
    GROW = 8
    FSTAT = 9
    MEMORY = 10
    FLAGS = 11


class RequestFlag(IntFlag):
    """`NONBLOCK`: O_NONBLOCK is set. `WINDOW_FILLED`: the window holds what is at its address."""

    NONBLOCK = 1
    WINDOW_FILLED = 2


class ReplyKind(IntEnum):
    """A call's end, or a question about the program's memory before it."""

    DONE = 0
    FETCH = 1


DRAIN = 1
"""Flag of a reply: the program takes the byte from its token, because nothing is left to be read."""

REQUEST = Struct(
    "="
    "I"  # operation
    "I"  # file
    "Q"  # request: open flags, ioctl number, count or length
    "Q"  # argument: an address in the program, or a number
    "I"  # flags
    "I"  # window_length
    "Q"  # window_address
    "I"  # header_length: then as many bytes that are at `argument`
    "I"  # cdb_length: then as many that are at `cdb_address`
    "Q"  # cdb_address
)
REPLY = Struct(
    "="
    "I"  # kind
    "i"  # error
    "q"  # result; FETCH: the address
    "I"  # count of pieces; FETCH: of bytes
    "I"  # window_back: bytes of the window for window_address
    "I"  # flags
    "I"  # shared_length
)
PIECE = Struct(
    "="
    "Q"  # address
    "I"  # length
    "I"  # offset in shared memory, or INLINE
)
REPLY_WITH_PIECE = Struct(REPLY.format + PIECE.format.removeprefix("="))
"""The answer to most requests: one piece, for the header."""

INLINE = 0xFFFF_FFFF
MOST_PIECES = 512
MOST_MESSAGE = 65536
MOST_FETCH = 32768
