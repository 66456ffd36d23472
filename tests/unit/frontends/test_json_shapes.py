"""docs/json.md against what the verbs print: same keys, same types, every documented shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .program import Up

PAGE = Path(__file__).parents[3] / "docs" / "json.md"
EXAMPLE = re.compile(r"<!-- (.+?) -->\n```json\n(.*?)```", re.DOTALL)
EXAMPLES: dict[str, Any] = {
    name: json.loads(text) for name, text in EXAMPLE.findall(PAGE.read_text(encoding="utf-8"))
}
DEVICE = "0:0:0:0"


@pytest.fixture(scope="module")
def daemon(up: Up) -> Iterator[Up]:
    """A daemon with something in every list."""
    up.run("plug", "virtual:disk?size=1M")
    up.run("unplug", "0:0:0:3")
    up.run("persist", DEVICE, "--out", "register", "--new-key", "0xabc")
    up.run("persist", DEVICE, "--out", "reserve", "--key", "0xabc", "--type", "1")
    yield up
    up.run("persist", DEVICE, "--out", "clear", "--key", "0xabc")


def shape(value: Any) -> Any:
    """Return the keys and types of a value; a list by its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


COMMANDS: dict[str, list[str]] = {
    "midlayer attached --json": ["attached", "--limit", "1"],
    "midlayer detached --json": ["detached", "--limit", "1"],
    "midlayer hosts --json": ["hosts"],
    "midlayer status --json": ["status"],
    "midlayer inq --json": ["inq", DEVICE],
    "midlayer vpd --page 83 --json": ["vpd", "--page", "83", DEVICE],
    "midlayer luns --json": ["luns", DEVICE],
    "midlayer readcap --json": ["readcap", DEVICE],
    "midlayer modes --page 1c --json": ["modes", "--page", "1c", DEVICE],
    "midlayer opcodes --json": ["opcodes", DEVICE],
    "midlayer logs --page 0d --json": ["logs", "--page", "0d", DEVICE],
    "midlayer persist --in keys --json": ["persist", "--in", "keys", DEVICE],
    "midlayer persist --in reservation --json": ["persist", "--in", "reservation", DEVICE],
    "midlayer persist --in caps --json": ["persist", "--in", "caps", DEVICE],
    "midlayer persist --in status --json": ["persist", DEVICE],
    "midlayer map --json": ["map"],
    "midlayer logging get --json": ["logging", "get"],
    "midlayer turs --json": ["turs", DEVICE],
    "midlayer capture --json": ["capture", DEVICE, "-o", "/dev/null"],
    "midlayer dd --json": ["dd", f"if={DEVICE}", "of=."],
    "midlayer verify --json": ["verify", DEVICE],
    "midlayer trigger --json": ["trigger", DEVICE, "--dry-run"],
    "midlayer raw --json": ["raw", DEVICE, "120000002400", "-r", "36"],
}
ELSEWHERE = {
    "event",
    "agents",
    "midlayer quarantined --json",
    "midlayer reload --json",
    "midlayer events --json",
    "midlayer fault add --json",
    "midlayer fault injected --json",
    "midlayer fault list --json",
    "midlayer filter add --json",
    "midlayer filter list --json",
    "midlayer plug --json",
    "midlayer plug --new-host --json",
    "midlayer rescan --plan --json",
    "midlayer target list --json",  # with a target: tests/unit/frontends/target/test_daemon.py
    "midlayer target sessions --json",
    "midlayer scenario check --json",
    "midlayer scenario run --json",
    "midlayer reset --json",  # in test_reset
    "midlayer sg debug --json",
    "midlayer eh status --json",  # in test_eh
}


@pytest.mark.parametrize("example", COMMANDS)
def test_shape(daemon: Up, example: str) -> None:
    printed, documented = daemon.json(*COMMANDS[example]), EXAMPLES[example]
    assert shape(printed) == shape(documented)
    assert list(printed) == list(documented), "in the documented order"


def test_every_example_is_compared() -> None:
    assert set(EXAMPLES) == set(COMMANDS) | ELSEWHERE


def test_events(daemon: Up) -> None:
    answer = daemon.json("events")
    assert list(answer) == list(EXAMPLES["midlayer events --json"])
    assert answer["gap"] is None
    common = shape(EXAMPLES["event"])
    seen = {}
    for event in answer["items"]:
        host_event = event["event"].startswith("host")
        expected = {key: kind for key, kind in common.items() if key != "address" or not host_event}
        assert shape({key: event[key] for key in expected}) == expected
        seen[event["event"]] = [key for key in event if key not in expected]
    assert seen == {
        "host-added": ["host_data"],
        "attach": ["device"],
        "detach": [
            "attach_count",
            "vendor",
            "model",
            "revision",
            "type",
            "qualifier",
            "removable",
            "serial",
            "wwid",
            "names",
            "emulated",
            "access_count",
        ],
    }
    attach = next(event for event in answer["items"] if event["event"] == "attach")
    element = dict(EXAMPLES["midlayer attached --json"]["items"][0])
    del element["links"]  # of the device as it is now, not as an event found it
    assert set(attach["device"]) == set(list(element)[4:]) | {"session"}
    assert set(attach["device"]["host_data"]) == set(element["host_data"]) | {"session"}


def test_what_changes_something(daemon: Up) -> None:
    one = shape(EXAMPLES["midlayer plug --json"])
    assert shape(daemon.json("plug", "virtual:disk?size=1M&lun=9")) == one
    assert shape(daemon.json("change", "0:0:0:9", "size=2M")) == one
    assert shape(daemon.json("offline", "0:0:0:9")) == one
    assert shape(daemon.json("online", "0:0:0:9")) == one
    assert shape(daemon.json("unplug", "0:0:0:9")) == one
    host = daemon.json("plug", "--new-host")
    assert shape(host) == shape(EXAMPLES["midlayer plug --new-host --json"])
    assert shape(daemon.json("unplug", "--host", str(host["host"]))) == shape(host)
    assert shape(daemon.json("plug", "virtual:disk?size=1M", "--new-host")) == one
    assert daemon.json("rescan", "--plan").keys() == EXAMPLES["midlayer rescan --plan --json"].keys()


def test_faults(daemon: Up) -> None:
    keys = ("name=bad block", f"device={DEVICE}", "opcode=READ(10)", "sense=3/11/00")
    state = daemon.json("fault", "add", *keys)
    assert shape(state) == shape(EXAMPLES["midlayer fault add --json"])
    assert daemon.run("raw", DEVICE, "28000000000000000100", "-r", "512").returncode == 3
    listed = daemon.json("fault", "list")
    assert shape(listed) == shape(EXAMPLES["midlayer fault list --json"])
    injected = daemon.json("fault", "injected")
    assert shape(injected) == shape(EXAMPLES["midlayer fault injected --json"])
    assert daemon.json("fault", "clear", "bad block") == listed
    assert daemon.json("fault", "clear") == daemon.json("fault", "list") == {"items": []}


def test_filters(daemon: Up) -> None:
    keys = ("kind=trace", f"device={DEVICE}", f"file={daemon.directory}/trace")
    state = daemon.json("filter", "add", *keys)
    assert shape(state) == shape(EXAMPLES["midlayer filter add --json"])
    listed = daemon.json("filter", "list")
    assert shape(listed) == shape(EXAMPLES["midlayer filter list --json"])
    assert daemon.json("filter", "clear") == listed
    assert daemon.json("filter", "clear") == daemon.json("filter", "list") == {"items": []}


def test_scenario(daemon: Up) -> None:
    file = daemon.directory / "scenario.toml"
    file.write_text(
        'title = "x"\nend = "1ms"\n[[step]]\nat = 0\n[[step.fault]]\nname = "path"\nstate = "path-down"\n'
    )
    played = daemon.json("scenario", "run", file)
    documented = shape(EXAMPLES["midlayer scenario run --json"])
    assert shape(played) == documented | {"injections": []}
    assert shape(daemon.json("scenario", "check", file)) == shape(EXAMPLES["midlayer scenario check --json"])


def test_every_vpd_page_begins_and_ends_alike(daemon: Up) -> None:
    for page in daemon.json("vpd", DEVICE)["items"]:
        assert list(page)[:2] == ["page", "name"]
        assert list(page)[-1] == "data"
        assert page["name"] != "not decoded"
