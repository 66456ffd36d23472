"""A login that failed says with whom, where, why, and what to do."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from iscsi_array import IQN, Array

from midlayer.lower.iscsi import discover
from midlayer.lower.iscsi.login import LoginFailed, connect
from midlayer.lower.iscsi.session import Session
from midlayer.lower.iscsi.session_state import Owner
from midlayer.mid.clock import SystemClock

SECRET, OTHER = b"a secret of ours", b"another secret of theirs"


@pytest.fixture
def account(tmp_path: Path) -> dict[str, Any]:
    """Return keys of a target that wants CHAP."""
    for name, secret in (("ours", SECRET), ("theirs", OTHER)):
        (tmp_path / name).write_bytes(secret)
        (tmp_path / name).chmod(0o600)
    return {
        "account": [{"name": "me", "secret_file": str(tmp_path / "ours")}],
        "mutual": {"name": "array", "secret_file": str(tmp_path / "theirs")},
    }


def failure(array: Array, **keys: Any) -> str:
    with pytest.raises(LoginFailed) as caught:
        Session(array.spec(**keys), Owner(), SystemClock(), connect).start()
    for secret in (SECRET, OTHER):
        assert secret.decode() not in str(caught.value)
    return str(caught.value)


def where(array: Array, target: str = IQN) -> str:
    return f"{target} at 127.0.0.1:{array.port}: "


def test_no_account(array: Array, account: dict[str, Any]) -> None:
    array.export(**account)
    said = "the target refused the login: authentication failure; it asks for CHAP; set user and secret"
    assert failure(array) == where(array) + said


def test_a_wrong_secret(array: Array, account: dict[str, Any]) -> None:
    array.export(**account)
    said = failure(array, user="me", secret=b"not the secret")
    assert said.endswith("authentication failure; check user and secret against what it knows of me")


def test_a_target_that_does_not_prove_itself(array: Array, account: dict[str, Any]) -> None:
    array.export(**account)
    keys = {"user": "me", "secret": SECRET, "target_user": "array", "target_secret": b"not the secret"}
    said = failure(array, **keys)
    assert said.endswith("check target_user and target_secret against what the target proves itself with")


def test_an_initiator_that_is_not_admitted(array: Array) -> None:
    array.export(initiators=["iqn.2026-11.com.example:alice"])
    said = failure(array, initiator="iqn.2026-11.com.example:bob")
    assert said.startswith(where(array) + "the target refused the login: ")
    assert "iqn.2026-11.com.example:bob" in said or "midlayer discover" in said


def test_an_unknown_target(array: Array) -> None:
    array.export()
    target = "iqn.2026-11.io.midlayer:other"
    said = f"not found; midlayer discover 127.0.0.1:{array.port} lists the targets there"
    assert failure(array, target=target) == where(array, target) + f"the target refused the login: {said}"


def test_nothing_listens(array: Array) -> None:
    array.export()
    array.server.remove(IQN)
    said = "Connection refused; nothing listens there; check the port, and that the target runs"
    assert failure(array) == where(array) + said
    with pytest.raises(LoginFailed, match=rf"discovery at 127\.0\.0\.1:{array.port}: {said}"):
        discover(array.spec())


def test_a_name_that_nobody_knows(array: Array) -> None:
    def dial(address: tuple[str, int], timeout_s: float) -> socket.socket:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(
        LoginFailed, match=r"array\.invalid:3260: Name or service not known; check the host name"
    ):
        Session(array.spec(portal="array.invalid"), Owner(), SystemClock(), dial).start()


def test_no_way_to_it(array: Array) -> None:
    def dial(address: tuple[str, int], timeout_s: float) -> socket.socket:
        raise TimeoutError("timed out")

    array.export()
    with pytest.raises(LoginFailed, match="timed out; check the address, the network and what filters it"):
        Session(array.spec(), Owner(), SystemClock(), dial).start()
