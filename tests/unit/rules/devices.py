"""A disk behind a host, as values: its block node, its sg node and what is above them."""

from __future__ import annotations

from midlayer.rules import Outcome, PlainEnvironment, PlainView, RuleSet

PORT = PlainView(devpath="/devices/pci0000:00/0000:00:1f.2", subsystem="pci", driver="ahci")
HOST = PlainView(
    devpath=f"{PORT.devpath}/host2", subsystem="scsi", own_properties={"DEVTYPE": "scsi_host"}, parent=PORT
)
TARGET = PlainView(
    devpath=f"{HOST.devpath}/target2:0:1",
    subsystem="scsi",
    own_properties={"DEVTYPE": "scsi_target"},
    parent=HOST,
)
UNIT = PlainView(
    devpath=f"{TARGET.devpath}/2:0:1:0",
    subsystem="scsi",
    driver="sd",
    own_properties={"DEVTYPE": "scsi_device", "MODALIAS": "scsi:t-0x00"},
    attributes={"vendor": "ACME    \n", "model": "Big; rm -rf /  \n", "type": "0\n", "inquiry": b"\0\0\6\2"},
    parent=TARGET,
)
DISK = PlainView(
    devpath=f"{UNIT.devpath}/block/sdb",
    subsystem="block",
    devnode="/dev/sdb",
    devnum=(8, 16),
    own_properties={"DEVTYPE": "disk"},
    attributes={"removable": "0\n", "size": "2048\n"},
    parent=UNIT,
)
PARTITION = PlainView(
    devpath=f"{DISK.devpath}/sdb1",
    subsystem="block",
    devnode="/dev/sdb1",
    devnum=(8, 17),
    own_properties={"DEVTYPE": "partition"},
    parent=DISK,
)
GENERIC = PlainView(
    devpath=f"{UNIT.devpath}/scsi_generic/sg3",
    subsystem="scsi_generic",
    devnode="/dev/sg3",
    devnum=(21, 3),
    parent=UNIT,
)


def apply(
    text: str,
    view: PlainView = DISK,
    action: str = "add",
    environment: PlainEnvironment | None = None,
) -> Outcome:
    """Apply one file, which has no mistake."""
    rules = RuleSet.of_texts({"50-test.rules": text})
    assert [str(mistake) for mistake in rules.mistakes] == []
    return rules.apply(view, action, environment)
