"""Serial numbers, names, digests, states, headers: against examples from the standards."""

from __future__ import annotations

import struct

import pytest

from midlayer.errors import UsageError
from midlayer.iscsi import names, pdu, serial, state
from midlayer.iscsi.chap import response
from midlayer.iscsi.codes import Opcode
from midlayer.iscsi.digest import crc32c
from midlayer.iscsi.errors import DigestError, ProtocolError
from midlayer.iscsi.reader import PduReader
from midlayer.iscsi.state import Event, State


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [(0, 1, 1), (1, 0, -1), (0xFFFFFFFF, 0, 1), (0, 0xFFFFFFFF, -1), (5, 5, 0), (0xFFFFFFF0, 0x10, 0x20)],
)
def test_serial_numbers_wrap(first: int, second: int, distance: int) -> None:
    assert serial.distance(first, second) == distance
    assert serial.less(first, second) is (distance > 0)
    assert serial.add(first, distance) == second


def test_windows_wrap() -> None:
    assert serial.in_window(0, 0xFFFFFFFE, 1)
    assert not serial.in_window(2, 0xFFFFFFFE, 1)
    assert not serial.in_window(5, 5, 4), "a closed window"


# RFC 7143 appendix A.4 (RFC 3720 B.4), as bytes on the wire.
DIGESTS = [
    (bytes(32), "aa36918a"),
    (b"\xff" * 32, "43aba862"),
    (bytes(range(32)), "4e79dd46"),
    (bytes(range(31, -1, -1)), "5cdb3f11"),
    (
        bytes.fromhex(
            "01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000"
        ),
        "563a96d9",
    ),
]


@pytest.mark.parametrize(("data", "digest"), DIGESTS, ids=lambda value: str(value)[:12])
def test_digests_of_the_rfc(data: bytes, digest: str) -> None:
    assert crc32c(data).hex() == digest
    assert crc32c(memoryview(data)[:7], data[7:]).hex() == digest


def test_names() -> None:
    for name in ("iqn.2001-04.com.example:storage.disk1", "eui.02004567A425678D", "naa.52004567BA64678D"):
        assert names.check_name(name) == name.lower()
    for name in ("", "iqn.x", "iqn.2001-13.com.example:a", "iqn.2001-04.com.ex ample", "eui.12", "bob"):
        with pytest.raises(UsageError):
            names.check_name(name)
    with pytest.raises(UsageError):
        names.check_name("iqn.2001-04.com.example:" + "x" * 200)


def test_transport_ids() -> None:
    made = names.transport_id("iqn.1993-08.org.debian:01:a", bytes.fromhex("00023d000001"))
    assert made[:2] == b"\x45\0"
    assert len(made) % 4 == 0
    assert int.from_bytes(made[2:4], "big") == len(made) - 4
    assert made[4:].rstrip(b"\0") == b"iqn.1993-08.org.debian:01:a,i,0x00023d000001"


def test_chap_against_an_independent_example() -> None:
    # printf '\x01secret4567890abc' | md5sum, with the challenge "abc"
    import hashlib

    assert response(5, 1, b"secret4567890", b"abc") == hashlib.md5(b"\1secret4567890abc").digest()
    assert response(7, 1, b"secret4567890", b"abc") == hashlib.sha256(b"\1secret4567890abc").digest()


def test_every_state_change_of_the_table_and_no_other() -> None:
    for before in State:
        for event in Event:
            if (before, event) in state.TRANSITIONS:
                assert state.advance(before, event) is state.TRANSITIONS[before, event]
            else:
                with pytest.raises(ProtocolError):
                    state.advance(before, event)


def test_every_opcode_has_a_layout_that_begins_with_it() -> None:
    assert set(pdu.LAYOUTS) == set(Opcode)
    for opcode, layout in pdu.LAYOUTS.items():
        header = layout().encode()
        assert header[0] == opcode
        assert len(header) == 48
        assert pdu.decode_header(header) == layout()


def test_a_command_as_another_initiator_sends_it() -> None:
    # libiscsi 1.19: INQUIRY of iscsi-inq, taken with a socket in between.
    header = bytes.fromhex(
        "01c10000000000000000000000000000000000040000004000000002000000031200000040000000" + "00" * 8
    )
    command = pdu.ScsiCommand.decode(header)
    assert (command.final, command.read, command.write, command.attribute) == (True, True, False, 1)
    assert (command.expected_data_transfer_length, command.cmd_sn, command.exp_stat_sn) == (64, 2, 3)
    assert command.cdb[:6] == bytes.fromhex("120000004000")


def test_additional_segments() -> None:
    segment = struct.pack(">HBB", 5, 1, 0) + b"abcd"
    assert list(pdu.additional_segments(segment)) == [(1, b"abcd")]
    with pytest.raises(ProtocolError):
        list(pdu.additional_segments(struct.pack(">HBB", 500, 1, 0) + b"abcd"))


def nop(data: bytes) -> bytes:
    return pdu.with_lengths(pdu.NopOut().encode(), len(data)) + data + bytes(-len(data) % 4)


@pytest.mark.parametrize("step", [1, 3, 47, 48, 49, 4096, 1 << 20])
def test_a_reader_gives_the_same_whatever_the_pieces(step: int) -> None:
    counted = bytes(range(256)) * 300
    stream = b"".join(nop(counted[:length]) for length in (0, 1, 5000, 4, 70000, 70001, 3, 70002))
    reader = PduReader(1 << 17, size_bytes=16384)
    lengths = []
    for at in range(0, len(stream), step):
        rest = stream[at : at + step]
        while rest:
            rest = rest[reader.feed(rest) :]
            while (received := reader.next()) is not None:
                assert counted.startswith(bytes(received[2]))
                lengths.append(len(received[2]))
    assert lengths == [0, 1, 5000, 4, 70000, 70001, 3, 70002]


def test_long_data_after_long_data_goes_straight_to_its_place() -> None:
    long = bytes(range(256)) * 400
    stream = memoryview(nop(long) * 3)
    reader = PduReader(1 << 17, size_bytes=16384)
    places = [bytearray(len(long)) for _ in range(3)]
    coming = iter(places)
    reader.place = lambda header, length: memoryview(next(coming))
    passed_through = []
    while stream:
        room = reader.room()
        count = min(len(room), len(stream))
        room[:count] = stream[:count]
        if all(room.obj is not place for place in places):
            passed_through.append(count)
        reader.received(count)
        stream = stream[count:]
        while reader.next() is not None:
            pass
    assert places == [long] * 3
    assert passed_through == [16384, 48, 48]


def test_a_reader_refuses_what_is_too_long() -> None:
    reader = PduReader(1000)
    reader.feed(nop(bytes(1001))[:48])
    with pytest.raises(ProtocolError, match="1001 bytes; at most 1000"):
        reader.next()


def test_a_reader_leaves_views_to_their_users() -> None:
    reader = PduReader(8192, size_bytes=16384)
    reader.feed(nop(b"first") + nop(b"second")[:20])
    received = reader.next()
    assert received is not None
    reader.keep()
    reader.feed(nop(b"second")[20:])
    later = reader.next()
    assert later is not None
    assert (bytes(received[2]), bytes(later[2])) == (b"first", b"second")


def test_a_reader_checks_digests() -> None:
    reader = PduReader(8192)
    reader.header_digest = True
    reader.feed(pdu.NopOut().encode() + b"none")
    with pytest.raises(DigestError):
        reader.next()
