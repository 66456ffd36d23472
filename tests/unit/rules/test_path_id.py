"""by-path names, one transport a test; QEMU's and scsi_debug's are judged in the kernel tier."""

from __future__ import annotations

from dataclasses import replace

from midlayer.rules import PlainEnvironment, PlainView
from midlayer.rules.path_id import path_id

from .devices import DISK, GENERIC, HOST, PARTITION, PORT, TARGET, UNIT


def below(*names: str, subsystems: tuple[str, ...] = ()) -> PlainView:
    """Return a disk below a port, with devices of a transport between port and target."""
    step = PORT
    for at, name in enumerate(names):
        subsystem = subsystems[at] if at < len(subsystems) else ""
        devtype = {"DEVTYPE": "scsi_host"} if name.startswith("host") else {}
        step = PlainView(
            devpath=f"{step.devpath}/{name}", subsystem=subsystem, own_properties=devtype, parent=step
        )
    target = replace(TARGET, devpath=f"{step.devpath}/target2:0:1", parent=step)
    unit = replace(UNIT, devpath=f"{target.devpath}/2:0:1:7", parent=target)
    return replace(DISK, devpath=f"{unit.devpath}/block/sdb", parent=unit)


def device(subsystem: str, name: str, **attributes: str) -> tuple[tuple[str, str], PlainView]:
    return (subsystem, name), PlainView(devpath=f"/x/{name}", subsystem=subsystem, attributes=attributes)


def environment(*devices: tuple[tuple[str, str], PlainView]) -> PlainEnvironment:
    return PlainEnvironment(
        devices=dict(devices),
        files={
            f"/sys{PORT.devpath}/host1/x": b"",
            f"/sys{PORT.devpath}/host2/x": b"",
            f"/sys{PORT.devpath}/hosts": b"",
        },
    )


def test_a_host_is_counted_from_the_lowest_of_its_adapter() -> None:
    wanted = {"ID_PATH": "pci-0000:00:1f.2-scsi-1:0:1:0", "ID_PATH_TAG": "pci-0000_00_1f_2-scsi-1_0_1_0"}
    for view in (DISK, GENERIC, PARTITION, UNIT):
        assert path_id(view, environment()) == wanted


def test_a_device_without_a_known_parent_has_no_name() -> None:
    pseudo = replace(PORT, subsystem="pseudo")
    host = replace(HOST, parent=pseudo)
    unit = replace(UNIT, parent=replace(TARGET, parent=host))
    assert path_id(replace(DISK, parent=unit), environment()) is None
    assert path_id(PlainView(devpath="/devices/virtual/x"), environment()) is None


def test_fibre_channel() -> None:
    view = below("host2", "rport-2:0-1", subsystems=("scsi",))
    known = environment(device("fc_transport", "target2:0:1", port_name="0x5006016844602198"))
    assert (path_id(view, known) or {})["ID_PATH"] == "pci-0000:00:1f.2-fc-0x5006016844602198-lun-7"
    assert path_id(view, environment()) is None


def test_serial_attached_scsi() -> None:
    view = below("host2", "port-2:0", "end_device-2:0", subsystems=("scsi",))
    wide = environment(
        device("sas_port", "port-2:0", num_phys="4"),
        device("sas_device", "end_device-2:0", sas_address="0x5000c500"),
    )
    assert (path_id(view, wide) or {})["ID_PATH"] == "pci-0000:00:1f.2-sas-0x5000c500-lun-7"
    narrow = environment(
        device("sas_port", "port-2:0", num_phys="1"),
        device("sas_device", "end_device-2:0", phy_identifier="3"),
    )
    assert (path_id(view, narrow) or {})["ID_PATH"] == "pci-0000:00:1f.2-sas-phy3-lun-7"


def test_iscsi() -> None:
    view = below("host2", "session5", subsystems=("scsi",))
    known = environment(
        device("iscsi_session", "session5", targetname="iqn.2026-01.test:a"),
        device("iscsi_connection", "connection5:0", persistent_address="10.0.0.1", persistent_port="3260"),
    )
    wanted = "pci-0000:00:1f.2-ip-10.0.0.1:3260-iscsi-iqn.2026-01.test:a-lun-7"
    assert (path_id(view, known) or {})["ID_PATH"] == wanted


def test_ata_has_a_second_name() -> None:
    view = below("ata3", "host2", subsystems=("", "scsi"))
    found = path_id(view, environment(device("ata_port", "ata3", port_no="3")))
    assert found is not None
    assert found["ID_PATH"] == "pci-0000:00:1f.2-ata-3.1"
    assert found["ID_PATH_ATA_COMPAT"] == "pci-0000:00:1f.2-ata-3"


def test_large_luns_are_written_as_on_the_wire() -> None:
    view = below("host2", "rport-2:0-1", subsystems=("scsi",))
    unit = replace(
        UNIT,
        devpath=f"{view.devpath.partition('/2:0:1:7')[0]}/2:0:1:16640",
        parent=view.parent and view.parent.parent,
    )
    known = environment(device("fc_transport", "target2:0:1", port_name="0x1"))
    assert (path_id(unit, known) or {})["ID_PATH"] == "pci-0000:00:1f.2-fc-0x1-lun-0x4100000000000000"


def test_a_tape_with_a_mode_in_its_name() -> None:
    tape = PlainView(devpath=f"{UNIT.devpath}/scsi_tape/nst0l", subsystem="scsi_tape", parent=UNIT)
    assert (path_id(tape, environment()) or {})["ID_PATH"] == "pci-0000:00:1f.2-scsi-1:0:1:0"
