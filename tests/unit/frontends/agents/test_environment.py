"""The variables of an agent: those of scsimon's hotplug call, and whatever a device says in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midlayer.frontends.agents import environment, steps_of
from midlayer.frontends.agents.environment import as_value
from midlayer.frontends.config import load
from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.testing import FakeClock
from midlayer.upper.scsimon import Event, EventLog, Kind, ScsimonDriver
from midlayer.upper.sg import BoundDevice

ROOT = Path(__file__).parents[4]


class Recorder:
    def __init__(self) -> None:
        self.subsystem = Subsystem(clock=FakeClock())
        self.scsimon = ScsimonDriver(EventLog(None), self.subsystem.clock)
        self.subsystem.register_upper(self.scsimon)
        self.driver = VirtualDriver(self.subsystem)
        self.host = self.driver.add_host(HostSpec(host_no=7))

    def plug(self, **options: Any) -> Any:
        return self.driver.plug(self.host, UnitSpec(**options))

    def variables(self) -> list[dict[str, str]]:
        """Return the variables for the last event, a dictionary for each step."""
        event = self.scsimon.events().events[-1]
        return [
            {name.decode(): value.decode() for name, value in environment(event, step).items()}
            for step in steps_of(event)
        ]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.driver.remove_host(made.host)
    made.scsimon.close()


ATTACH = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "ACTION": "add",
    "SCSI_HOST": "7",
    "SCSI_BUS": "0",
    "SCSI_TARGET": "3",
    "SCSI_LUN": "5",
    "SCSI_VENDOR": "ACME",
    "SCSI_MODEL": "Disc $(id); `x`",
    "SCSI_REV": "0001",
    "SCSI_TYPE": "5",
    "SCSI_REMOVABLE": "1",
    "SCSI_EMULATED": "0",
    "SCSI_ACCESS_COUNT": "0",
    "SCSI_WRITEABLE": "0",
    "SCSI_LOCKABLE": "1",
    "SCSI_EVENT_ATTACHED": "2",
    "MIDLAYER_ADDRESS": "7:0:3:5",
    "MIDLAYER_EVENT": "2",
    "MIDLAYER_QUALIFIER": "000b",
    "MIDLAYER_SERIAL": "S1",
    "MIDLAYER_WWID": "naa.3000000000000001",
    "MIDLAYER_NODES": "",
}


def test_the_variables_of_an_attach_and_a_detach(recorder: Recorder) -> None:
    device = recorder.plug(
        target=3, lun=5, type=5, vendor="ACME", product="Disc $(id); `x`", serial="S1",
        naa="3000000000000001", removable=True,
    )  # fmt: skip
    assert recorder.variables() == [ATTACH]
    recorder.driver.unplug(device)
    expected = {**ATTACH, "ACTION": "remove", "MIDLAYER_EVENT": "3", "SCSI_EVENT_DETACHED": "3"}
    assert recorder.variables() == [expected]


@pytest.mark.parametrize(
    ("device_type", "writeable", "removable"),
    [(0, "1", "0"), (1, "1", "1"), (5, "0", "1"), (4, "0", "0"), (13, "1", "0")],
)
def test_writeable_and_removable_go_by_the_type(
    recorder: Recorder, device_type: int, writeable: str, removable: str
) -> None:
    recorder.plug(type=device_type)
    (variables,) = recorder.variables()
    assert variables["SCSI_WRITEABLE"] == writeable
    assert variables["SCSI_LOCKABLE"] == variables["SCSI_REMOVABLE"] == removable


def test_the_access_count(recorder: Recorder) -> None:
    device = recorder.plug()
    bound = BoundDevice(device)
    recorder.driver.unplug(device)
    (variables,) = recorder.variables()
    assert variables["SCSI_ACCESS_COUNT"] == "1"
    bound.close()


def test_another_unit_is_a_removal_and_an_addition(recorder: Recorder) -> None:
    device = recorder.plug(serial="A")
    from midlayer.upper.scsimon.records import describe_detached

    recorder.scsimon.replaced(device, describe_detached(device), {"serial": ("A", "B")})
    gone, there = recorder.variables()
    assert (gone["ACTION"], gone["SCSI_EVENT_ATTACHED"], gone["SCSI_EVENT_DETACHED"]) == ("remove", "2", "3")
    assert (there["ACTION"], there["SCSI_EVENT_ATTACHED"]) == ("add", "3")
    assert "SCSI_EVENT_DETACHED" not in there


def test_most_events_are_not_for_agents(recorder: Recorder) -> None:
    recorder.scsimon.note(Kind.AGENTS, None, {"state": "behind"})
    assert recorder.variables() == []


TEXT = st.text(st.characters(codec=None, categories=None), max_size=20)


@given(vendor=TEXT, model=TEXT, serial=TEXT, node=TEXT)
def test_whatever_a_device_says_becomes_variables(vendor: str, model: str, serial: str, node: str) -> None:
    facts = {
        "vendor": _bytes_like(vendor), "model": _bytes_like(model), "serial": _bytes_like(serial),
        "names": {"sg": _bytes_like(node)}, "emulated": False, "attach_count": 1,
    }  # fmt: skip
    event = Event(2, Kind.DETACH, 0, "0:0:0:0", 0.0, 0.0, False, facts)
    (step,) = steps_of(event)
    variables = environment(event, step)
    assert all(b"\0" not in value and b"=" not in name for name, value in variables.items())
    assert variables[b"SCSI_VENDOR"] == as_value(_bytes_like(vendor))


def test_bytes_that_are_no_utf_8_stay_what_they_were() -> None:
    assert as_value(b"\xff\xfe ok".decode("utf-8", "surrogateescape")) == b"\xff\xfe ok"
    assert as_value("two\nlines") == b"two\nlines"
    assert as_value("\0") == b""


def test_the_example_configuration() -> None:
    config = load(ROOT / "examples" / "quarantine.toml")
    assert [str(rule.action) for rule in config.quarantine] == ["hold", "remove"]
    assert config.agents[0].command == (str(ROOT / "examples" / "agents" / "scsi.agent"),)
    assert config.agents[0].name == "scsi.agent"
    assert Path(config.agents[0].command[0]).exists()
    for document in ("quarantine.md", "agents.md"):
        assert "examples/" in (ROOT / "docs" / document).read_text()


def _bytes_like(text: str) -> str:
    """Return a text as sysfs and files give it: bytes that are no UTF-8 are surrogate escapes."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
