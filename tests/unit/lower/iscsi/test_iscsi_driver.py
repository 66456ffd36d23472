"""The initiator against the target, over a real socket: scan, data, loss, recovery."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from iscsi_array import IQN, Array
from tests import reconnecting
from tests.reconnecting import few_logs

__all__ = ["few_logs"]

import midlayer
from midlayer.errors import NodeError
from midlayer.iscsi.codes import AsyncEvent
from midlayer.lower.iscsi import FoundTarget, IscsiDriver, SessionSpec, discover
from midlayer.lower.iscsi.session_state import SessionState
from midlayer.lower.virtual import UnitSpec
from midlayer.mid.command import Command, HostByte
from midlayer.mid.dispatch import run, submit
from midlayer.mid.host import Host
from midlayer.mid.subsystem import Subsystem
from midlayer.mid.task_management import abort_command, reset
from midlayer.standards.sbc import Read10, Write10
from midlayer.testing import LOWER_DRIVER_CHECKS, Answer, check_lower_driver
from midlayer.upper.sg import execute

LogIn = Callable[..., Host]
TUR = bytes(6)
WAIT_S = 60.0
TIME_OUT_S = 0.1


def test_scan_finds_what_the_target_exports(log_in: LogIn) -> None:
    host = log_in()
    assert [str(device.address) for device in host.devices()] == ["0:0:0:0", "0:0:0:1", "0:0:0:2", "0:0:0:3"]
    assert host.info == f"iSCSI {IQN} at {host.hostdata.session.spec.portal}, logged in"


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"header_digest": True},
        {"data_digest": True},
        {"header_digest": True, "data_digest": True},
    ],
)
def test_data_comes_and_goes_whole(log_in: LogIn, keys: dict[str, bool]) -> None:
    device = log_in(**keys).devices()[0]
    choose = Random(7)
    for blocks in (1, 8, 127, 1024, 2048):
        data = choose.randbytes(blocks * 512)
        assert execute(device, Write10(transfer_length=blocks).encode(), data_out=data).ok
        result = execute(device, Read10(transfer_length=blocks).encode(), data_in=len(data))
        assert bytes(result.data) == data
        assert not result.residual


@pytest.mark.parametrize("check", LOWER_DRIVER_CHECKS)
def test_it_conforms(array: Array, check: str) -> None:
    array.export(lun=[{"lun": lun, "device": f"0:0:0:{lun}"} for lun in range(2)])
    check_lower_driver(
        lambda subsystem: IscsiDriver(subsystem).add_host(array.spec()), only=[check], may_write=True
    )


def test_sense_and_residual_come_through(log_in: LogIn) -> None:
    device = log_in().devices()[0]
    result = execute(device, Read10(logical_block_address=1 << 20, transfer_length=1).encode(), data_in=512)
    assert str(result.sense) == "ILLEGAL REQUEST, logical block address out of range (5/21/00)"
    assert result.residual == 512
    short = execute(device, Read10(transfer_length=1).encode(), data_in=4096)
    assert (len(short.data), short.residual) == (512, 4096 - 512)


def test_many_threads_at_once(log_in: LogIn) -> None:
    device = log_in().devices()[0]
    failures: list[object] = []

    def work(number: int) -> None:
        place = {"logical_block_address": number * 64}
        data = bytes((number,)) * 64 * 512
        for _ in range(10):
            write = Write10(transfer_length=64, **place).encode()  # type: ignore[arg-type]
            read = Read10(transfer_length=64, **place).encode()  # type: ignore[arg-type]
            if not execute(device, write, data_out=data).ok:
                failures.append(number)
            if bytes(execute(device, read, data_in=len(data)).data) != data:
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert not failures


def test_chap_both_ways(log_in: LogIn, tmp_path: Path) -> None:
    for name, secret in (("ours", b"a secret of ours"), ("theirs", b"another secret")):
        (tmp_path / name).write_bytes(secret)
        (tmp_path / name).chmod(0o600)
    export = {
        "account": [{"name": "me", "secret_file": str(tmp_path / "ours")}],
        "mutual": {"name": "array", "secret_file": str(tmp_path / "theirs")},
    }
    keys = {
        "user": "me",
        "secret": b"a secret of ours",
        "target_user": "array",
        "target_secret": b"another secret",
    }
    assert log_in(export=export, **keys).devices()


def test_who_does_not_know_the_secret_stays_out(log_in: LogIn, tmp_path: Path) -> None:
    (tmp_path / "ours").write_bytes(b"a secret of ours")
    (tmp_path / "ours").chmod(0o600)
    export = {"account": [{"name": "me", "secret_file": str(tmp_path / "ours")}]}
    with pytest.raises(NodeError, match="authentication failure") as caught:
        log_in(export=export, user="me", secret=b"not the secret")
    assert not any(secret in str(caught.value) for secret in ("a secret of ours", "not the secret"))


def test_a_target_that_is_not_there(subsystem: Subsystem, array: Array) -> None:
    array.export()
    with pytest.raises(NodeError, match=r"iqn\.2026-11\.io\.midlayer:other at 127\.0\.0\.1:\d+: .*not found"):
        IscsiDriver(subsystem).add_host(array.spec(target="iqn.2026-11.io.midlayer:other"))
    array.server.remove(IQN)
    with pytest.raises(NodeError, match=r"127\.0\.0\.1:\d+: Connection refused"):
        IscsiDriver(subsystem).add_host(array.spec())
    assert subsystem.hosts() == []


def test_discovery(array: Array) -> None:
    array.export()
    found = discover(SessionSpec(portal=f"127.0.0.1:{array.port}"))
    assert found == [FoundTarget(IQN, (f"127.0.0.1:{array.port},1",))]


class States:
    """Waits for states of a session."""

    def __init__(self, host: Host) -> None:
        self._link = host.hostdata
        self._changed = threading.Condition()
        self._before = self._link.state_changed
        self._link.state_changed = self._note
        self._seen: list[SessionState] = []

    def _note(self, state: SessionState) -> None:
        self._before(state)
        with self._changed:
            self._seen.append(state)
            self._changed.notify_all()

    def wait_for(self, state: SessionState) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: state in self._seen, WAIT_S), self._seen
            self._seen.clear()


def test_a_lost_session_comes_back_and_commands_wait(log_in: LogIn, array: Array) -> None:
    host = log_in(ping_interval_s=0.0)
    device, states = host.devices()[0], States(host)
    array.server.remove(IQN)
    states.wait_for(SessionState.LOST)
    ended = threading.Event()
    command = Command(device, TUR, on_finished=lambda command: ended.set(), passthrough=True)
    submit(command)
    assert not ended.is_set()
    array.export()
    states.wait_for(SessionState.LOGGED_IN)
    assert ended.wait(WAIT_S)
    assert (command.status, command.host_byte) == (0, 0)
    assert host.hostdata.session.logins == 2


@pytest.mark.usefixtures("few_logs")
def test_writes_through_many_reconnects(log_in: LogIn) -> None:
    host = log_in()
    reconnecting.write_through_reconnects(host, host.devices()[0])


@pytest.mark.usefixtures("few_logs")
def test_no_command_is_sent_twice_however_often_the_session_is_lost(log_in: LogIn, array: Array) -> None:
    host = log_in()
    device = host.devices()[3]
    census = None
    for number in range(reconnecting.RECONNECTS):
        array.scripted.commands.clear()
        flight = reconnecting.Flight()
        cdbs = [bytes((0x00, 0, number >> 8 & 255, number & 255, at, 0)) for at in range(8)]
        for cdb in cdbs:
            flight.send(device, cdb)
        reconnecting.reconnect(host, number)
        flight.wait(len(cdbs))
        seen = [cdb for _, cdb in array.scripted.commands]
        good = [command.cdb for command in flight.ends if not (command.host_byte or command.status)]
        assert all(seen.count(cdb) <= 1 for cdb in cdbs)
        assert all(seen.count(cdb) == 1 for cdb in good)
        del flight
        if number == 20:
            census = reconnecting.Census.take(host)
    reconnecting.assert_no_leak(census, host)


def test_what_was_under_way_ends_cleanly_when_the_session_is_lost(log_in: LogIn, array: Array) -> None:
    host = log_in()
    device = host.devices()[3]
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True))
    ended = threading.Event()
    command = Command(device, TUR, on_finished=lambda command: ended.set(), passthrough=True)
    submit(command)
    host.hostdata.session.reconnect("on purpose", WAIT_S)
    assert ended.wait(WAIT_S)
    assert command.host_byte == HostByte.DID_TRANSPORT_DISRUPTED
    for pending in list(array.scripted.pending):
        pending.complete()


def test_after_the_replacement_time_out_commands_end_at_once(log_in: LogIn, array: Array) -> None:
    host = log_in(replacement_timeout_s=0.0)
    states = States(host)
    array.server.remove(IQN)
    states.wait_for(SessionState.FAILED)
    result = execute(host.devices()[0], TUR)
    assert result.host_byte == HostByte.DID_TRANSPORT_FAILFAST


def test_a_target_that_asks_for_a_logout_gets_one_and_a_new_login(log_in: LogIn, array: Array) -> None:
    host = log_in()
    states = States(host)
    (before,) = array.server.sessions(IQN)
    with before.lock:
        before.iscsi.send_async(AsyncEvent.REQUEST_LOGOUT, parameters=(0, 0, 3))
        before._flush()
    states.wait_for(SessionState.LOGGED_IN)
    assert before.ended_because == "logged out"
    assert (host.hostdata.session.logins, execute(host.devices()[0], TUR).host_byte) == (2, 0)


def test_abort_task(log_in: LogIn, array: Array) -> None:
    device = log_in().devices()[3]
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True))
    ended = threading.Event()
    command = Command(device, TUR, on_finished=lambda command: ended.set(), passthrough=True)
    submit(command)
    while not array.scripted.pending:
        threading.Event().wait(0.001)
    abort_command(command)
    for pending in list(array.scripted.pending):
        pending.complete()
    assert ended.wait(WAIT_S)


def actions(host: Host) -> list[tuple[str, str]]:
    """Return what the error handler did, and how each step ended."""
    return [(step.action.value, step.outcome) for step in host.error_handler.recent]


def test_a_time_out_ends_in_an_abort(log_in: LogIn, array: Array) -> None:
    host = log_in()
    array.scripted.handle("abort")
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True), Answer())
    command = Command(host.devices()[3], TUR, None, None, TIME_OUT_S, 0, True)
    assert run(command).host_byte == HostByte.DID_TIME_OUT
    assert ("abort", "success") in actions(host)
    assert "eh_abort_handler 1:0:0:0" in array.scripted.calls
    assert (host.hostdata.session.logins, execute(host.devices()[3], TUR).ok) == (1, True)


def test_a_time_out_that_nothing_else_helps_against_ends_in_a_new_login(log_in: LogIn, array: Array) -> None:
    host = log_in()
    array.scripted.unit(0, 0, 0).on(TUR[0], Answer(later=True), Answer())
    command = Command(host.devices()[3], TUR, None, None, TIME_OUT_S, 0, True)
    assert run(command).host_byte == HostByte.DID_TIME_OUT
    tried = [("abort", "failed"), ("device reset", "failed"), ("target reset", "failed")]
    assert [step for step in actions(host) if step in (*tried, ("host reset", "success"))] == [
        *tried,
        ("host reset", "success"),
    ]
    assert host.hostdata.session.logins == 2
    for pending in list(array.scripted.pending):
        pending.complete()
    assert execute(host.devices()[3], TUR).ok


@pytest.mark.parametrize("level", ["device", "target", "host"])
def test_resets(log_in: LogIn, level: str) -> None:
    device = log_in(export={"lun": [{"lun": 0, "device": "0:0:0:0"}]}).devices()[0]
    assert reset(device, level) == 0x2002
    assert any(execute(device, TUR).ok for _ in range(3))  # a unit attention may come first


def test_new_luns_are_found_when_the_target_says_so(log_in: LogIn, array: Array) -> None:
    host = log_in()
    array.virtual.plug(array.host, UnitSpec(lun=9, size=1 << 20))
    found = threading.Event()
    link = host.hostdata
    before = link._rescan

    def rescan() -> None:
        before()
        found.set()

    link._rescan = rescan
    link._look_for_lun_change(Answer.check(6, 0x3F, 0x0E).sense)
    assert found.wait(WAIT_S)
    assert AsyncEvent.SCSI_EVENT == 0


def test_a_host_that_may_wait_logs_in_when_the_target_appears(array: Array, subsystem: Subsystem) -> None:
    array.export()
    array.server.remove(IQN)
    host = IscsiDriver(subsystem).add_host(array.spec(), patient=True)
    assert host.hostdata.session.state is SessionState.LOST
    assert not host.devices()
    states = States(host)
    array.export()
    states.wait_for(SessionState.LOGGED_IN)
    host.hostdata.join()
    assert len(host.devices()) == 4


@pytest.mark.parametrize("number", [300, 0x4000 | 300])
def test_a_lun_from_256_on_is_flat_in_a_url(array: Array, number: int) -> None:
    array.export(lun=[{"lun": 300, "device": "0:0:0:1"}])
    with midlayer.open_device(f"iscsi://127.0.0.1:{array.port}/{IQN}/{number}") as device:
        assert device.logical_unit.address.lun == 0x4000 | 300
        assert device.execute(TUR).ok
