"""midlayer: the Linux SCSI subsystem in user space.

>>> import midlayer
>>> with midlayer.open_device("virtual:disk?size=1M") as disk:
...     result = disk.execute(bytes.fromhex("000000000000"))
>>> print(result)
0:0:0:0 TEST UNIT READY: GOOD

A name is imported when it is first used, so that a program pays for what it needs.
"""

from __future__ import annotations

from importlib import import_module

from midlayer.version import VERSION as __version__

TYPE_CHECKING = False  # type checkers know the name; importing typing takes as long as all the rest
if TYPE_CHECKING:
    from typing import Any

    from midlayer.address import Address
    from midlayer.device import Device, open_device
    from midlayer.errors import CommandError, MidlayerError
    from midlayer.frontends import aio
    from midlayer.frontends.monitor import Monitor, MonitorEvent, MonitorObserver
    from midlayer.mid.command import Command, HostByte, Result
    from midlayer.mid.host import Host
    from midlayer.mid.host_template import HostTemplate
    from midlayer.mid.subsystem import Subsystem
    from midlayer.standards.sam import Status
    from midlayer.standards.sense import Sense, SenseKey
    from midlayer.upper.scsimon import Gap
    from midlayer.upper.sg import Request, Session, execute

__all__ = [
    "Address",
    "Command",
    "CommandError",
    "Device",
    "Gap",
    "Host",
    "HostByte",
    "HostTemplate",
    "MidlayerError",
    "Monitor",
    "MonitorEvent",
    "MonitorObserver",
    "Request",
    "Result",
    "Sense",
    "SenseKey",
    "Session",
    "Status",
    "Subsystem",
    "__version__",
    "aio",
    "execute",
    "open_device",
]

_HOME = {
    "Address": "address",
    "Command": "mid.command",
    "CommandError": "errors",
    "Device": "device",
    "Gap": "upper.scsimon",
    "HostByte": "mid.command",
    "Host": "mid.host",
    "HostTemplate": "mid.host_template",
    "MidlayerError": "errors",
    "Monitor": "frontends.monitor",
    "MonitorEvent": "frontends.monitor",
    "MonitorObserver": "frontends.monitor",
    "Request": "upper.sg",
    "Result": "mid.command",
    "Sense": "standards.sense",
    "SenseKey": "standards.sense",
    "Session": "upper.sg",
    "Status": "standards.sam",
    "Subsystem": "mid.subsystem",
    "execute": "upper.sg",
    "open_device": "device",
}


def __getattr__(name: str) -> Any:
    if name == "aio":
        return import_module("midlayer.frontends.aio")
    if name not in _HOME:
        raise AttributeError(f"module 'midlayer' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"midlayer.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
