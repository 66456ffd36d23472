"""libiscsi's programs against our target: Debian's libiscsi-bin, unmodified."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from midlayer.frontends.config import parse
from midlayer.frontends.daemon.core import Daemon
from midlayer.frontends.target.spec import LunSpec, TargetSpec
from midlayer.iscsi.chap import Credentials

SUPPORTED = Path(__file__).parents[2] / "docs" / "supported.md"
IQN = "iqn.2026-11.io.midlayer:peers"
CONFIG = f"""
[[host]]
driver = "virtual"

[[host.unit]]
size = "64M"
thin = true
product = "Exported disk"
sanitize_s = 5

[[host.unit]]
lun = 1
type = "cd"
size = "4M"
removable = true

[[host.unit]]
lun = 2
size = "16M"
removable = true

[[host.unit]]
lun = 3
size = "16M"
thin = true
write_protected = true

[[host.unit]]
lun = 4
size = "16M"
thin = true
physical_block_size = 4096

[[target]]
iqn = "{IQN}"
portals = ["127.0.0.1:0"]

[[target.lun]]
lun = 0
device = "0:0:0:0"

[[target.lun]]
lun = 1
device = "0:0:0:1"
read_only = true

[[target.lun]]
lun = 2
device = "0:0:0:2"

[[target.lun]]
lun = 3
device = "0:0:0:3"

[[target.lun]]
lun = 4
device = "0:0:0:4"
"""

SUMMARY = re.compile(r"tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+\d+")
SUITE = re.compile(r"^Suite: (\w+)")
TEST = re.compile(r"^  Test: (\S+) \.\.\.")
REMOVABLE, PROTECTED, OF_LARGE_BLOCKS = 2, 3, 4
ON_OTHER_DISKS = {
    "PreventAllow": REMOVABLE,
    "StartStopUnit": REMOVABLE,
    "ReadOnly": PROTECTED,
    "CompareAndWrite.InvalidDataOutSize": OF_LARGE_BLOCKS,
    "WriteSame10.InvalidDataOutSize": OF_LARGE_BLOCKS,
    "WriteSame10.UnmapUnaligned": OF_LARGE_BLOCKS,
    "WriteSame16.InvalidDataOutSize": OF_LARGE_BLOCKS,
    "WriteSame16.UnmapUnaligned": OF_LARGE_BLOCKS,
}
"""Suites and tests that skip themselves unless the disk is of another kind, and its LUN."""
LISTED = re.compile(r"^\| `(\w+(?:\.\w+)?)` \| ([a-z]+)", re.MULTILINE)


class Target(NamedTuple):
    """A target that runs, and the programs of libiscsi."""

    portal: str
    require: Callable[[str], str]
    daemon: Daemon

    @property
    def url(self) -> str:
        return f"iscsi://{self.portal}/{IQN}"

    def run(self, name: str, *arguments: str, timeout_s: float = 60, status: int = 0) -> str:
        """Run a program that ends with `status`, and return what it printed."""
        command = [self.require(name), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, timeout=timeout_s)
        text = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == status, f"{command}: {done.returncode}: {text}"
        return text


@pytest.fixture
def target(require_tool: Callable[[str], str]) -> Iterator[Target]:
    daemon = Daemon(parse(CONFIG), None)
    daemon.start()
    try:
        (portal,) = daemon.targets.portals(IQN)
        yield Target(str(portal), require_tool, daemon)
    finally:
        daemon.stop()


@pytest.mark.tools
def test_iscsi_ls(target: Target) -> None:
    printed = target.run("iscsi-ls", "-s", f"iscsi://{target.portal}/")
    assert f"Target:{IQN} Portal:{target.portal},1" in printed
    assert re.search(r"Lun:0 +Type:DIRECT_ACCESS \(Size:63M\)", printed)
    assert re.search(r"Lun:1 +Type:MMC", printed)


@pytest.mark.tools
def test_iscsi_inq(target: Target) -> None:
    printed = target.run("iscsi-inq", f"{target.url}/0")
    assert "Peripheral Qualifier:CONNECTED" in printed
    assert "Product:Exported disk" in printed
    printed = target.run("iscsi-inq", "-e", "1", "-c", "131", f"{target.url}/0")
    assert "DEVICE_IDENTIFICATION" in printed
    assert "T10_VENDOR" in printed


@pytest.mark.tools
def test_iscsi_readcapacity16(target: Target) -> None:
    printed = target.run("iscsi-readcapacity16", f"{target.url}/0")
    assert "RETURNED LOGICAL BLOCK ADDRESS:131071" in printed
    assert "Total size:67108864" in printed


@pytest.mark.tools
@pytest.mark.parametrize("digest", ["none", "crc32c"])
def test_iscsi_perf_reads(target: Target, digest: str) -> None:
    printed = target.run("iscsi-perf", "-t", "1", "-m", "8", f"{target.url}/0?header_digest={digest}")
    assert "iops average" in printed


@pytest.mark.tools
def test_chap_as_libiscsi_has_it(target: Target) -> None:
    with_chap = TargetSpec(
        iqn=IQN + ".chap",
        portals=target.daemon.targets.spec(IQN).portals,
        accounts=(Credentials("user", b"secret-of-the-user"),),
        mutual=Credentials("target", b"secret-of-the-target"),
        luns=(LunSpec(lun=0, device="0:0:0:0"),),
    )
    target.daemon.targets.add(with_chap)
    where = f"{target.portal}/{IQN}.chap/0"
    both = "?target_user=target&target_password=secret-of-the-target"
    for url in (f"iscsi://user%secret-of-the-user@{where}", f"iscsi://user%secret-of-the-user@{where}{both}"):
        assert "Product:Exported disk" in target.run("iscsi-inq", url)
    for url in (f"iscsi://{where}", f"iscsi://user%secret-of-nobody@{where}"):
        assert "login" in target.run("iscsi-inq", url, status=10).lower()


@pytest.mark.tools
def test_who_sees_what_seen_from_outside(target: Target) -> None:
    one, other, stranger = (f"iqn.2026-11.io.example:{name}" for name in ("one", "other", "stranger"))
    iqn = IQN + ".masked"
    masked = TargetSpec(
        iqn=iqn,
        portals=target.daemon.targets.spec(IQN).portals,
        initiators=(one, other),
        luns=(LunSpec(lun=0, device="0:0:0:0"), LunSpec(lun=7, device="0:0:0:2", initiators=(one,))),
    )
    target.daemon.targets.add(masked)

    def listed(name: str) -> tuple[bool, list[int]]:
        printed = target.run("iscsi-ls", "-i", name, "-s", f"iscsi://{target.portal}/")
        _, found, rest = printed.partition(f"Target:{iqn} ")
        rest = rest.partition("Target:")[0]
        return bool(found), [int(lun) for lun in re.findall(r"Lun:(\d+)", rest)] if found else []

    assert listed(one) == (True, [0, 7])
    assert listed(other) == (True, [0])
    assert listed(stranger) == (False, [])
    for name, lun in ((one, 7), (other, 0)):
        assert "Qualifier:CONNECTED" in target.run(
            "iscsi-inq", "-i", name, f"iscsi://{target.portal}/{iqn}/{lun}"
        )
    for lun in (7, 6):  # a LUN that it must not see, and one that is not there
        printed = target.run("iscsi-inq", "-i", other, f"iscsi://{target.portal}/{iqn}/{lun}", status=10)
        assert "LOGICAL_UNIT_NOT_SUPPORTED" in printed
    refused = [
        target.run("iscsi-inq", "-i", stranger, f"iscsi://{target.portal}/{where}/0", status=10)
        for where in (iqn, IQN + ".nobody")
    ]
    assert refused[0].replace(iqn, "") == refused[1].replace(IQN + ".nobody", ""), (
        "nobody learns that it is there"
    )


class Verdict(NamedTuple):
    """What iscsi-test-cu says, by ``Suite.Test``."""

    total: int
    failed: set[str]
    skipped: set[str]


def verdict(printed: str) -> Verdict:
    """Read the output of iscsi-test-cu, and hold its parts against its summary."""
    suite = test = ""
    failed, skipped, seen = set(), set(), set()
    for line in printed.splitlines():
        if (match := SUITE.match(line)) is not None:
            suite = match[1]
        if (match := TEST.match(line)) is not None:
            test = f"{suite}.{match[1]}"
            seen.add(test)
        before, ended, _ = line.partition("passed")
        if test and "[SKIPPED]" in before:
            skipped.add(test)
        if test and re.search(r"(?<!\[)FAILED$", line.rstrip()):
            failed.add(test)
            ended = "FAILED"
        if ended:
            test = ""  # what is said between two tests is about none of them
    match = SUMMARY.search(printed)
    assert match is not None, printed[-2000:]
    total, ran, passed, broken = map(int, match.groups())
    assert total == ran == passed + broken == len(seen)
    assert len(failed) == broken
    return Verdict(total, failed, skipped)


def conformance(target: Target, tests: str, lun: int, *, sessions: int = 1) -> Verdict:
    """Run tests of libiscsi's suite on one LUN."""
    urls = [f"{target.url}/{lun}"] * sessions
    options = ("--dataloss", "--allow-sanitize", f"--test={tests}")
    return verdict(target.run("iscsi-test-cu", *options, *urls, timeout_s=400))


@pytest.mark.tools
def test_iscsi_test_cu_passes(target: Target) -> None:
    """All tests, in one run. Sanitize.Reset sleeps for a minute in it."""
    listed = dict(LISTED.findall(SUPPORTED.read_text(encoding="utf-8").partition("### iscsi-test-cu")[2]))
    found = conformance(target, "ALL", lun=0)
    assert found.total == 230
    assert not found.failed
    assert found.skipped == set(listed)


@pytest.mark.tools
@pytest.mark.parametrize("tests", ON_OTHER_DISKS)
def test_iscsi_test_cu_on_other_disks(target: Target, tests: str) -> None:
    found = conformance(target, f"ALL.{tests}", lun=ON_OTHER_DISKS[tests])
    assert found.total
    assert not found.failed
    assert not found.skipped


@pytest.mark.tools
def test_iscsi_test_cu_over_two_sessions(target: Target) -> None:
    found = conformance(target, "ALL.MultipathIO", lun=0, sessions=2)
    assert found.total
    assert not found.failed
    assert not found.skipped
