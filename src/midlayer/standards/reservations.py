"""PERSISTENT RESERVE IN and OUT: CDBs and parameter data (SPC-4 6.15, 6.16), and TransportIDs (7.6.4)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from midlayer.layout import DecodeError, Layout, bits, flag, uint

__all__ = [
    "Capabilities",
    "FullStatus",
    "InAction",
    "OutAction",
    "OutParameters",
    "PersistentReserveIn",
    "PersistentReserveOut",
    "ReadReservation",
    "RegisterAndMoveParameters",
    "ReservationType",
    "decode_full_status",
    "decode_keys",
    "encode_full_status",
    "encode_keys",
    "split_transport_ids",
    "transport_id_name",
]


class InAction(IntEnum):
    """Service actions of PERSISTENT RESERVE IN (SPC-4 table 215)."""

    READ_KEYS = 0
    READ_RESERVATION = 1
    REPORT_CAPABILITIES = 2
    READ_FULL_STATUS = 3


class OutAction(IntEnum):
    """Service actions of PERSISTENT RESERVE OUT (SPC-4 table 227)."""

    REGISTER = 0
    RESERVE = 1
    RELEASE = 2
    CLEAR = 3
    PREEMPT = 4
    PREEMPT_AND_ABORT = 5
    REGISTER_AND_IGNORE_EXISTING_KEY = 6
    REGISTER_AND_MOVE = 7


class ReservationType(IntEnum):
    """Types of a persistent reservation (SPC-4 table 220)."""

    WRITE_EXCLUSIVE = 1
    EXCLUSIVE_ACCESS = 3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 8

    @property
    def title(self) -> str:
        """The name in plain words: ``write exclusive, registrants only``."""
        words = self.name.lower().replace("_", " ")
        for suffix in (" registrants only", " all registrants"):
            if words.endswith(suffix):
                return words.removesuffix(suffix) + "," + suffix
        return words

    @property
    def exclusive_access(self) -> bool:
        """Reads conflict as well as writes."""
        return self in (3, 6, 8)

    @property
    def for_registrants(self) -> bool:
        """Every registered nexus has the access that the holder has."""
        return self >= ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY

    @property
    def held_by_all(self) -> bool:
        """Every registered nexus is a holder."""
        return self >= ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS


class PersistentReserveIn(Layout, size=10):
    """PERSISTENT RESERVE IN (SPC-4 6.15)."""

    opcode = uint(0, const=0x5E)
    service_action: int = bits(1, 4, 0)
    allocation_length: int = uint(7, 2)
    control: int = uint(9)


class PersistentReserveOut(Layout, size=10):
    """PERSISTENT RESERVE OUT (SPC-4 6.16)."""

    opcode = uint(0, const=0x5F)
    service_action: int = bits(1, 4, 0)
    scope: int = bits(2, 7, 4)
    type: int = bits(2, 3, 0)
    parameter_list_length: int = uint(5, 4)
    control: int = uint(9)


class OutParameters(Layout, size=24):
    """Basic PERSISTENT RESERVE OUT parameter list (SPC-4 table 229); SPEC_I_PT adds TransportIDs to it."""

    reservation_key: int = uint(0, 8)
    service_action_reservation_key: int = uint(8, 8)
    spec_i_pt: bool = flag(20, 3)
    all_tg_pt: bool = flag(20, 2)
    aptpl: bool = flag(20, 0)


class RegisterAndMoveParameters(Layout, size=24):
    """Parameter list of REGISTER AND MOVE (SPC-4 table 231), up to its TransportID."""

    reservation_key: int = uint(0, 8)
    service_action_reservation_key: int = uint(8, 8)
    unreg: bool = flag(17, 1)
    aptpl: bool = flag(17, 0)
    relative_target_port_identifier: int = uint(18, 2)
    transportid_length: int = uint(20, 4)


class ReadReservation(Layout, size=24):
    """READ RESERVATION data of a unit that has a reservation (SPC-4 table 219)."""

    prgeneration: int = uint(0, 4)
    additional_length: int = uint(4, 4)
    reservation_key: int = uint(8, 8)
    scope: int = bits(21, 7, 4)
    type: int = bits(21, 3, 0)


class Capabilities(Layout, size=8):
    """REPORT CAPABILITIES data (SPC-4 table 222); the mask has the bit of a type in its own byte order."""

    length = uint(0, 2, const=8, strict=False)
    crh: bool = flag(2, 4)
    sip_c: bool = flag(2, 3)
    atp_c: bool = flag(2, 2)
    ptpl_c: bool = flag(2, 0)
    tmv: bool = flag(3, 7)
    allow_commands: int = bits(3, 6, 4)
    ptpl_a: bool = flag(3, 0)
    wr_ex_ar: bool = flag(4, 7)
    ex_ac_ro: bool = flag(4, 6)
    wr_ex_ro: bool = flag(4, 5)
    ex_ac: bool = flag(4, 3)
    wr_ex: bool = flag(4, 1)
    ex_ac_ar: bool = flag(5, 0)

    @property
    def types(self) -> tuple[ReservationType, ...]:
        """The types that the mask says."""
        said = (self.wr_ex, self.ex_ac, self.wr_ex_ro, self.ex_ac_ro, self.wr_ex_ar, self.ex_ac_ar)
        return tuple(one for one, there in zip(ReservationType, said, strict=True) if there)


def encode_keys(prgeneration: int, keys: Iterable[int]) -> bytes:
    """Return READ KEYS data (SPC-4 table 217)."""
    body = b"".join(key.to_bytes(8, "big") for key in keys)
    return prgeneration.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


def decode_keys(data: bytes) -> tuple[int, list[int]]:
    """Return the generation and the keys of READ KEYS data, as many as are wholly there.

    Raises:
        DecodeError: the 8-byte header is not there.
    """
    generation, body = _listed(data)
    return generation, [int.from_bytes(body[at : at + 8], "big") for at in range(0, len(body) - 7, 8)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FullStatus:
    """One registered I_T nexus (SPC-4 table 225).

    Attributes:
        key: Its reservation key.
        holder: It holds the reservation.
        type: Type of the reservation if it is a holder, else 0.
        relative_target_port: Through which port it is registered.
        transport_id: The initiator port.
        all_tg_pt: It is registered through all target ports.
    """

    key: int
    transport_id: bytes
    holder: bool = False
    type: int = 0
    relative_target_port: int = 1
    all_tg_pt: bool = False

    def encode(self) -> bytes:
        """Return the descriptor."""
        return (
            self.key.to_bytes(8, "big")
            + bytes(4)
            + bytes((self.all_tg_pt << 1 | self.holder, self.type))
            + bytes(4)
            + self.relative_target_port.to_bytes(2, "big")
            + len(self.transport_id).to_bytes(4, "big")
            + self.transport_id
        )


def encode_full_status(prgeneration: int, entries: Iterable[FullStatus]) -> bytes:
    """Return READ FULL STATUS data (SPC-4 table 224)."""
    body = b"".join(entry.encode() for entry in entries)
    return prgeneration.to_bytes(4, "big") + len(body).to_bytes(4, "big") + body


def decode_full_status(data: bytes) -> tuple[int, list[FullStatus]]:
    """Return the generation and the registered nexuses, as many as are wholly there.

    Raises:
        DecodeError: the 8-byte header is not there.
    """
    generation, body = _listed(data)
    entries, at = [], 0
    while at + 24 <= len(body):
        end = at + 24 + int.from_bytes(body[at + 20 : at + 24], "big")
        if end > len(body):
            break
        flags = body[at + 12]
        entries.append(
            FullStatus(
                key=int.from_bytes(body[at : at + 8], "big"),
                transport_id=body[at + 24 : end],
                holder=bool(flags & 1),
                type=body[at + 13] & 0x0F if flags & 1 else 0,
                relative_target_port=int.from_bytes(body[at + 18 : at + 20], "big"),
                all_tg_pt=bool(flags & 2),
            )
        )
        at = end
    return generation, entries


def _listed(data: bytes) -> tuple[int, bytes]:
    if len(data) < 8:
        raise DecodeError(f"PERSISTENT RESERVE IN data: {len(data)} bytes, 8 needed for the header")
    length = int.from_bytes(data[4:8], "big")
    return int.from_bytes(data[:4], "big"), bytes(data[8 : 8 + length])


_ISCSI, _FIXED_LENGTH = 5, 24


def split_transport_ids(data: bytes) -> list[bytes]:
    """Cut a list of TransportIDs apart (SPC-4 7.6.4): 24 bytes each, or what an iSCSI one says itself.

    Raises:
        DecodeError: one is cut off, or an iSCSI one has a length that none may have.
    """
    found, at = [], 0
    while at < len(data):
        size = _FIXED_LENGTH
        if data[at] & 0x0F == _ISCSI:
            size = 4 + int.from_bytes(data[at + 2 : at + 4], "big")
            if size < _FIXED_LENGTH or size % 4:
                raise DecodeError(f"TransportID at byte {at}: {size} bytes; at least 24 and a multiple of 4")
        if at + size > len(data):
            raise DecodeError(f"TransportID at byte {at}: {size} bytes needed, {len(data) - at} left")
        found.append(bytes(data[at : at + size]))
        at += size
    return found


_PROTOCOLS = {0: "fcp", 1: "spi", 3: "sbp", 4: "srp", 5: "iscsi", 6: "sas", 0xA: "sop"}
_NAMES_AT = {0: slice(8, 16), 3: slice(8, 16), 4: slice(8, 24), 6: slice(4, 12)}


def transport_id_name(transport_id: bytes) -> str:
    """Return a TransportID for people: ``iscsi:iqn.…,i,0x…``, ``sas:5000c500…``; never raises."""
    protocol = transport_id[0] & 0x0F if transport_id else 0x0F
    if protocol == _ISCSI:
        name = transport_id[4:].split(b"\0", 1)[0].decode("utf-8", "replace")
        return f"iscsi:{name}"
    where = _NAMES_AT.get(protocol, slice(1, None))
    return f"{_PROTOCOLS.get(protocol, f'protocol {protocol}')}:{transport_id[where].hex()}"
