"""/proc/scsi, byte for byte what a Linux 6.1 with scsi_debug printed (captures/proc-scsi-linux-6.1.txt)."""

from __future__ import annotations

import os
import re

import pytest

from midlayer.upper.sg.proc import ProcTree

from .proc_capture import Machine, section


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.add_host("disk")
    return machine


def read(tree: ProcTree, path: str) -> str:
    return tree.open(f"scsi/{path}").read().decode()


def write(tree: ProcTree, path: str, text: str) -> None:
    tree.open(f"scsi/{path}", flags=os.O_WRONLY).write(f"{text}\n".encode())


def test_debug_of_a_machine_at_rest(machine: Machine) -> None:
    assert read(ProcTree(machine.subsystem), "sg/debug") == "".join(section("sg debug idle"))


def test_devices_and_their_names(machine: Machine) -> None:
    tree = ProcTree(machine.subsystem)
    lines = section("devices while busy")
    assert read(tree, "sg/device_hdr") == lines[0]
    assert read(tree, "sg/devices") == "".join(lines[1:3])
    assert read(tree, "sg/device_strs") == "".join(lines[3:5])


_WRITE = re.compile(r"(\w+) '(.*)' rc=(\d) (.*) now=(\d+)")


def test_what_is_written_and_what_is_then_read(machine: Machine) -> None:
    tree = ProcTree(machine.subsystem)
    lines = section("writes")
    assert len(lines) == 12
    for line in lines:
        match = _WRITE.fullmatch(line.strip())
        assert match is not None, line
        name, text, _, message, now = match.groups()
        said = ""
        try:
            write(tree, f"sg/{name}", text)
        except OSError as error:
            said = os.strerror(error.errno)
        assert (said, read(tree, f"sg/{name}")) == (message, f"{now}\n"), line


def test_a_device_is_removed_and_added_again(machine: Machine) -> None:
    tree = ProcTree(machine.subsystem)
    printed = ""
    write(tree, "scsi", "scsi remove-single-device 0 0 0 0")
    printed += read(tree, "sg/devices") + read(tree, "sg/device_strs") + read(tree, "scsi")
    write(tree, "scsi", "scsi add-single-device 0 0 0 0")
    printed += read(tree, "sg/devices") + read(tree, "scsi")
    theirs = [line for line in section("remove-single-device") if not line.startswith(("[", "/dev"))]
    assert printed == "".join(theirs)


def test_types_of_devices(machine: Machine) -> None:
    tree = ProcTree(machine.subsystem)
    write(tree, "scsi", "scsi remove-single-device 0 0 0 0")
    write(tree, "scsi", "scsi add-single-device 0 0 0 0")
    machine.add_all_hosts()
    lines = section("types")
    end = lines.index("/proc/scsi/device_info\t/proc/scsi/scsi\n")
    assert read(tree, "scsi") + read(tree, "sg/devices") == "".join(lines[:end])


def test_names(machine: Machine) -> None:
    machine.add_all_hosts()
    tree = ProcTree(machine.subsystem)
    listing = "".join(section("types"))
    for path, heading in (("scsi", "/proc/scsi"), ("scsi/virtual", "/proc/scsi/scsi_debug")):
        theirs = listing.split(f"{heading}:\n")[1].split("\n")[0].split()
        ours = [name.replace("virtual", "scsi_debug") for name in tree.listdir(path)]
        assert sorted(ours) == sorted(theirs)
    theirs = listing.split("/proc/scsi/sg:\n")[1].split("\n")[0].split()
    assert list(tree.listdir("scsi/sg")) == theirs
