"""A target of ours with 16,384 LUNs: our own scan of it against `iscsi-ls -s`, in turns.

A scan of ours reads INQUIRY twice and five or six VPD pages of each LUN, as the kernel's does. With the quirk
SKIP_VPD_PAGES it asks about as much as iscsi-ls.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import NamedTuple

from bench.iscsi import OUR_IQN, Server, serving
from midlayer.lower.iscsi import IscsiDriver, SessionSpec
from midlayer.mid.subsystem import Subsystem

LUNS = 16_384
ROUNDS = 2
GOAL = 1.0
QUIRKS = (("INQUIRY and VPD pages", ""), ("SKIP_VPD_PAGES", "MIDLAYER:Virtual disk:0x4000000"))


class Scan(NamedTuple):
    """How long a scan took, and the processor time that the target used for it."""

    seconds: float
    target_s: float


def run() -> Iterator[str]:
    """Yield the lines of the report."""
    if shutil.which("iscsi-ls") is None:
        yield "MISS iscsi-ls not found: apt-get install libiscsi-bin; nothing was measured"
        return
    with serving(_config()) as server:
        for name, quirk in QUIRKS:
            theirs = ours = Scan(1e9, 0.0)
            own_s = 0.0
            for _ in range(ROUNDS):
                theirs = min(theirs, _iscsi_ls(server))
                before = time.process_time()
                ours = min(ours, _ours(server, quirk))
                own_s = time.process_time() - before
            ratio = theirs.seconds / ours.seconds
            mark = "ok  " if ratio >= GOAL else "MISS"
            yield (
                f"{mark} {LUNS} LUNs, {name:<22} {ours.seconds:6.2f} s, cpu {own_s / LUNS * 1e6:.0f} + target"
                f" {ours.target_s / LUNS * 1e6:.0f} µs each  iscsi-ls {theirs.seconds:6.2f} s, target"
                f" {theirs.target_s / LUNS * 1e6:.0f} µs each  ratio {ratio:5.2f}  goal at least {GOAL:g}"
            )


def _config() -> str:
    head = f"""
[[host]]
driver = "virtual"
[[host.unit]]
size = "1M"
count = {LUNS}
[[target]]
iqn = "{OUR_IQN}"
portals = ["127.0.0.1:0"]
"""
    return head + "".join(f'[[target.lun]]\nlun = {lun}\ndevice = "0:0:0:{lun}"\n' for lun in range(LUNS))


def _iscsi_ls(server: Server) -> Scan:
    portal = server.url.removesuffix("/0").removesuffix(OUR_IQN)
    before, begin = server.cpu_s(), time.perf_counter()
    listed = subprocess.run(["iscsi-ls", "-s", portal], capture_output=True, check=True).stdout
    scan = Scan(time.perf_counter() - begin, server.cpu_s() - before)
    assert listed.count(b"Lun:") == LUNS
    return scan


def _ours(server: Server, quirk: str) -> Scan:
    subsystem = Subsystem()
    if quirk:
        subsystem.quirks.add(quirk)
    driver = IscsiDriver(subsystem)
    portal = server.url.removeprefix("iscsi://").partition("/")[0]
    before, begin = server.cpu_s(), time.perf_counter()
    host = driver.add_host(SessionSpec(portal=portal, target=OUR_IQN))
    scan = Scan(time.perf_counter() - begin, server.cpu_s() - before)
    assert len(host.devices()) == LUNS
    driver.remove_host(host)
    subsystem.clock.close()  # type: ignore[attr-defined]
    return scan
