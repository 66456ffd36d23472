"""The proc files of devices that are really open."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import threading
import time

import pytest

from midlayer.lower.virtual import HostSpec, UnitSpec, VirtualDriver
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg.descriptor import SgFile, SgNodes
from midlayer.upper.sg.parameters import ROOT
from midlayer.upper.sg.proc import Flavour, ProcTree

from .test_snapshots import whole


def test_what_is_open_and_what_is_not() -> None:
    subsystem = Subsystem(first_host_no=1000)
    nodes = SgNodes(first_minor=1000)
    subsystem.register_upper(nodes)
    VirtualDriver(subsystem).add_host(HostSpec(units=(UnitSpec(count=2),)))
    tree = ProcTree(subsystem, nodes, first_minor=1000)
    tree.open("scsi/sg/def_reserved_size", ROOT, os.O_WRONLY).write(b"65536")
    idle = tree.open("scsi/sg/debug").read()
    assert idle == b"max_active_device=2  def_reserved_size=65536\n"
    file = nodes.device(1001).open(os.O_RDWR | os.O_EXCL)
    assert tree.open("scsi/sg/debug").read() == (
        idle + b" >>> device=sg1 1000:0:0:1   em=0 sg_tablesize=65535 excl=1 open_cnt=1\n"
        b"   FD(1): timeout=60000ms bufflen=65536 (res)sgat=2 low_dma=0\n"
        b"   cmd_q=0 f_packid=0 k_orphan=0 closed=0\n"
        b"     No requests active\n"
    )
    old = ProcTree(subsystem, nodes, first_minor=1000, flavour="linux-2.4")
    opens = [line.split("\t")[5] for line in old.open("scsi/sg/devices").read().decode().splitlines()]
    assert opens == ["0", "1"]
    file.close()
    assert tree.open("scsi/sg/debug").read() == idle


_V3 = struct.Struct("=iiBBHIQQQIIi4xQBBBBHHiII4x")
"""``sg_io_hdr`` of a 64-bit program."""

_READS = 300


class OwnMemory:
    """The memory of this process."""

    def read(self, address: int, length: int) -> bytes:
        return ctypes.string_at(address, length)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        ctypes.memmove(address, bytes(data), len(data))

    def view(self, address: int, length: int, *, writable: bool) -> memoryview | None:
        return None


def send_and_receive(file: SgFile, stop: threading.Event) -> None:
    """Keep up to three READ(10) of one block going, by write and read."""
    cdb, data = (ctypes.create_string_buffer(size) for size in (10, 512))
    cdb[0], cdb[8], memory = 0x28, 1, OwnMemory()
    pack_id = 0
    while not stop.is_set():
        for _ in range(3):
            pack_id += 1
            header = _V3.pack(
                ord("S"), -3, 10, 0, 0, 512, ctypes.addressof(data), ctypes.addressof(cdb), 0, 5000, 0,
                pack_id, *[0] * 10,
            )  # fmt: skip
            file.write(header, memory)
        for _ in range(3):
            file.read(_V3.size, bytes(_V3.size), memory)


@pytest.mark.parametrize("flavour", ["linux-6", "linux-2.4"])
def test_debug_is_whole_while_requests_come_and_go(flavour: Flavour) -> None:
    subsystem, nodes = Subsystem(), SgNodes()
    subsystem.register_upper(nodes)
    VirtualDriver(subsystem).add_host(HostSpec(units=(UnitSpec(count=4, size=1 << 20),)))
    for host in subsystem.hosts():
        host.sg_tablesize = 16
    tree, stop = ProcTree(subsystem, nodes, flavour=flavour), threading.Event()
    files = [nodes.device(minor).open(os.O_RDWR) for minor in (0, 0, 1, 3)]
    workers = [threading.Thread(target=send_and_receive, args=(file, stop)) for file in files]
    for worker in workers:
        worker.start()
    states: set[str] = set()
    try:
        reads, end_s = 0, time.monotonic() + 60
        while reads < _READS or "rcv" not in states:  # all may fall where none has just ended
            reads += 1
            assert time.monotonic() < end_s or reads < _READS, states
            text = tree.open("scsi/sg/debug").read().decode()
            assert whole(flavour).fullmatch(text), text
            assert text.count("FD(") == len(files)
            states.update(re.findall(r"(\w+): id=", text))
    finally:
        stop.set()
        for worker in workers:
            worker.join()
        for file in files:
            file.close()
