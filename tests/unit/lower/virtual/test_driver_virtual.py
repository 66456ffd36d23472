"""The virtual host: what is plugged in, pulled out, missing or broken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midlayer.errors import DeviceExists, InvalidRequest, NodeError, NoSuchDevice, SpecError
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.command import HostByte
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg import execute

TUR, INQUIRY = bytes(6), b"\x12\x00\x00\x00\x60\x00"
READ, WRITE = bytes.fromhex("28000000000000000100"), bytes.fromhex("2a000000000000000100")
SMALL = 65536


def addresses(subsystem: Subsystem) -> list[str]:
    return [str(device.address) for device in subsystem.devices()]


def test_plug_and_unplug(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    host = virtual.add_host()
    assert (host.info, addresses(subsystem)) == ("midlayer virtual HBA, 0 units", [])
    device = virtual.plug(host, UnitSpec(size=SMALL, target=2, lun=3))
    assert (host.info, addresses(subsystem)) == ("midlayer virtual HBA, 1 units", ["0:0:2:3"])
    assert execute(device, TUR).ok
    virtual.unplug(device)
    virtual.unplug(device)
    assert (addresses(subsystem), host.targets) == ([], {})
    assert execute(device, TUR).host_byte == HostByte.DID_NO_CONNECT
    virtual.remove_host(host)
    assert (host.references, host.info) == (0, "midlayer virtual HBA")


def test_two_at_one_address(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    host = virtual.add_host()
    device = virtual.plug(host, UnitSpec(size=SMALL))
    with pytest.raises(DeviceExists, match="0:0:0:0: a unit is plugged in there"):
        virtual.plug(host, UnitSpec(size=SMALL))
    assert subsystem.devices() == [device]
    assert execute(device, TUR).ok
    twice = HostSpec(units=(UnitSpec(size=SMALL), UnitSpec(size=SMALL)))
    with pytest.raises(DeviceExists):
        virtual.add_host(twice)
    assert [host.host_no for host in subsystem.hosts()] == [0]
    assert virtual.add_host().host_no == 1  # the number of the failed host is free again


@pytest.mark.parametrize("keys", [{"qualifier": 3}, {"qualifier": 1, "type": 0x1F}])
def test_a_plug_that_gives_no_device_is_undone(
    subsystem: Subsystem, virtual: VirtualDriver, keys: dict[str, int]
) -> None:
    host = virtual.add_host()
    with pytest.raises(NoSuchDevice):
        virtual.plug(host, UnitSpec(size=SMALL, **keys))  # type: ignore[arg-type]
    assert host.info.endswith(", 0 units")
    assert virtual.plug(host, UnitSpec(size=SMALL)).accessible


def test_plugs_that_are_refused(virtual: VirtualDriver, tmp_path: Path) -> None:
    host = virtual.add_host(HostSpec(max_lun=8))
    with pytest.raises(InvalidRequest, match="lun 8"):
        virtual.plug(host, UnitSpec(size=SMALL, lun=8))
    with pytest.raises(SpecError, match="one at a time"):
        virtual.plug(host, UnitSpec(size=SMALL, count=2))
    with pytest.raises(NodeError):
        virtual.plug(host, UnitSpec(file=tmp_path, size=SMALL))
    (tmp_path / "tiny").write_bytes(b"x" * 100)
    with pytest.raises(NodeError, match="not room for one block"):
        virtual.plug(host, UnitSpec(file=tmp_path / "tiny", size=0))
    assert host.info.endswith(", 0 units")


def test_a_unit_that_is_pulled_without_a_word(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=SMALL, count=2),)))
    device, other = subsystem.devices()
    assert execute(device, WRITE, data_out=b"x" * 512).ok
    virtual.disconnect(host, 0, 0, 0)
    for cdb, data_in in ((READ, 512), (TUR, None)):
        sense = execute(device, cdb, data_in=data_in).sense
        assert sense is not None
        assert sense.code == "5/25/00"
    assert execute(device, INQUIRY, data_in=96).data[0] == 0x7F
    sense_data = execute(device, b"\x03\x00\x00\x00\xfc\x00", data_in=252).data
    assert (sense_data[2], sense_data[12]) == (5, 0x25)
    changed = execute(other, TUR).sense
    assert changed is not None
    assert changed.code == "6/3f/0e"
    assert execute(other, TUR).ok
    virtual.disconnect(host, 0, 0, 1)
    assert execute(device, TUR).host_byte == HostByte.DID_NO_CONNECT
    replaced = virtual.plug(host, UnitSpec(size=SMALL, vendor="OTHER"))
    assert replaced is device  # rule SC-1: a known address gets no new INQUIRY
    assert bytes(execute(device, INQUIRY, data_in=96).data)[8:13] == b"OTHER"
    assert not any(execute(device, READ, data_in=512).data)


def test_an_old_device_does_not_pull_out_a_new_unit(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    host = virtual.add_host()
    old = virtual.plug(host, UnitSpec(size=SMALL)).get()
    virtual.unplug(old)
    new = virtual.plug(host, UnitSpec(size=SMALL))
    virtual.unplug(old)
    assert execute(new, TUR).ok
    old.put()


def test_a_missing_lun(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=SMALL, lun=1),)))
    assert addresses(subsystem) == ["0:0:0:1"]
    with pytest.raises(NoSuchDevice):
        subsystem.add_device(host, 0, 0, 2)
    with pytest.raises(NoSuchDevice):
        subsystem.add_device(host, 0, 9, 0)


@pytest.mark.parametrize("report_luns", [True, False])
def test_a_target_that_refuses_report_luns(
    subsystem: Subsystem, virtual: VirtualDriver, report_luns: bool
) -> None:
    units = tuple(UnitSpec(size=SMALL, lun=lun) for lun in (0, 1, 2, 4))
    virtual.add_host(HostSpec(units=units, report_luns=report_luns))
    assert [device.address.lun for device in subsystem.devices()] == (
        [0, 1, 2, 4] if report_luns else [0, 1, 2]
    )


def test_count(subsystem: Subsystem, virtual: VirtualDriver) -> None:
    virtual.add_host(HostSpec(units=(UnitSpec(size=SMALL, count=3, lun=5), UnitSpec(size=SMALL))))
    assert addresses(subsystem) == ["0:0:0:0", "0:0:0:5", "0:0:0:6", "0:0:0:7"]
    names = {device.vpd_pages[0x80] for device in subsystem.devices()}
    assert len(names) == 4


def test_a_file(subsystem: Subsystem, virtual: VirtualDriver, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    spec = HostSpec(units=(UnitSpec(file=path, size=SMALL),))
    host = virtual.add_host(spec)
    assert execute(subsystem.devices()[0], WRITE, data_out=b"x" * 512).ok
    virtual.remove_host(host)
    host = virtual.add_host(spec)
    (device,) = subsystem.devices()
    assert bytes(execute(device, READ, data_in=512).data) == b"x" * 512
    os.truncate(path, 0)
    failed = execute(device, READ, data_in=512)
    assert failed.sense is not None
    assert (failed.sense.code, failed.residual) == ("3/11/00", 512)
    virtual.remove_host(host)


@pytest.mark.parametrize(("number", "code"), [(28, "7/27/07"), (122, "7/27/07"), (5, "3/0c/00")])
def test_errors_of_a_file_that_is_written(
    virtual: VirtualDriver, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=SMALL),)))
    (device,) = host.devices()

    def write(offset_bytes: int, data: bytes) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(device.hostdata.medium, "write", write)
    result = execute(device, WRITE, data_out=bytes(512))
    assert result.sense is not None
    assert (result.sense.code, result.residual) == (code, 512)


@pytest.mark.parametrize("verifies", [False, True])
def test_errors_of_a_file_that_is_read(virtual: VirtualDriver, tmp_path: Path, verifies: bool) -> None:
    file = tmp_path / "disk"
    host = virtual.add_host(HostSpec(units=(UnitSpec(size=SMALL, file=file),)))
    (device,) = host.devices()
    os.truncate(file, 0)
    if verifies:
        result = execute(device, bytes.fromhex("2f020000000000000100"), data_out=bytes(512))
    else:
        result = execute(device, bytes.fromhex("28000000000000000100"), data_in=512)
    assert result.sense is not None
    assert result.sense.code == "3/11/00"
    assert (device.hostdata.counters.read_errors, device.hostdata.counters.write_errors) == (1, 0)
    virtual.remove_host(host)


def test_the_host_gives_its_numbers_on(virtual: VirtualDriver) -> None:
    spec = HostSpec(name="mine", host_no=9, can_queue=5, cmd_per_lun=9, max_cmd_len=16, this_id=7, max_id=8)
    host = virtual.add_host(spec)
    assert (host.host_no, host.name, host.can_queue, host.cmd_per_lun) == (9, "mine", 5, 5)
    assert (host.max_cmd_len, host.this_id, host.max_id) == (16, 7, 8)
    scoped = virtual.add_host(HostSpec.from_mapping({"eh_scope": "device", "eh_deadline": 60}))
    assert (scoped.eh_scope, scoped.eh_deadline) == ("device", 60)
    with pytest.raises(SpecError, match="eh_scope: 'planet' must be one of host, target, device"):
        HostSpec.from_mapping({"eh_scope": "planet"})
