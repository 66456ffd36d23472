"""``midlayer up`` whose output nobody reads, and nobody has closed: a pager, or a terminal after Ctrl-S."""

from __future__ import annotations

import fcntl
import signal
import subprocess
from pathlib import Path

import httpx

from .program import CONFIG, MIDLAYER, SOON_S, environment, run

SMALLEST_PIPE = 4096


def test_it_serves_and_ends_all_the_same(tmp_path: Path) -> None:
    config, socket = tmp_path / "m.toml", tmp_path / "m.sock"
    config.write_text(CONFIG)
    command = ["up", "--config", str(config), "--state", str(tmp_path / "state"), "--socket", str(socket)]
    with subprocess.Popen([*MIDLAYER, *command], stdout=subprocess.PIPE, env=environment()) as daemon:
        try:
            assert daemon.stdout is not None
            fcntl.fcntl(daemon.stdout, fcntl.F_SETPIPE_SZ, SMALLEST_PIPE)
            assert run("status", "--wait", str(SOON_S), "--socket", socket).returncode == 0
            transport = httpx.HTTPTransport(uds=str(socket))
            with httpx.Client(transport=transport, base_url="http://midlayer/v1/", timeout=SOON_S) as http:
                for _ in range(40):
                    http.post("plug", json={"device": "virtual:disk?size=1M&target=2"}).raise_for_status()
                    http.post("unplug", json={"device": "0:0:2:0"}).raise_for_status()
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(SOON_S) == 0
        finally:
            daemon.kill()
