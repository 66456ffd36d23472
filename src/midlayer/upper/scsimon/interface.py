"""What goes through ``/dev/scsimon``: the structures and numbers of ``scsimon.h``, member for member."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from struct import Struct

from midlayer.upper.scsimon.records import Kind

HEADER = Path(__file__).with_name("scsimon.h")
"""For programs in C."""

INTERFACE = 1
NOTHING = 0xFFFF_FFFF
NO_LUN = 0xFFFF_FFFF_FFFF_FFFF
GAP = 256

STATUS = Struct(
    "="
    "Q"  # event_count
    "Q"  # oldest_event
    "I"  # interface
    "I"  # locks
    "I"  # attached
    "I"  # detached
    "I"  # hosts
    "4x"
)
DEVICE = Struct(
    "="
    "Q"  # attach_event
    "Q"  # detach_event
    "Q"  # attached_boot_us
    "Q"  # detached_boot_us
    "Q"  # attached_wall_us
    "Q"  # detached_wall_us
    "Q"  # lun
    "I"  # host
    "I"  # bus
    "I"  # target
    "I"  # access_count
    "B"  # type
    "B"  # qualifier
    "B"  # scsi_level
    "B"  # removable
    "B"  # emulated
    "B"  # writeable
    "B"  # lockable
    "B"  # changed
    "B"  # online
    "B"  # by_resync
    "6x"
    "12s"  # vendor
    "20s"  # model
    "8s"  # revision
    "16s"  # sg
    "16s"  # node
    "32s"  # host_name
    "32s"  # host_driver
    "I"  # inquiry_length
    "252s"  # inquiry
)
DEVICE_KEY = Struct("=QQ32xQIII")
"""The members of a device that a program sets: attach_event, detach_event, lun, host, bus, target."""

HOST = Struct(
    "="
    "Q"  # added_event
    "Q"  # added_wall_us
    "I"  # host
    "I"  # unique_id
    "I"  # emulated
    "I"  # devices
    "32s"  # name
    "32s"  # driver
    "256s"  # info
)
HOST_KEY = Struct("=16xI")
LIST = Struct(
    "="
    "Q"  # event_count
    "Q"  # elements
    "I"  # element_size
    "I"  # first
    "I"  # room
    "I"  # count
    "I"  # total
    "4x"
)
WAIT = Struct(
    "="
    "Q"  # event_count
    "Q"  # since
    "i"  # timeout_ms
    "4x"
)
POSITION = Struct(
    "="
    "Q"  # event_count
    "Q"  # since
)
ONLINE = Struct(
    "="
    "Q"  # event_count
    "Q"  # attach_event
    "I"  # online
    "4x"
)
HOST_IOCTL = Struct(
    "="
    "Q"  # event_count
    "Q"  # argument
    "I"  # host
    "I"  # command
    "i"  # result
    "4x"
)
LOCK = Struct(
    "="
    "Q"  # event_count
    "i"  # lock
    "I"  # locks
)
EVENT = Struct(
    "="
    "Q"  # event_count
    "Q"  # attach_event
    "Q"  # previous_event
    "Q"  # boot_us
    "Q"  # wall_us
    "Q"  # lun
    "I"  # kind
    "I"  # host
    "I"  # bus
    "I"  # target
    "I"  # by_resync
    "4x"
)
COUNT = Struct("=Q")
"""The event count, which every structure of an ioctl begins with."""

_READ, _READ_WRITE = 2, 3


def _number(number: int, size: int, direction: int = _READ_WRITE) -> int:
    """Return an ioctl's number as ``_IOR`` and ``_IOWR`` make it."""
    return direction << 30 | size << 16 | ord("S") << 8 | number


class Request(IntEnum):
    """The ioctls."""

    GET_STATUS = _number(0xE0, STATUS.size, _READ)
    GET_ATTACHED = _number(0xE1, LIST.size)
    GET_DETACHED = _number(0xE2, LIST.size)
    GET_HOSTS = _number(0xE3, LIST.size)
    FIND_ATTACHED = _number(0xE4, COUNT.size + DEVICE.size)
    FIND_DETACHED = _number(0xE5, COUNT.size + DEVICE.size)
    FIND_HOST = _number(0xE6, COUNT.size + HOST.size)
    WAIT = _number(0xE7, WAIT.size)
    SET_POSITION = _number(0xE8, POSITION.size)
    SET_ONLINE_STATE = _number(0xE9, ONLINE.size)
    SEND_HOST_IOCTL = _number(0xEA, HOST_IOCTL.size)
    LOCK_MOD = _number(0xEB, LOCK.size)


KINDS = {
    Kind.ATTACH: 1,
    Kind.DETACH: 2,
    Kind.CHANGE: 3,
    Kind.HOST_ADDED: 4,
    Kind.HOST_REMOVED: 5,
    Kind.REPLACED: 6,
    Kind.QUARANTINED: 7,
    Kind.RELEASED: 8,
    Kind.TRIGGER: 9,
    Kind.AGENTS: 10,
    Kind.RECOVERY: 11,
}
"""The number of each kind of event."""
