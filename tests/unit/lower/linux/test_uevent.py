"""Uevents: the kernel's own, byte for byte, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from midlayer.address import Address
from midlayer.lower.linux.uevent import Kind, Uevent, UeventError, parse

CAPTURE = Path(__file__).parent / "data/uevents-linux-6.1.txt"


def captured() -> list[bytes]:
    blocks = CAPTURE.read_text().split("\n\n")
    return [
        block.strip().replace("\n", "\0").encode() + b"\0"
        for block in blocks
        if "@/" in block.partition("\n")[0]
    ]


def event(action: str, devpath: str, **properties: str) -> Uevent:
    pairs = {"ACTION": action, "DEVPATH": devpath, "SEQNUM": "7", **properties}
    return parse(f"{action}@{devpath}\0".encode() + "".join(f"{k}={v}\0" for k, v in pairs.items()).encode())


def test_every_captured_event_is_read() -> None:
    events = [parse(datagram) for datagram in captured()]
    assert [each.seqnum for each in events] == list(range(1066, 1095))


def test_captured_events_about_hosts_and_devices() -> None:
    events = [parse(datagram) for datagram in captured()]
    about = [
        (each.action, each.kind, each.host_no, each.address) for each in events if each.kind is not Kind.OTHER
    ]
    address = Address(0, 0, 0, 0)
    assert about == [
        ("add", Kind.HOST, 0, None),
        ("add", Kind.DEVICE, 0, address),
        ("add", Kind.NODE, 0, address),
        ("change", Kind.DEVICE, 0, address),
        ("add", Kind.NODE, 0, address),
        ("bind", Kind.DEVICE, 0, address),
        ("remove", Kind.NODE, 0, address),
        ("remove", Kind.NODE, 0, address),
        ("unbind", Kind.DEVICE, 0, address),
        ("remove", Kind.DEVICE, 0, address),
        ("remove", Kind.HOST, 0, None),
    ]


def test_captured_nodes_and_changes() -> None:
    events = [parse(datagram) for datagram in captured()]
    assert [each.node for each in events if each.node and each.action == "add"] == [
        ("sg", "sg0"),
        ("sd", "sda"),
    ]
    assert [each.changes for each in events if each.changes] == [
        {"unit_attention": "POWER_ON_RESET_OCCURRED"}
    ]


def test_media_change() -> None:
    change = event(
        "change", "/devices/1:0:0:0", SUBSYSTEM="scsi", DEVTYPE="scsi_device", SDEV_MEDIA_CHANGE="1"
    )
    assert change.changes == {"media_change": "1"}


@pytest.mark.parametrize(
    ("subsystem", "name", "node"),
    [
        ("scsi_tape", "st0", ("st", "st0")),
        ("scsi_tape", "nst0", None),
        ("scsi_tape", "st0a", None),
        ("block", "sr0", ("sr", "sr0")),
        ("block", "sdab", ("sd", "sdab")),
        ("scsi_disk", "1:0:0:0", None),
    ],
)
def test_node_names(subsystem: str, name: str, node: tuple[str, str] | None) -> None:
    devtype = {"DEVTYPE": "disk"} if subsystem == "block" else {}
    devpath = f"/devices/host1/target1:0:0/1:0:0:0/{subsystem}/{name}"
    assert event("add", devpath, SUBSYSTEM=subsystem, **devtype).node == node


def test_a_disk_of_another_subsystem_is_no_node_of_ours() -> None:
    assert event("add", "/devices/virtual/block/loop0", SUBSYSTEM="block", DEVTYPE="disk").kind is Kind.OTHER


def test_a_partition_is_no_node() -> None:
    devpath = "/devices/host1/target1:0:0/1:0:0:0/block/sda/sda1"
    assert event("add", devpath, SUBSYSTEM="block", DEVTYPE="partition").kind is Kind.OTHER


def test_pci_function_is_no_address() -> None:
    devpath = "/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:1/0:0:1:4294967296"
    found = event("add", devpath, SUBSYSTEM="scsi", DEVTYPE="scsi_device")
    assert found.address == Address(0, 0, 1, 4294967296)


def test_the_last_host_of_a_path_counts() -> None:
    assert event("add", "/devices/host7/x/host12/scsi_host/host12", SUBSYSTEM="scsi_host").host_no == 12


def test_synthetic_event() -> None:
    assert event("add", "/devices/x", SYNTH_UUID="0").synthetic
    assert not event("add", "/devices/x").synthetic


def test_bytes_that_are_no_utf8_are_kept() -> None:
    datagram = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0NAME=\xff\xfe\0SEQNUM=3\0"
    assert parse(datagram).properties["NAME"].encode("utf-8", "surrogateescape") == b"\xff\xfe"


GOOD = b"add@/devices/x\0ACTION=add\0DEVPATH=/devices/x\0SEQNUM=3\0"


@pytest.mark.parametrize(
    ("datagram", "kind"),
    [
        (b"libudev\0\xfe\xed\xca\xfe" + bytes(32), "libudev"),
        (b"", "truncated"),
        (GOOD[:-1], "truncated"),
        (GOOD[: GOOD.index(b"SEQNUM")], "seqnum"),
        (b"\0", "header"),
        (b"add@devices\0", "header"),
        (b"@/devices/x\0SEQNUM=3\0", "header"),
        (GOOD.replace(b"ACTION=add", b"ACTION=remove"), "header"),
        (GOOD.replace(b"DEVPATH=/devices/x", b"DEVPATH=/devices/y"), "header"),
        (GOOD.replace(b"SEQNUM=3", b"SEQNUM"), "variable"),
        (GOOD.replace(b"SEQNUM=3", b"=3"), "variable"),
        (GOOD.replace(b"SEQNUM=3", b"SEQNUM=-3"), "seqnum"),
        (GOOD.replace(b"SEQNUM=3", b"SEQNUM=" + b"9" * 5000), "seqnum"),
        (GOOD.replace(b"SEQNUM=3", "SEQNUM=\u0663".encode()), "seqnum"),
    ],
)
def test_what_is_no_event(datagram: bytes, kind: str) -> None:
    with pytest.raises(UeventError) as caught:
        parse(datagram)
    assert caught.value.kind == kind
