"""midlayer: the Linux SCSI subsystem in user space.

>>> import midlayer
>>> with midlayer.open_device("virtual:disk?size=1M") as disk:
...     result = disk.execute(bytes.fromhex("000000000000"))
>>> print(result)
0:0:0:0 TEST UNIT READY: GOOD
"""

from midlayer.address import Address
from midlayer.device import Device, open_device
from midlayer.errors import CommandError, MidlayerError
from midlayer.mid.command import Command, HostByte, Result
from midlayer.mid.host_template import HostTemplate
from midlayer.mid.subsystem import Subsystem
from midlayer.standards.sam import Status
from midlayer.standards.sense import Sense, SenseKey
from midlayer.upper.sg import execute
from midlayer.version import VERSION as __version__

__all__ = [
    "Address",
    "Command",
    "CommandError",
    "Device",
    "HostByte",
    "HostTemplate",
    "MidlayerError",
    "Result",
    "Sense",
    "SenseKey",
    "Status",
    "Subsystem",
    "__version__",
    "execute",
    "open_device",
]
