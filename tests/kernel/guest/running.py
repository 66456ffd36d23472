"""midlayer running in the guest: as a process of its own, or as a subsystem inside the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midlayer.errors import DaemonError
from midlayer.frontends.cli.client import Client
from midlayer.lower.linux import LinuxDriver, UeventMonitor
from midlayer.lower.linux.netlink import UeventSocket
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.scsimon import EventLog, ScsimonDriver

from .eventually import LIMIT_S, eventually


class Up:
    """``midlayer up`` on the kernel's hosts, or without them, and a client of its API."""

    def __init__(self, directory: Path, config: str = "", *, kernel: bool = True) -> None:
        self._state, self._socket = directory / "state", directory / "socket"
        self.socket, self.config = self._socket, directory / "config.toml"
        self.config.write_text(('[[host]]\ndriver = "linux"\n' if kernel else "") + config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        command = [sys.executable, "-m", "midlayer.frontends.cli.main", "up", "--quiet"]
        command += ["--config", str(self.config)]
        self._process = subprocess.Popen(
            [*command, "--state", str(self._state), "--socket", str(self._socket)]
        )
        eventually(self._answers, interval_s=0.2, reason="midlayer up to answer")

    def stop(self) -> int:
        """End it with SIGTERM and return its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(LIMIT_S)

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(LIMIT_S)

    def close(self) -> None:
        """End it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Ask the API for something."""
        with Client(self._socket) as client:
            return client.get(path, **query)

    def post(self, path: str, **wish: Any) -> dict[str, Any]:
        """Ask the API to have something done."""
        with Client(self._socket) as client:
            return client.post(path, **wish)

    def items(self, which: str, host: int | None = None) -> list[dict[str, Any]]:
        """Return ``attached``, ``detached`` or ``hosts``; of one host, or all."""
        items = self.get(which)["items"]
        return [item for item in items if host is None or item["address"].startswith(f"{host}:")]

    def events(self, since: int, kind: str) -> list[dict[str, Any]]:
        """Return the events of one kind after a count."""
        return [event for event in self.get("events", since=since)["items"] if event["event"] == kind]

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "midlayer up ended"
        try:
            self.get("status")
        except DaemonError:
            return False
        return True


@dataclass
class Recorder:
    """The kernel's hosts in a subsystem inside this process, and scsimon on top."""

    subsystem: Subsystem
    scsimon: ScsimonDriver
    monitor: UeventMonitor

    def addresses(self, host: int) -> list[str]:
        """Return the attached addresses of one host."""
        return sorted(
            record.address
            for record in self.scsimon.snapshot().attached
            if record.address.startswith(f"{host}:")
        )


@contextmanager
def recorder(
    state: Path, *, open_socket: Callable[[], UeventSocket] = UeventSocket, thread: bool = True
) -> Iterator[Recorder]:
    """Run a subsystem of the kernel's hosts; without `thread`, the test calls `monitor.handle_ready`."""
    subsystem = Subsystem()
    scsimon = ScsimonDriver(EventLog(state), subsystem.clock)
    subsystem.register_upper(scsimon)
    monitor = UeventMonitor(subsystem, LinuxDriver(subsystem), open_socket=open_socket)
    monitor.start() if thread else monitor.open()
    try:
        scsimon.settle()
        yield Recorder(subsystem, scsimon, monitor)
    finally:
        monitor.stop()
        scsimon.close()
        subsystem.clock.close()  # type: ignore[attr-defined]
