"""The kernel's own SCSI hosts and devices as members of the mid level.

`LinuxDriver` carries commands and requests, `UeventMonitor` reports what comes and goes, and `open_node`
makes one device usable without either a daemon or a monitor.
"""

from midlayer.lower.linux.driver import LinuxDriver
from midlayer.lower.linux.monitor import Counters, UeventMonitor
from midlayer.lower.linux.single import close_node, open_node

__all__ = ["Counters", "LinuxDriver", "UeventMonitor", "close_node", "open_node"]
