"""Quarantine, identity and agents on the kernel's own devices."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .eventually import eventually
from .running import Up
from .scsi_debug import SCSI_DEVICES, ScsiDebug

LoadScsiDebug = Callable[..., ScsiDebug]

PRODUCT = Path("/sys/module/scsi_debug/parameters/inq_product")
RULE = '\n[[quarantine]]\nmodel = "UNMAPPED*"\nprobe_s = 0.2\nmax_probe_s = 1.0\naction = "{action}"\n'


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Up]]:
    running: list[Up] = []

    def begin(config: str) -> Up:
        running.append(Up(tmp_path, config))
        running[-1].start()
        return running[-1]

    yield begin
    for each in running:
        each.close()


def quarantined(up: Up) -> list[tuple[str, str]]:
    return [(item["address"], item["state"]) for item in up.get("quarantined")["items"]]


@pytest.mark.parametrize("action", ["hold", "remove"])
def test_a_lun_in_quarantine_is_attached_once_it_is_mapped(
    scsi_debug: LoadScsiDebug, start: Callable[[str], Up], action: str
) -> None:
    up = start(RULE.format(action=action))
    debug = scsi_debug(inq_product="UNMAPPED")
    (host,) = debug.hosts()
    address = f"{host}:0:0:0"
    state = "held" if action == "hold" else "removed"
    eventually(lambda: quarantined(up) == [(address, state)], reason=f"{address} {state}")
    assert up.items("attached", host) == []
    if action == "remove":
        eventually(lambda: not (SCSI_DEVICES / address).exists(), reason="the kernel to have it deleted")
    (item,) = up.get("quarantined")["items"]
    assert item["model"] == "UNMAPPED"
    PRODUCT.write_text("MAPPED")
    (attached,) = eventually(lambda: up.items("attached", host), reason="the attach")
    assert (attached["address"], attached["model"]) == (address, "MAPPED")
    assert quarantined(up) == []
    assert up.events(0, "quarantined")[0]["device"]["model"] == "UNMAPPED"
    assert up.stop() == 0


def test_a_kernel_device_that_is_another_one_by_now_is_replaced(
    scsi_debug: LoadScsiDebug, start: Callable[[str], Up], tmp_path: Path
) -> None:
    told = tmp_path / "told"
    code = (
        "import os; words = [os.environ[k] for k in ('ACTION', 'SCSI_HOST', 'SCSI_MODEL')]; "
        f"print(*words, file=open({str(told)!r}, 'a'))"
    )
    command = json.dumps([sys.executable, "-c", code])
    up = start(f'\n[[agent]]\nname = "tell"\ncommand = {command}\ntimeout_s = 60\n')
    debug = scsi_debug(inq_product="FIRST")
    (host,) = debug.hosts()
    (item,) = eventually(
        lambda: [each for each in up.items("attached", host) if "sg" in each["names"]], reason="the disk"
    )
    (found,) = up.post("verify", device=item["address"])["items"]
    assert (found["verdict"], found["attach_count"]) == ("same", item["attach_count"])
    PRODUCT.write_text("SECOND")
    (found,) = up.post("verify", device=item["address"])["items"]
    assert found["verdict"] == "replaced"
    assert found["differences"]["model"] == ["FIRST", "SECOND"]
    (again,) = up.items("attached", host)
    assert again["attach_count"] == found["attach_count"] > item["attach_count"]
    last = up.get("status")["event_count"]
    eventually(lambda: up.get("agents")["position"] >= last, reason="the agents")
    lines = [line for line in told.read_text().splitlines() if line.split()[1] == str(host)]
    assert lines == [f"add {host} FIRST", f"remove {host} FIRST", f"add {host} SECOND"]
