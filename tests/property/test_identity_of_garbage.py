"""Whatever bytes a device sends as INQUIRY data and VPD pages, it has an identity, and is itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.upper.policy import QuarantineRule, difference, recorded

PAGES = st.dictionaries(st.sampled_from((0x00, 0x80, 0x83)), st.binary(max_size=64))


@given(inquiry=st.binary(min_size=5, max_size=96), pages=PAGES)
def test_any_bytes_are_an_identity(inquiry: bytes, pages: dict[int, bytes]) -> None:
    driver = VirtualDriver(Subsystem(clock=FakeClock()))
    host = driver.add_host(HostSpec(units=(UnitSpec(),)))
    (device,) = host.devices()
    device.set_inquiry(inquiry)
    device.vpd_pages.clear()
    device.vpd_pages.update(pages)
    identity = recorded(device)
    assert difference(identity, recorded(device)) == {}
    assert identity.qualifier == f"{inquiry[0] >> 5:03b}b"
    for part in (identity.vendor, identity.model, identity.revision):
        assert part is not None
        assert part.isprintable()
    assert QuarantineRule(qualifier=inquiry[0] >> 5).matches(device)
    driver.remove_host(host)
