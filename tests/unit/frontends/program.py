"""``midlayer`` as a program: run to its end, or kept running and watched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

SOON_S = 90.0
MIDLAYER = [sys.executable, "-m", "midlayer"]
READY = "Ctrl-C ends"
CONFIG = """
[[host]]
driver = "virtual"
name = "program's array"

[[host.unit]]
product = "Disk"
size = "1M"

[[host.unit]]
lun = 1
product = "Read-only"
size = "1M"
write_protected = true
removable = true

[[host.unit]]
lun = 2
product = "Standby"
qualifier = "001b"

[[host.unit]]
target = 1
type = "tape"
product = "Tape"
"""


def environment(**more: str) -> dict[str, str]:
    """Return the environment for a program: nothing of the user's own daemon."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MIDLAYER_")}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "80"} | more


def run(*arguments: str | Path, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    done = subprocess.run(
        [*MIDLAYER, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=SOON_S,
        check=False,
        env=environment(**variables),
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


class Running:
    """A command that keeps running; its output is read as it comes."""

    def __init__(self, *arguments: str | Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [*MIDLAYER, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**variables),
        )
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._over = False
        self._reader = threading.Thread(target=self._read, name="reader")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        """All that it said so far."""
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> None:
        """Wait until it has said something."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.output or self._over, SOON_S), self.output
        assert text in self.output, self.output

    def send(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, timeout_s: float = SOON_S) -> int:
        """Wait for its end, and return its exit status."""
        status = self.process.wait(timeout_s)
        self._reader.join(SOON_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert "Traceback" not in self.output, self.output
        return status


class Up(Running):
    """``midlayer up`` in a directory, on the configuration above."""

    def __init__(self, directory: Path, *more: str | Path, config: str = CONFIG, **variables: str) -> None:
        self.directory = directory
        self.socket = directory / "m.sock"
        self.state = directory / "state"
        file = directory / "m.toml"
        file.write_text(config)
        super().__init__(
            "up", "--config", file, "--state", self.state, "--socket", self.socket, *more, **variables
        )

    def ready(self) -> Up:
        """Wait until it serves."""
        self.wait_for(READY)
        return self

    def run(self, *arguments: str | Path, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Run a command against it."""
        return run(*arguments, "--socket", self.socket, **variables)

    def json(self, *arguments: str | Path, status: int = 0) -> Any:
        """Run a command against it and return the JSON that it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    def stop(self) -> None:
        """End it in any case."""
        if self.process.poll() is None:
            self.send()
        self.end()
