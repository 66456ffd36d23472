"""PERSISTENT RESERVE data, and TransportIDs of several protocols."""

from __future__ import annotations

import pytest

from midlayer.layout import DecodeError
from midlayer.standards import reservations as pr
from midlayer.standards.reservations import ReservationType

ISCSI = bytes.fromhex("45000014") + b"iqn.a,i,0x1\0".ljust(20, b"\0")
SAS = bytes.fromhex("06000000" + "5000c50012345678") + bytes(12)


def test_keys() -> None:
    data = pr.encode_keys(5, [1, 0xABCD])
    assert data.hex() == "00000005" + "00000010" + "0000000000000001" + "000000000000abcd"
    assert pr.decode_keys(data) == (5, [1, 0xABCD])
    assert pr.decode_keys(data[:20]) == (5, [1])
    with pytest.raises(DecodeError, match="7 bytes, 8 needed"):
        pr.decode_keys(data[:7])


def test_full_status() -> None:
    entries = [
        pr.FullStatus(key=0xA, transport_id=ISCSI, holder=True, type=5, relative_target_port=2),
        pr.FullStatus(key=0xB, transport_id=SAS, all_tg_pt=True),
    ]
    data = pr.encode_full_status(7, entries)
    assert data[8:32].hex() == "000000000000000a" + "00000000" + "0105" + "00000000" + "0002" + "00000018"
    assert pr.decode_full_status(data) == (7, entries)
    assert pr.decode_full_status(data[:-1]) == (7, entries[:1])


def test_transport_ids() -> None:
    assert pr.split_transport_ids(ISCSI + SAS) == [ISCSI, SAS]
    assert pr.transport_id_name(ISCSI) == "iscsi:iqn.a,i,0x1"
    assert pr.transport_id_name(SAS) == "sas:5000c50012345678"
    assert pr.transport_id_name(b"\x0f\x01") == "protocol 15:01"
    assert pr.transport_id_name(b"") == "protocol 15:"
    for broken in (SAS[:-1], b"\x05\0\0\x10" + bytes(16), b"\x05\0\0\x15" + bytes(21)):
        with pytest.raises(DecodeError, match="TransportID at byte 0"):
            pr.split_transport_ids(broken)


def test_types() -> None:
    assert [one.title for one in ReservationType] == [
        "write exclusive",
        "exclusive access",
        "write exclusive, registrants only",
        "exclusive access, registrants only",
        "write exclusive, all registrants",
        "exclusive access, all registrants",
    ]
    said = pr.Capabilities.decode(bytes.fromhex("0008" + "0d01" + "ea01" + "0000"))
    assert said.types == tuple(ReservationType)
    assert (said.sip_c, said.atp_c, said.ptpl_c, said.ptpl_a) == (True, True, True, True)
