"""A virtual CD or DVD drive (MMC-6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midlayer.errors import NodeError
from midlayer.mid.logical_unit import LogicalUnit
from midlayer.standards import mmc

MakeUnit = Callable[..., LogicalUnit]
Initiators = Callable[[LogicalUnit], Any]

TUR, EJECT, LOAD = "000000000000", "1b0000000200", "1b0000000300"
MEDIA_EVENT = "4a0100001000000008" + "00"


@pytest.fixture
def alice(unit: MakeUnit, initiators: Initiators) -> Any:
    """Speaks to a CD of 32 blocks."""
    return initiators(unit(type=5))[0]


def get(asker: Any, cdb: str, room: int = 255) -> str:
    return bytes(asker(cdb, data_in=room).raise_for_status().data).hex()


def test_table_of_contents(alice: Any) -> None:
    track, end = "0014010000000000", "0014aa0000000020"
    assert get(alice, "4300000000000000ff00") == "00120101" + track + end
    assert get(alice, "4300000000000100ff00") == "00120101" + track + end
    assert get(alice, "430000000000aa00ff00") == "000a0101" + end
    assert get(alice, "4302000000000000ff00") == "00120101" + "0014010000000200" + "0014aa0000000220"
    assert get(alice, "4300010000000000ff00") == "000a0101" + track
    points = ("a0" + "00" * 4 + "010000", "a1" + "00" * 4 + "010000", "a2" + "00" * 4 + "000220")
    track_point = "01" + "00" * 4 + "000200"
    full = "".join("011400" + point for point in (*points, track_point))
    assert get(alice, "4302020000000000ff00") == "002e0101" + full
    assert get(alice, "43000000000000000400") == "00120101"
    for cdb in ("4300000000000200ff00", "4300030000000000ff00", "4300050000000000ff00"):
        assert alice.code(cdb, data_in=255) == "5/24/00"


def test_what_is_longer_than_a_cd_is_a_dvd(unit: MakeUnit, initiators: Initiators) -> None:
    dvd, _, _ = initiators(unit(type=5, size=449_851 * 2048))
    cd, _, _ = initiators(unit(type=5, size=449_850 * 2048))
    assert get(dvd, "46000000000000000800")[12:] == "0010"
    assert get(cd, "46000000000000000800")[12:] == "0008"
    assert dvd.code("4302020000000000ff00", data_in=255) == "5/24/00"
    assert dvd.code("be0000000000000001100000", data_in=2048) == "5/30/02"


def test_configuration(alice: Any) -> None:
    whole = mmc.decode_configuration(bytes.fromhex(get(alice, "46000000000000ffff00", 65535)))
    assert whole.profile == mmc.Profile.CD_ROM
    current = {one.code for one in whole.features if one.current}
    assert current == {0, 1, 2, 3, 0x10, 0x1D, 0x1E, 0x100, 0x105, 0x108}
    assert [one.code for one in whole.features] == sorted(current | {0x1F})
    by_code = {one.code: one for one in whole.features}
    assert by_code[0].data.hex() == "00100000" + "00080100"
    assert by_code[0x10].data.hex() == "00000800" + "00010000"
    some = mmc.decode_configuration(bytes.fromhex(get(alice, "46010010000000ffff00", 65535)))
    assert [one.code for one in some.features] == [0x10, 0x1D, 0x1E, 0x100, 0x105, 0x108]
    one = mmc.decode_configuration(bytes.fromhex(get(alice, "4602001f000000ffff00", 65535)))
    assert [(each.code, each.current) for each in one.features] == [(0x1F, False)]
    assert get(alice, "46020123000000ffff00", 65535) == "0000000400000008"  # no such feature
    assert alice.code("46030000000000ffff00", data_in=255) == "5/24/00"
    alice.code(EJECT)
    assert get(alice, "46000000000000000800")[12:] == "0000"


def test_events_are_for_each_initiator(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit(type=5))
    assert get(alice, MEDIA_EVENT) == "0006045e" + "00020000"
    assert alice.code(EJECT) == "ok"
    assert get(alice, MEDIA_EVENT[:-4] + "0400") == "0006045e"  # no room for it: the event is kept
    assert [get(alice, MEDIA_EVENT)[8:] for _ in range(2)] == ["03010000", "00010000"]
    assert alice.code(TUR) == "2/3a/02"
    assert alice.code(LOAD) == "ok"
    assert [get(bob, MEDIA_EVENT)[8:] for _ in range(2)] == ["02020000", "00020000"]
    assert [bob.code(TUR), bob.code(TUR)] == ["6/28/00", "ok"]


def test_other_events(alice: Any) -> None:
    assert get(alice, "4a010000040000000800") == "0006025e" + "00010000"
    assert get(alice, "4a0100004a0000000800") == "0006015e" + "00000000"
    assert get(alice, "4a010000200000000800") == "0002805e"  # several hosts: not supported
    alice.code(EJECT)
    assert get(alice, "4a010000520000000800") == "0006045e" + "03010000"  # what has happened goes first
    assert alice.code("4a000000100000000800", data_in=8) == "5/24/00"


def test_an_event_goes_before_a_unit_attention_and_leaves_it(unit: MakeUnit, initiators: Initiators) -> None:
    alice, bob, _ = initiators(unit(type=5))
    alice.code(EJECT)
    alice.code(LOAD)
    assert bob.code(MEDIA_EVENT, data_in=8) == "ok"
    assert bob.code("46000000000000000800", data_in=8) == "ok"
    assert bob.code(TUR) == "6/28/00"


def test_disc_track_and_mechanism(alice: Any) -> None:
    disc = mmc.DiscInformation.decode(bytes.fromhex(get(alice, "5100000000000000ff00")))
    assert (disc.disc_status, disc.state_of_last_session, disc.number_of_sessions) == (2, 3, 1)
    for cdb in ("52000000000500" + "00ff00", "52010000000100" + "00ff00", "52020000000100" + "00ff00"):
        track = mmc.TrackInformation.decode(bytes.fromhex(get(alice, cdb)))
        assert (track.track_number, track.track_mode, track.data_mode, track.track_size) == (1, 4, 1, 32)
    assert alice.code("5200000000200000ff00", data_in=36) == "5/21/00"
    assert alice.code("5201000000020000ff00", data_in=36) == "5/24/00"
    assert alice.code("5101000000000000ff00", data_in=36) == "5/24/00"
    assert get(alice, "bd00000000000000000800" + "00") == "00" * 8
    alice.code(EJECT)
    assert get(alice, "bd00000000000000000800" + "00") == "0010" + "00" * 6
    assert alice.code("5100000000000000ff00", data_in=36) == "2/3a/02"


def test_capabilities_speed_and_lock(alice: Any) -> None:
    page = mmc.CapabilitiesPage.decode(bytes.fromhex(get(alice, "1a082a00ff00")[8:]))
    assert (page.loading_mechanism_type, page.eject, page.lock, page.lock_state) == (1, True, True, False)
    assert page.current_read_speed == page.maximum_read_speed == 7056
    assert alice.code("bb000160ffff000000000000") == "ok"
    alice.code("1e0000000100")
    page = mmc.CapabilitiesPage.decode(bytes.fromhex(get(alice, "1a082a00ff00")[8:]))
    assert (page.current_read_speed, page.lock_state) == (0x160, True)
    assert alice.code(EJECT) == "5/53/02"
    assert alice.code("bb0000000000000000000000") == "5/24/00"


def test_an_image_is_read_and_never_written(unit: MakeUnit, initiators: Initiators, tmp_path: Path) -> None:
    image = b"".join(bytes((number,)) * 2048 for number in range(4))
    path = tmp_path / "disc.iso"
    path.write_bytes(image + b"rest")
    path.chmod(0o400)
    alice, _, _ = initiators(unit(type=5, file=path, size=0))
    assert get(alice, "25000000000000000000", 8) == "00000003" + "00000800"
    assert bytes(alice("28000000000100000200", data_in=4096).data) == image[2048:6144]
    assert bytes(alice("be0000000002000001100000", data_in=2048).data) == image[4096:6144]
    assert alice.code("be0000000002000001f80000", data_in=2352) == "5/24/00"
    assert alice.code("be0400000002000001100000", data_in=2048) == "5/64/00"
    assert alice.code("be0000000004000001100000", data_in=2048) == "5/21/00"
    assert (alice.code("2b000000000300000000"), alice.code("2b000000000400000000")) == ("ok", "5/21/00")
    assert alice.code("2a000000000000000100", bytes(2048)) == "5/20/00"
    assert path.read_bytes() == image + b"rest"
    with pytest.raises(NodeError):
        unit(type=5, file=tmp_path / "missing.iso", size=2048)
