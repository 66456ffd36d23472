"""Linux's own initiator in the guest: open-iscsi, logged in to a target of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .eventually import eventually

PORTAL = "127.0.0.1:3260"


def run(*command: str, timeout_s: float = 60) -> str:
    """Run a program that has to succeed, and return what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def logged_in(iqn: str) -> Iterator[None]:
    """Run iscsid, and log in as long as the caller wants; the kernel has to be logged out at the end."""
    Path("/run/lock/iscsi").mkdir(parents=True, exist_ok=True)
    node = ("iscsiadm", "-m", "node", "-T", iqn, "-p", PORTAL)
    # At its end it signals its whole process group: it gets one of its own.
    with subprocess.Popen(["iscsid", "-f"], start_new_session=True) as iscsid:
        try:
            found = eventually(_discovered, timeout_s=30, reason="iscsid to answer")
            assert found == f"{PORTAL},1 {iqn}"
            run(*node, "--login")
            yield
        finally:
            run(*node, "--logout")
            iscsid.terminate()


def _discovered() -> str:
    command = ["iscsiadm", "-m", "discovery", "-t", "sendtargets", "-p", PORTAL]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
