"""docs/mid-low-interface.md names everything that the kernel's document names, and what it names is there."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

from midlayer.mid.host import Host
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.recovery_callbacks import RecoveryCallbacks

DOCUMENT = Path(__file__).parent.parent.parent.parent / "docs" / "mid-low-interface.md"
_ROW = re.compile(r"^\| (`[^|]+`) \| `([\w.]+)` \|", re.MULTILINE)
ROWS = {
    name: path
    for names, path in _ROW.findall(DOCUMENT.read_text())
    for name in re.findall(r"`([^`]+)`", names)
}

SUPPLIED = [
    "activate_tcq",
    "add_device",
    "add_host",
    "adjust_queue_depth",
    "bios_ptable",
    "block_requests",
    "deactivate_tcq",
    "host_alloc",
    "host_get",
    "host_put",
    "partsize",
    "register",
    "remove_device",
    "remove_host",
    "report_bus_reset",
    "scan_host",
    "track_queue_full",
    "unblock_requests",
    "unregister",
]
INTERFACE = [
    "bios_param",
    "detect",
    "eh_timed_out",
    "eh_abort_handler",
    "eh_bus_reset_handler",
    "eh_device_reset_handler",
    "eh_host_reset_handler",
    "info",
    "ioctl",
    "proc_info",
    "queuecommand",
    "release",
    "slave_alloc",
    "slave_configure",
    "slave_destroy",
]
MEMBERS = [
    "name",
    "proc_name",
    "transportt",
    "vendor_id",
    "host_lock",
    "device",
    "host_no",
    "can_queue",
    "this_id",
    "sg_tablesize",
    "max_sectors",
    "cmd_per_lun",
    "unchecked_isa_dma",
    "use_clustering",
    "hostt",
    "sh_list",
    "my_devices",
    "hostdata",
    "cmnd",
    "cmnd_len",
    "sc_data_direction",
    "request_bufflen",
    "use_sg",
    "request_buffer",
    "done",
    "result",
    "sense_buffer",
    "resid",
    "underflow",
]


def look_up(path: str) -> object:
    """Import as much of a dotted path as is a module, and get the rest."""
    words = path.split(".")
    module, rest = ".".join(words[:3]), words[3:]
    found: object = importlib.import_module(module)
    for word in rest:
        found = getattr(found, word)
    return found


def test_the_document_has_nineteen_functions_and_fifteen_callbacks() -> None:
    assert (len(SUPPLIED), len(INTERFACE)) == (19, 15)


@pytest.mark.parametrize("name", [*(f"scsi_{name}" for name in SUPPLIED), *INTERFACE, *MEMBERS])
def test_each_name_of_the_document_has_a_row(name: str) -> None:
    assert name in ROWS


@pytest.mark.parametrize("name", ROWS)
def test_each_row_names_something_that_is_there(name: str) -> None:
    assert look_up(ROWS[name]) is not None


@pytest.mark.parametrize(
    "name",
    [
        "host_no",
        "can_queue",
        "this_id",
        "sg_tablesize",
        "max_sectors",
        "cmd_per_lun",
        "transportt",
        "vendor_id",
    ],
)
def test_members_of_a_host(name: str) -> None:
    assert name in Host.__slots__


def test_each_function_has_its_headings() -> None:
    text = DOCUMENT.read_text()
    for name in SUPPLIED:
        assert re.search(rf"^### (\w+, )*{name}\b", text, re.MULTILINE), name
    for section in text.split("\n### ")[1:]:
        part = section.split("\n## ")[0]
        assert "Might block" in part or "As `activate_tcq`" in part, part.splitlines()[0]


def test_each_callback_has_its_headings() -> None:
    for owner in (HostTemplate, RecoveryCallbacks):
        for name, callback in vars(owner).items():
            if inspect.isfunction(callback) and not name.startswith("_"):
                text = inspect.getdoc(callback) or ""
                headings = ("Status:", "Context", "May block:")
                missing = [heading for heading in headings if heading not in text]
                assert missing == [], f"{name}: {missing}"
