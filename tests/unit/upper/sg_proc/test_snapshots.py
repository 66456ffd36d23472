"""Whoever reads debug while everything changes reads it whole, with states that belong together."""

from __future__ import annotations

import random
import re
import threading
from types import SimpleNamespace

import pytest

from midlayer.address import Address
from midlayer.mid.subsystem import Subsystem
from midlayer.upper.sg.parameters import SgParameters
from midlayer.upper.sg.proc import Flavour, ProcTree
from midlayer.upper.sg.request import RequestView

_THREADS, _READS = 6, 400

_HEAD = {
    "linux-6": r"max_active_device=4  def_reserved_size=\d+\n",
    "linux-2.4": r"dev_max\(currently\)=10 max_active_device=4 \(origin 1\)\n"
    r" scsi_dma_free_sectors=416 sg_pool_secs_aval=320 def_reserved_size=\d+\n",
}
_DEVICE = {
    "linux-6": r" >>> device=sg\d (?:\d:0:0:\d   em=0|detaching pending close ) "
    r"sg_tablesize=16 excl=[01] open_cnt=\d+\n",
    "linux-2.4": r" >>> device=sg\d (?:scsi\d chan=0 id=0 lun=\d   em=0|detached pending close ) "
    r"sg_tablesize=16 excl=[01]\n",
}
_FILE = (
    r"   FD\(\d+\): timeout=\d+ms bufflen=\d+ \(res\)sgat=\d+ low_dma=0\n"
    r"   cmd_q=[01] f_packid=[01] k_orphan=[01] closed=[01]\n"
)
_REQUEST = (
    r"     (?:(?:rb|mmap|dio)>> )?(?:(?:prior|act): id=\d+ blen=\d+ t_o/elap=\d+/\d+ms|"
    r"(?:rcv|fin): id=\d+ blen=\d+ dur=\d+ms) sgat=\d+ op=0x[0-9a-f]{2}\n"
)
_IDLE = r"     No requests active\n"


def whole(flavour: Flavour) -> re.Pattern[str]:
    files = rf"(?:{_FILE}(?:{_IDLE}|(?:{_REQUEST})+))+"
    return re.compile(rf"{_HEAD[flavour]}(?:{_DEVICE[flavour]}{files})*")


class Busy:
    """sg devices whose descriptors come, work and go in many threads."""

    def __init__(self, subsystem: Subsystem) -> None:
        self.parameters = SgParameters()
        self.stop = threading.Event()
        self.all = [
            SimpleNamespace(
                minor=minor, device=device, files=(), exclusive=False, detaching=False,
                sg_tablesize=16, lock=threading.RLock(),
            )
            for minor, device in enumerate(subsystem.devices())
        ]  # fmt: skip

    def devices(self) -> list[SimpleNamespace]:
        return list(self.all)

    def work(self, chance: random.Random) -> None:
        while not self.stop.is_set():
            device = chance.choice(self.all)
            with device.lock:
                if not device.files or (len(device.files) < 4 and chance.random() < 0.3):
                    device.files = (*device.files, _opened())
                    device.exclusive = len(device.files) == 1
                elif chance.random() < 0.3:
                    device.files = device.files[1:]
                else:
                    chance.choice(device.files).requests = _requests(chance)
                device.detaching = chance.random() < 0.1
            self.parameters.def_reserved_size = chance.randrange(1 << 20)


def _opened() -> SimpleNamespace:
    return SimpleNamespace(
        timeout_ms=60000, reserved_bytes=32768, reserved_sgat=1, cmd_q=True, force_pack_id=False,
        keep_orphan=False, closed=False, requests=(),
    )  # fmt: skip


def _requests(chance: random.Random) -> tuple[RequestView, ...]:
    states = chance.choices(("prior", "act", "rcv", "fin"), k=chance.randrange(5))
    return tuple(
        RequestView(
            kind=chance.choice(("", "rb", "mmap", "dio")), state=state, pack_id=number, blen=512,
            duration_ms=3 if state in ("rcv", "fin") else None, timeout_ms=60000, elapsed_ms=1, sgat=1,
            opcode=0x28,
        )
        for number, state in enumerate(states)
    )  # fmt: skip


@pytest.mark.parametrize("flavour", ["linux-6", "linux-2.4"])
def test_debug_is_whole_while_all_changes(subsystem: Subsystem, flavour: Flavour) -> None:
    busy, pattern = Busy(subsystem), whole(flavour)
    tree = ProcTree(subsystem, busy, flavour=flavour)
    workers = [
        threading.Thread(target=busy.work, args=(random.Random(seed),), name=f"midlayer-test-{seed}")
        for seed in range(_THREADS)
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in range(_READS):
            text = tree.open("scsi/sg/debug").read().decode()
            assert pattern.fullmatch(text), text
            assert flavour == "linux-2.4" or "prior:" not in text
    finally:
        busy.stop.set()
        for worker in workers:
            worker.join()


def test_tables_are_whole_while_devices_come_and_go(subsystem: Subsystem) -> None:
    tree, stop = ProcTree(subsystem), threading.Event()

    def plug_and_unplug() -> None:
        while not stop.is_set():
            subsystem.remove_device(subsystem.device(Address(0, 0, 0, 1)))
            subsystem.scan_host(subsystem.host(0))

    worker = threading.Thread(target=plug_and_unplug, name="midlayer-test")
    worker.start()
    row = r"(?:0\t0\t0\t1\t0\t1\t3\t\d\t1|(?:-1\t){8}-1)"
    pattern = re.compile(rf"0\t0\t0\t0\t.*\n{row}\n2\t0\t0\t0\t.*\n2\t0\t0\t1\t.*\n")
    block = r"Host: scsi\d Channel: 00 Id: 00 Lun: 0\d\n  Vendor: Acme .*\n  Type: .*\n"
    try:
        for _ in range(_READS):
            text = tree.open("scsi/sg/devices").read().decode()
            assert pattern.fullmatch(text), text
            attached = tree.open("scsi/scsi").read().decode()
            assert re.fullmatch(rf"Attached devices:\n(?:{block}){{3,4}}", attached), attached
    finally:
        stop.set()
        worker.join()
