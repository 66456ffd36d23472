"""Every form in which a device may be named."""

from __future__ import annotations

import pytest

from midlayer.address import Address
from midlayer.device_url import (
    AddressForm,
    DeviceUrl,
    IscsiForm,
    NodeForm,
    VirtualForm,
    parse_device_url,
)
from midlayer.errors import DeviceUrlError

RIGHT: dict[str, DeviceUrl] = {
    "2:0:1:0": AddressForm(Address(2, 0, 1, 0)),
    "0:0:0:18446744073709551615": AddressForm(Address(0, 0, 0, (1 << 64) - 1)),
    "sg3": NodeForm("sg3", False, "/dev/sg3"),
    "/dev/sg3": NodeForm("sg3", True, "/dev/sg3"),
    "sdaa": NodeForm("sdaa", False, "/dev/sdaa"),
    "st0": NodeForm("st0", False, "/dev/st0"),
    "nst0": NodeForm("nst0", False, "/dev/nst0"),
    "sr0": NodeForm("sr0", False, "/dev/sr0"),
    "ch0": NodeForm("ch0", False, "/dev/ch0"),
    "/dev/disk/by-id/wwn-0x5": NodeForm("wwn-0x5", True, "/dev/disk/by-id/wwn-0x5"),
    "virtual:": VirtualForm({"type": "disk"}),
    "virtual:tape": VirtualForm({"type": "tape"}),
    "virtual:disk?size=1G&product=Hot+plug%21": VirtualForm(
        {"type": "disk", "size": "1G", "product": "Hot plug!"}
    ),
    "virtual:disk?serial=": VirtualForm({"type": "disk", "serial": ""}),
    "iscsi://10.0.0.1/iqn.2026-11.org:x/3": IscsiForm("10.0.0.1", 3260, "iqn.2026-11.org:x", 3),
    "iscsi://[fe80::1]:99/iqn.x/0": IscsiForm("fe80::1", 99, "iqn.x", 0),
    "iscsi://user@host/iqn.x/0?secret=f": IscsiForm(
        "host", 3260, "iqn.x", 0, {"user": "user", "secret": "f"}
    ),
}


@pytest.mark.parametrize("text", RIGHT)
def test_form(text: str) -> None:
    assert parse_device_url(text) == RIGHT[text]


WRONG = {
    "": "does not name a device; write 2:0:1:0, /dev/sg3, sg3, virtual:disk",
    "sg": "does not name a device",
    "nonsense": "does not name a device",
    "hda": "does not name a device",
    "2:0:1": "does not name a device",
    "2:0:1:": "write host:channel:target:lun, such as 2:0:1:0",
    "²:0:0:0": "is not an address",
    "٣:0:0:0": "is not an address",
    "sg٣": "does not name a device",
    "/dev/sg\0": "does not name a device",
    "virtual:disk?size": "write options as key=value, joined by &",
    "virtual:disk?size=1G&size=2G": "size is given twice",
    "virtual:disk?type=tape": "type is given twice",
    "iscsi://": r"write iscsi://host\[:port\]/iqn/lun",
    "iscsi://user%pw@host/iqn.x/0": "a secret does not belong on a command line",
    "iscsi://user:pw@host/iqn.x/0": "a secret does not belong on a command line",
    "iscsi://host/iqn.x/0?a=1&a=2": "a is given twice",
    "iscsi://host/0": r"write iscsi://host",
    "iscsi://host/iqn.x": r"write iscsi://host",
    "iscsi://host/iqn.x/-1": r"write iscsi://host",
    "iscsi://host/iqn.x/1_0": r"write iscsi://host",
    "iscsi://host:0x10/iqn.x/1": r"write iscsi://host",
    "iscsi://host:65536/iqn.x/1": r"write iscsi://host",
    "iscsi://[::1/iqn.x/1": r"write iscsi://host",
}


@pytest.mark.parametrize("text", WRONG)
def test_no_form(text: str) -> None:
    with pytest.raises(DeviceUrlError, match=WRONG[text]):
        parse_device_url(text)


def test_a_password_is_not_for_messages() -> None:
    with pytest.raises(DeviceUrlError) as refused:
        parse_device_url("iscsi://joe%secret@host/iqn.x")
    assert "secret" not in str(refused.value)
