"""/proc/scsi/sg/debug: of Linux 6.1 as captured, and of Linux 2.4 as document 003 prints it."""

from __future__ import annotations

import pytest

from midlayer.upper.sg.proc import ProcTree

from .proc_capture import FakeDevice, FakeFile, FakeRegistry, Machine, reading, section

DOCUMENT = """\
dev_max(currently)=7 max_active_device=1 (origin 1)
 scsi_dma_free_sectors=416 sg_pool_secs_aval=320 def_reserved_size=32768
 >>> device=sg0 scsi0 chan=0 id=0 lun=0   em=0 sg_tablesize=255 excl=0
   FD(1): timeout=60000ms bufflen=65536 (res)sgat=2 low_dma=0
   cmd_q=1 f_packid=1 k_orphan=0 closed=0
     fin: id=3949312 blen=65536 dur=10ms sgat=2 op=0x28
     act: id=3949440 blen=65536 t_o/elap=60000/10ms sgat=2 op=0x28
     rb>> act: id=3949568 blen=65536 t_o/elap=60000/10ms sgat=2 op=0x28
     act: id=3949696 blen=65536 t_o/elap=60000/0ms sgat=2 op=0x28
"""


@pytest.fixture
def registry() -> FakeRegistry:
    machine = Machine()
    machine.add_host("disk")
    devices = machine.subsystem.devices()
    return FakeRegistry(*(FakeDevice(minor, device) for minor, device in enumerate(devices)))


def debug(registry: FakeRegistry, **options: object) -> str:
    subsystem = registry.all[0].device.host.subsystem
    return ProcTree(subsystem, registry, **options).open("scsi/sg/debug").read().decode()  # type: ignore[arg-type]


def test_sgp_dd_between_two_commands(registry: FakeRegistry) -> None:
    registry.all[0].files = (FakeFile(),)
    lines = section("sg debug with sgp_dd")
    assert debug(registry) == "".join(lines[:5])
    assert lines[5] == "\n"
    assert debug(registry) == "".join(lines[6:])


def test_sg_dd_with_mmap(registry: FakeRegistry) -> None:
    request = reading(1, kind="mmap", elapsed_ms=44)
    registry.all[0].files = (FakeFile(cmd_q=True, force_pack_id=False, requests=(request,)),)
    assert debug(registry) == "".join(section("sg_dd mmap/dio"))


def test_the_example_of_the_document(registry: FakeRegistry) -> None:
    requests = (
        reading(3949312, state="fin", duration_ms=10),
        reading(3949440, elapsed_ms=10),
        reading(3949568, kind="rb", elapsed_ms=10),
        reading(3949696),
    )
    registry.all[1:] = []
    registry.all[0].sg_tablesize = 255
    registry.all[0].files = (FakeFile(cmd_q=True, requests=requests),)
    assert debug(registry, flavour="linux-2.4") == DOCUMENT
