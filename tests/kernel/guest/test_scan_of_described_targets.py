"""Made-up targets: Linux lists after its scan of a session what we list after ours of the same target."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.described_targets import Description, Seen, generate, served

from midlayer.lower.iscsi import IscsiDriver, SessionSpec
from midlayer.mid.subsystem import Subsystem

from .eventually import eventually
from .open_iscsi import discovered, iscsid, run
from .scsi_debug import SCSI_HOSTS, logical_units

SEED = int(os.environ.get("MIDLAYER_SEED", "20261128"))
COUNT = int(os.environ.get("MIDLAYER_TARGETS", "40"))
"""Of the full size are 200."""
BATCH = 10
PORTAL = "127.0.0.1:3261"
"""Not the one of other targets, of which iscsiadm may have records."""
ALL = ("iscsiadm", "-m", "node", "-p", PORTAL)
SESSIONS = Path("/sys/class/iscsi_session")
AUTOPROBE = Path("/sys/bus/scsi/drivers_autoprobe")


def test_linux_lists_what_we_list() -> None:
    print(f"MIDLAYER_SEED={SEED} MIDLAYER_TARGETS={COUNT}")
    descriptions = generate(COUNT, SEED)
    subsystem = Subsystem()
    try:
        with served(descriptions, lambda number: PORTAL), iscsid(), _upper_drivers_kept_away():
            ours = {each.number: _ours(subsystem, each) for each in descriptions}
            theirs: dict[int, list[Seen]] = {}
            found = eventually(lambda: discovered(PORTAL, "-o", "nonpersistent"), reason="iscsid to answer")
            assert len(found) == COUNT
            for first in range(0, COUNT, BATCH):
                theirs |= _theirs(descriptions[first : first + BATCH])
    finally:
        subsystem.clock.close()  # type: ignore[attr-defined]
    differing = {each.number: each for each in descriptions if ours[each.number] != theirs[each.number]}
    for number, each in differing.items():
        print(f"{each}\nours:   {ours[number]}\ntheirs: {theirs[number]}")
    assert not differing
    assert len(theirs) == COUNT
    assert sum(map(len, theirs.values())) > COUNT


def _ours(subsystem: Subsystem, target: Description) -> list[Seen]:
    driver = IscsiDriver(subsystem)
    host = driver.add_host(SessionSpec(portal=PORTAL, target=target.iqn))
    try:
        return [Seen.by_us(device) for device in host.devices()]
    finally:
        driver.remove_host(host)


def _theirs(batch: list[Description]) -> dict[int, list[Seen]]:
    """Log in to some targets, have Linux scan each, and return what it lists."""
    for each in batch:
        run("iscsiadm", "-m", "node", "-o", "new", "-T", each.iqn, "-p", PORTAL)
        # Scanned when we say so, and not by iscsid.
        run(*_node(each), "-o", "update", "-n", "node.session.scan", "-v", "manual")
    try:
        run(*ALL, "--login")
        return {each.number: _scanned(_host_of(each)) for each in batch}
    finally:
        run(*ALL, "--logout")
        for each in batch:
            run(*_node(each), "-o", "delete")


def _node(target: Description) -> tuple[str, ...]:
    return "iscsiadm", "-m", "node", "-T", target.iqn, "-p", PORTAL


def _host_of(target: Description) -> int:
    """Return the number of the host of a session."""

    def find() -> list[int]:
        sessions = [one for one in SESSIONS.iterdir() if _read(one / "targetname") == target.iqn]
        above = [part for one in sessions for part in (one / "device").resolve().parts]
        return [int(part.removeprefix("host")) for part in above if part.startswith("host")]

    (number,) = eventually(find, reason=f"a session with {target.iqn}")
    return number


def _scanned(host: int) -> list[Seen]:
    assert not _listed(host), "somebody else has scanned"
    (SCSI_HOSTS / f"host{host}" / "scan").write_text("- - -")
    return _listed(host)


def _listed(host: int) -> list[Seen]:
    found = []
    for device in logical_units([host]):
        lun = int(device.name.rpartition(":")[2])
        names = (_text(device / name) for name in ("vendor", "model", "rev"))
        found.append(Seen(lun, int(_read(device / "type")), *names, int(_read(device / "scsi_level"))))
    return found


def _read(attribute: Path) -> str:
    return attribute.read_text().strip()


def _text(attribute: Path) -> str:
    """Return a name of INQUIRY data, to its last character before the line's end."""
    return attribute.read_bytes().removesuffix(b"\n").decode("latin-1").rstrip()


@contextmanager
def _upper_drivers_kept_away() -> Iterator[None]:
    """Have no sd, sr or ses look at units that answer nothing but INQUIRY."""
    before = AUTOPROBE.read_text()
    AUTOPROBE.write_text("0")
    try:
        yield
    finally:
        AUTOPROBE.write_text(before)
