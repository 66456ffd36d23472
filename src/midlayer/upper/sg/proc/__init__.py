"""The "proc" file system of the SCSI subsystem, as values: names, and what reading and writing does.

`ProcTree` answers for everything below ``/proc/scsi``; whoever serves nodes to programs asks it.
"""

from midlayer.upper.sg.proc.file import ProcFile
from midlayer.upper.sg.proc.tree import Flavour, ProcTree
from midlayer.upper.sg.proc.views import RequestView, SgDeviceView, SgFileView, SgRegistry

__all__ = [
    "Flavour",
    "ProcFile",
    "ProcTree",
    "RequestView",
    "SgDeviceView",
    "SgFileView",
    "SgRegistry",
]
