"""Linux's drivers for enclosures, tapes, changers and CDs on our virtual ones, through its own initiator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .eventually import eventually
from .open_iscsi import PORTAL, logged_in, run
from .running import Up
from .scsi_debug import SCSI_DEVICES

IQN = "iqn.2026-11.io.midlayer:types"
HOST = 100  # below which the kernel takes its numbers
UNITS = """
[[host.unit]]
type = "enclosure"
product = "An enclosure"
slots = 3
bays = ["0:1:0"]

[[host.unit]]
target = 1
size = "1M"
product = "In its bay"
"""
LUNS = ("0:0:0", "0:1:0")


def config(directory: Path) -> str:
    """Return one virtual host, and a target that offers its units."""
    luns = "".join(
        f'[[target.lun]]\nlun = {lun}\ndevice = "{HOST}:{place}"\n' for lun, place in enumerate(LUNS)
    )
    return (
        f'[[host]]\ndriver = "virtual"\nhost_no = {HOST}\n{UNITS.replace("@", str(directory))}'
        f'[[target]]\niqn = "{IQN}"\nportals = ["{PORTAL}"]\n{luns}'
    )


@pytest.fixture(scope="module", autouse=True)
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A daemon that offers one unit of each type, and the kernel logged in to it."""
    directory = tmp_path_factory.mktemp("types")
    run("modprobe", "-a", "iscsi_tcp", "ses")
    run("ip", "link", "set", "lo", "up")
    up = Up(directory, config(directory))
    up.start()
    try:
        with logged_in(IQN):
            yield up
        assert up.stop() == 0
    finally:
        up.close()


def device(product: str) -> Path:
    """Return the sysfs directory of a device by its product identification."""

    def find() -> list[Path]:
        models = SCSI_DEVICES.glob("[0-9]:*/model")
        return [path.parent for path in models if path.read_text().strip() == product]

    (found,) = eventually(find, timeout_s=30, reason=f"a device with the model {product!r}")
    return found


def node(product: str, kind: str, pattern: str = "*") -> Path:
    """Return the node that a driver of the kernel has made of a device: `kind` is the driver's class."""

    def find() -> list[Path]:
        return sorted((device(product) / kind).glob(pattern))

    return Path("/dev") / eventually(find, timeout_s=30, reason=f"{product} in the class {kind}")[0].name


def test_ses_shows_the_enclosure_and_sets_its_lights() -> None:
    shelf = device("An enclosure") / "enclosure"
    (enclosure,) = eventually(lambda: list(shelf.glob("*")), timeout_s=30, reason="ses to bind")
    assert (enclosure / "components").read_text().strip() == "3"
    slots = [(enclosure / f"Slot 0{number}" / "status").read_text().strip() for number in (1, 2, 3)]
    assert slots == ["OK", "not installed", "not installed"]
    identity = (enclosure / "id").read_text().strip()
    generic = str(node("An enclosure", "scsi_generic"))
    assert identity.removeprefix("0x") in run("sg_ses", "--page=cf", generic)
    slot = enclosure / "Slot 02"
    # ses shows two bits of a fault: 1 is sensed, 2 requested.
    for attribute, acronym, shown in (("locate", "ident", "1"), ("fault", "fault", "2")):
        (slot / attribute).write_text("1\n")
        assert (slot / attribute).read_text().strip() == shown
        assert run("sg_ses", f"--get={acronym}", "--index=0,1", generic).strip() == "1"
        assert run("sg_ses", f"--get={acronym}", "--index=0,2", generic).strip() == "0"
        (slot / attribute).write_text("0\n")
        assert (slot / attribute).read_text().strip() == "0"
    (enclosure / "Slot 01" / "power_status").write_text("off\n")
    assert run("sg_ses", "--get=devoff", "--index=0,0", generic).strip() == "1"
