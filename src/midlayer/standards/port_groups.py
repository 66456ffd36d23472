"""Target port groups (SPC-4 5.15): REPORT and SET TARGET PORT GROUPS and their data (6.37, 6.45)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from midlayer.layout import DecodeError, Layout, bits, uint

__all__ = [
    "AccessState",
    "PortGroup",
    "ReportTargetPortGroups",
    "SetTargetPortGroups",
    "decode_port_group_settings",
    "encode_port_groups",
]


class AccessState(IntEnum):
    """Asymmetric access states (SPC-4 table 302)."""

    ACTIVE_OPTIMIZED = 0x0
    ACTIVE_NON_OPTIMIZED = 0x1
    STANDBY = 0x2
    UNAVAILABLE = 0x3
    OFFLINE = 0xE
    TRANSITIONING = 0xF

    @property
    def title(self) -> str:
        """As Linux writes it: ``active/optimized``, ``standby``."""
        return self.name.lower().replace("active_", "active/").replace("_", "-")


class ReportTargetPortGroups(Layout, size=12):
    """REPORT TARGET PORT GROUPS (SPC-4 6.37)."""

    opcode = uint(0, const=0xA3)
    parameter_data_format: int = bits(1, 7, 5)
    service_action = bits(1, 4, 0, const=0x0A)
    allocation_length: int = uint(6, 4)
    control: int = uint(11)


class SetTargetPortGroups(Layout, size=12):
    """SET TARGET PORT GROUPS (SPC-4 6.45)."""

    opcode = uint(0, const=0xA4)
    service_action = bits(1, 4, 0, const=0x0A)
    parameter_list_length: int = uint(6, 4)
    control: int = uint(11)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortGroup:
    """One target port group descriptor (SPC-4 table 301).

    Attributes:
        number: Target port group.
        state: Its asymmetric access state.
        preferred: It is the preferred group.
        status: Why the state is what it is: 0 none, 1 by SET TARGET PORT GROUPS, 2 by the device.
        supported: The byte of bits that say which states it may have.
        ports: Relative target port identifiers.
    """

    number: int
    state: int
    ports: tuple[int, ...]
    preferred: bool = False
    status: int = 0
    supported: int = 0x4F

    def encode(self) -> bytes:
        """Return the descriptor."""
        head = bytes((self.preferred << 7 | self.state, self.supported)) + self.number.to_bytes(2, "big")
        head += bytes((0, self.status, 0, len(self.ports)))
        return head + b"".join(bytes(2) + port.to_bytes(2, "big") for port in self.ports)


def encode_port_groups(groups: Iterable[PortGroup], *, extended: bool = False) -> bytes:
    """Return REPORT TARGET PORT GROUPS data with the short or the extended header (SPC-4 6.37)."""
    body = (b"\x10" + bytes(3) if extended else b"") + b"".join(group.encode() for group in groups)
    return len(body).to_bytes(4, "big") + body


def decode_port_group_settings(data: bytes) -> list[tuple[int, int]]:
    """Return group number and wanted state of each descriptor of SET TARGET PORT GROUPS (SPC-4 table 322).

    Raises:
        DecodeError: the list does not end with a whole descriptor.
    """
    if len(data) < 4 or len(data) % 4:
        raise DecodeError(f"SET TARGET PORT GROUPS data: {len(data)} bytes, 4 and a multiple of 4 needed")
    return [(int.from_bytes(data[at + 2 : at + 4], "big"), data[at] & 0x0F) for at in range(4, len(data), 4)]
