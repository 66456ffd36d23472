"""The driver: commands by SG_IO, requests by sysfs, and errors that say what is missing."""

from __future__ import annotations

import errno
import logging
import os
import threading
from pathlib import Path
from types import SimpleNamespace as Rig

import pytest

from midlayer.address import Address
from midlayer.errors import InvalidRequest, NodeError, NodePermission
from midlayer.mid.command import HostByte
from midlayer.mid.logical_unit import DeviceState, LogicalUnit
from midlayer.upper.sg import execute

from .fake_kernel import SgAnswer

A = Address(2, 0, 1, 0)
CDB = bytes(6)


@pytest.fixture
def device(rig: Rig) -> LogicalUnit:
    rig.kernel.add_host(2)
    rig.kernel.add(A, queue_depth="64")
    rig.monitor.open()
    return rig.subsystem.device(A)


def settle(rig: Rig) -> None:
    while rig.kernel.source.waiting:
        rig.monitor.handle_ready()


def idle(device: LogicalUnit) -> bool:
    return device.busy == device.host.busy == 0


def test_host_looks_like_the_kernels(rig: Rig, device: LogicalUnit) -> None:
    host = device.host
    assert (host.host_no, host.name, host.proc_name, host.unique_id) == (2, "scsi_debug", "scsi_debug", 2)
    assert host.info == "scsi_debug, unique_id 2, can_queue 192"
    assert host.sg_tablesize == 2048
    assert host.session == rig.driver.sysfs.host_session(2)


def test_a_command(rig: Rig, device: LogicalUnit) -> None:
    rig.ioctl.answer = SgAnswer(data=b"data")
    result = execute(device, CDB, data_in=16)
    assert bytes(result.data) == b"data"
    assert (result.residual, result.status, result.host_byte) == (12, 0, 0)
    assert device.hostdata.pool.opened == 1
    execute(device, CDB)
    assert device.hostdata.pool.opened == 1


def test_a_cdb_longer_than_sg_takes(rig: Rig, device: LogicalUnit) -> None:
    assert execute(device, bytes(253)).host_byte == HostByte.DID_ABORT
    assert rig.ioctl.seen == []


def test_the_kernel_puts_in_the_lun_bits(rig: Rig) -> None:
    rig.kernel.add_host(2)
    old = bytes((0, 0, 2, 2, 31)) + bytes(31)
    rig.kernel.add(Address(2, 0, 0, 3), inquiry=old)
    rig.monitor.open()
    execute(rig.subsystem.device(Address(2, 0, 0, 3)), bytes(6))
    assert rig.ioctl.seen[0]["cdb"] == bytes(6)


@pytest.mark.parametrize("code", [errno.ENODEV, errno.ENXIO])
def test_a_device_that_went_away_while_it_had_the_command(rig: Rig, device: LogicalUnit, code: int) -> None:
    rig.ioctl.answer = SgAnswer(error=code)
    result = execute(device, CDB, data_in=16)
    assert (result.host_byte, result.residual) == (HostByte.DID_NO_CONNECT, 16)
    assert idle(device)


@pytest.mark.parametrize(
    ("code", "cdb", "host_byte", "hint"),
    [
        (errno.EINVAL, bytes(40), HostByte.DID_ABORT, "CDBs of up to 32 bytes"),
        (errno.EINVAL, CDB, HostByte.DID_ABORT, "less than 16 bytes"),
        (errno.EMSGSIZE, CDB, HostByte.DID_ABORT, "SG_IO failed"),
        (errno.ENOMEM, CDB, HostByte.DID_ERROR, "less than 16 bytes"),
        (errno.EIO, CDB, HostByte.DID_ERROR, "SG_IO failed"),
    ],
)
def test_what_the_kernel_does_not_send(
    rig: Rig, device: LogicalUnit, caplog: pytest.LogCaptureFixture,
    code: int, cdb: bytes, host_byte: HostByte, hint: str,
) -> None:  # fmt: skip
    rig.ioctl.answer = SgAnswer(error=code)
    with caplog.at_level(logging.WARNING):
        result = execute(device, cdb, data_in=16)
    assert (result.host_byte, result.residual) == (host_byte, 16)
    assert hint in caplog.text
    assert len(rig.ioctl.seen) == 1


def test_an_interrupted_command_is_not_sent_again(rig: Rig, device: LogicalUnit) -> None:
    rig.ioctl.answer = SgAnswer(error=errno.EINTR)
    assert execute(device, CDB).host_byte == HostByte.DID_ABORT
    assert len(rig.ioctl.seen) == 1


def test_ctrl_c_costs_neither_a_place_in_the_queue_nor_a_slot(rig: Rig, device: LogicalUnit) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    rig.ioctl.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        execute(device, CDB)
    assert idle(device)
    rig.ioctl.before = lambda: None
    assert execute(device, CDB).ok
    assert device.hostdata.pool.opened == 1


def test_sg_io_without_the_right(rig: Rig, device: LogicalUnit) -> None:
    rig.ioctl.answer = SgAnswer(error=errno.EPERM)
    with pytest.raises(NodePermission, match="2:0:1:0 sg0: SG_IO is not allowed"):
        execute(device, CDB)
    assert idle(device)


def test_no_sg_driver(rig: Rig) -> None:
    rig.kernel.add_host(2)
    rig.kernel.add(A, nodes=False)
    rig.monitor.open()
    device = rig.subsystem.device(A)
    with pytest.raises(NodeError, match="modprobe sg"):
        execute(device, CDB)
    assert idle(device)
    rig.kernel.add_node(A, "scsi_generic", "sg0")  # it is loaded now
    assert execute(device, CDB).ok


def test_a_node_that_was_not_made(rig: Rig, device: LogicalUnit) -> None:
    (rig.kernel.dev / "sg0").unlink()
    with pytest.raises(NodeError, match=r"sg0: no such node; give a container the node"):
        execute(device, CDB)


def test_a_node_of_another_device_is_not_used(rig: Rig, device: LogicalUnit) -> None:
    (rig.kernel.device_dir(A) / "scsi_generic/sg0/dev").write_text("21:0\n")
    with pytest.raises(NodeError, match=r"this node is 1:3, but the kernel's sg0 is 21:0"):
        execute(device, CDB)


def test_a_number_that_another_device_has_by_now_is_not_used(rig: Rig, device: LogicalUnit) -> None:
    rig.kernel.remove(A)
    rig.kernel.add(A, nodes=False)
    rig.kernel.add_node(A, "scsi_generic", "sg0")
    # The monitor has not heard of it: this is still the old device.
    assert execute(device, CDB).host_byte == HostByte.DID_NO_CONNECT
    assert rig.ioctl.seen == []
    settle(rig)
    assert execute(rig.subsystem.device(A), CDB).ok


def test_a_number_that_changes_hands_while_it_is_opened(
    rig: Rig, device: LogicalUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def replaced_meanwhile(path: object, *args: int, **options: int) -> int:
        fd = real(path, *args, **options)  # type: ignore[call-overload]
        if str(path).endswith("sg0") and device.session == rig.driver.sysfs.session(A):
            rig.kernel.remove(A)
            rig.kernel.add(A, nodes=False)
            rig.kernel.add_node(A, "scsi_generic", "sg0")
        return int(fd)

    monkeypatch.setattr(os, "open", replaced_meanwhile)
    assert execute(device, CDB).host_byte == HostByte.DID_NO_CONNECT
    assert rig.ioctl.seen == []


def test_removal_in_flight(rig: Rig, device: LogicalUnit) -> None:
    in_flight, removed = threading.Event(), threading.Event()

    def wait() -> None:
        in_flight.set()
        assert removed.wait(60)

    rig.ioctl.before = wait
    results = []
    thread = threading.Thread(target=lambda: results.append(execute(device, CDB)))
    thread.start()
    assert in_flight.wait(60)
    pool = device.hostdata.pool
    rig.kernel.remove(A)
    settle(rig)
    rig.ioctl.answer = SgAnswer(error=errno.ENODEV)
    removed.set()
    thread.join(60)
    assert [result.host_byte for result in results] == [HostByte.DID_NO_CONNECT]
    assert pool.opened == 0  # its descriptor went with it
    assert idle(device)


def test_another_sg_name_takes_new_descriptors(rig: Rig, device: LogicalUnit) -> None:
    execute(device, CDB)
    stale = device.hostdata.pool
    rig.kernel.remove_node(A, "scsi_generic", "sg0")
    rig.kernel.add_node(A, "scsi_generic", "sg7")
    settle(rig)
    assert device.names["sg"] == "sg7"
    assert stale.opened == 0
    assert execute(device, CDB).ok


def test_a_scan_by_the_mid_level_finds_nothing(rig: Rig, device: LogicalUnit) -> None:
    rig.subsystem.scan_host(device.host)
    assert rig.subsystem.devices() == [device]
    assert rig.ioctl.seen == []


@pytest.mark.parametrize(
    ("place", "text"), [((None, None, None), "- - -"), ((0, 3, None), "0 3 -"), ((0, 1, 2), "0 1 2")]
)
def test_user_scan(rig: Rig, device: LogicalUnit, place: tuple[int | None, ...], text: str) -> None:
    assert rig.driver.user_scan(device.host, *place)
    assert (rig.driver.sysfs.host_path(2) / "scan").read_text() == f"{text}\n"


def test_user_remove(rig: Rig, device: LogicalUnit) -> None:
    assert rig.driver.user_remove(device)
    assert (rig.kernel.device_dir(A) / "delete").read_text() == "1\n"
    rig.monitor.stop()
    assert not rig.driver.user_remove(device)


def test_user_remove_spares_another_device_at_the_address(rig: Rig, device: LogicalUnit) -> None:
    rig.kernel.remove(A)
    rig.kernel.add(A)
    rig.driver.user_remove(device)
    assert (rig.kernel.device_dir(A) / "delete").read_text() == ""


def test_user_state(rig: Rig, device: LogicalUnit) -> None:
    rig.subsystem.set_device_state(device, DeviceState.OFFLINE)
    assert rig.driver.sysfs.state(A) == "offline"
    assert execute(device, CDB).host_byte == HostByte.DID_NO_CONNECT
    rig.subsystem.set_device_state(device, DeviceState.RUNNING)
    assert rig.driver.sysfs.state(A) == "running"


def test_user_state_of_a_removed_device(rig: Rig, device: LogicalUnit) -> None:
    rig.kernel.remove(A)
    with pytest.raises(NodeError, match="has removed this device"):
        rig.driver.user_state(device, "offline")


def refusing(monkeypatch: pytest.MonkeyPatch, code: int, name: str) -> None:
    """Make opens of files with this name fail, as the kernel would for somebody else than root."""
    real = os.open

    def refuse(path: object, flags: int, *args: int, **options: int) -> int:
        if Path(str(path)).name == name:
            raise OSError(code, os.strerror(code), str(path))
        return real(path, flags, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize(
    ("code", "text"), [(errno.EACCES, r"write access is missing \(owner"), (errno.EROFS, "mounted read-only")]
)
def test_sysfs_without_the_right(
    rig: Rig, device: LogicalUnit, monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    refusing(monkeypatch, code, "scan")
    with pytest.raises(NodePermission, match=text) as caught:
        rig.driver.user_scan(device.host, None, None, None)
    assert "class/scsi_host/host2/scan" in str(caught.value)
    assert caught.value.errno == code


def test_a_node_without_the_right(rig: Rig, device: LogicalUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing(monkeypatch, errno.EACCES, "sg0")
    with pytest.raises(NodePermission, match=r"sg0: read and write access is missing \(owner root, group"):
        execute(device, CDB)
    assert idle(device)


def test_a_value_that_the_kernel_does_not_take(
    rig: Rig, device: LogicalUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, errno.EINVAL, "scan")
    with pytest.raises(InvalidRequest, match="does not take '0 99 -'"):
        rig.driver.user_scan(device.host, 0, 99, None)


def test_a_node_that_somebody_holds_exclusively(
    rig: Rig, device: LogicalUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, errno.EBUSY, "sg0")
    with pytest.raises(NodeError, match="holds it exclusively"):
        execute(device, CDB)


def test_a_device_that_is_gone_at_open(
    rig: Rig, device: LogicalUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing(monkeypatch, errno.ENXIO, "sg0")
    assert execute(device, CDB).host_byte == HostByte.DID_NO_CONNECT
