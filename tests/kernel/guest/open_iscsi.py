"""Linux's own initiator in the guest: iscsid, its sessions with our target, and the disks behind them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from midlayer.frontends.cli.client import Client

from .eventually import LIMIT_S, eventually
from .nodes import block_node
from .running import Up
from .scsi_debug import SCSI_DEVICES

PORTAL = "127.0.0.1:3260"
INITIATOR = "iqn.1993-08.org.debian:01:guest"


def run(*command: str, timeout_s: float = LIMIT_S) -> str:
    """Run a program that has to succeed, and return what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


class Initiator:
    """open-iscsi, logged in to a target of ours."""

    def __init__(self, up: Up) -> None:
        self.up = up

    def devices(self) -> dict[int, Path]:
        """Return the sysfs directories of the disks behind one session, by LUN."""
        return {int(device.name.rpartition(":")[2]): device for device in self.all_devices()}

    def all_devices(self) -> list[Path]:
        """Return the sysfs directories of the disks behind all sessions, in order."""
        devices = SCSI_DEVICES.glob("*:*:*:*")
        return sorted(one for one in devices if (one / "vendor").read_text().strip() == "MIDLAYER")

    def disk(self, lun: int) -> Path:
        """Wait for the block device of a LUN."""
        eventually(lambda: lun in self.devices(), reason=f"LUN {lun}")
        return Path(block_node(self.devices()[lun]))

    def sessions(self) -> list[int]:
        """Return the sessions that the target has."""
        return [item["session"] for item in self.up.get("target-sessions")["items"]]

    def drop(self) -> None:
        """Do ``midlayer target drop``, and wait until the initiator has come back."""
        (session,) = eventually(self.sessions, reason="a session")
        self.cut(session)
        eventually(lambda: self.sessions() not in ([], [session]), reason="the initiator to come back")

    def cut(self, session: int) -> None:
        """Do ``midlayer target drop``."""
        with Client(self.up.socket) as client:
            client.delete("target-sessions", str(session))


def node(device: Path) -> Path:
    """Return the block device of a disk."""
    (name,) = os.listdir(device / "block")
    return Path("/dev") / name


@contextmanager
def iscsid() -> Iterator[None]:
    """Run open-iscsi's daemon. The kernel has to be logged out of every target at the end."""
    Path("/run/lock/iscsi").mkdir(parents=True, exist_ok=True)
    Path("/etc/iscsi/initiatorname.iscsi").write_text(f"InitiatorName={INITIATOR}\n")
    # At its end it signals its whole process group: it gets one of its own.
    with subprocess.Popen(["iscsid", "-f"], start_new_session=True) as daemon:
        try:
            yield
        finally:
            daemon.terminate()


@contextmanager
def logged_in(
    iqn: str, portals: Sequence[str] = (f"{PORTAL},1",), settings: dict[str, str] | None = None
) -> Iterator[None]:
    """Run iscsid, and be logged in as long as the caller wants.

    Args:
        iqn: The target.
        portals: As discovery names them, with their groups; the first of them is asked.
        settings: Of the node records.
    """
    target = ("iscsiadm", "-m", "node", "-T", iqn)
    with iscsid():
        found = eventually(lambda: discovered(portals[0]), reason="iscsid to answer")
        assert sorted(found) == sorted(f"{portal} {iqn}" for portal in portals)
        for name, value in (settings or {}).items():
            run(*target, "-o", "update", "-n", name, "-v", value)
        try:
            run(*target, "--login")
            yield
        finally:
            run(*target, "--logout")
            run(*target, "-o", "delete")


def discovered(portal: str, *options: str) -> list[str]:
    """Return the lines of a discovery by SendTargets; none while iscsid does not answer."""
    address = portal.partition(",")[0]
    command = ["iscsiadm", "-m", "discovery", "-t", "sendtargets", "-p", address, *options]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
