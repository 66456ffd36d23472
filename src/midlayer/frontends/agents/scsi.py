"""A ready agent: load the kernel's upper-level drivers for a device that comes.

``python -m midlayer.frontends.agents.scsi scsi``, with the variables that agents get. Where nothing can be
loaded, for want of the right or because the device is not the kernel's, it only names the modules.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from midlayer.standards.spc import PeripheralDeviceType as Type

MODULES: dict[int, str] = {
    Type.DIRECT_ACCESS: "sd_mod",
    Type.SEQUENTIAL_ACCESS: "st",
    Type.WRITE_ONCE: "sr_mod",
    Type.CD_DVD: "sr_mod",
    Type.OPTICAL_MEMORY: "sd_mod",
    Type.MEDIUM_CHANGER: "ch",
    Type.ENCLOSURE_SERVICES: "ses",
    Type.SIMPLIFIED_DIRECT_ACCESS: "sd_mod",
    Type.HOST_MANAGED_ZONED_BLOCK: "sd_mod",
}
"""The module that binds to devices of a type; every device has sg as well."""


def modules_for(device_type: int) -> tuple[str, ...]:
    """Return the modules for a peripheral device type."""
    module = MODULES.get(device_type)
    return ("sg",) if module is None else (module, "sg")


def main(environment: Mapping[str, str], *, sysfs: Path = Path("/sys")) -> int:
    """Do what the variables ask for, and return the exit status."""
    if environment.get("ACTION") != "add":
        return 0
    try:
        place = ":".join(str(int(environment[f"SCSI_{part}"])) for part in ("HOST", "BUS", "TARGET", "LUN"))
        modules = modules_for(int(environment["SCSI_TYPE"]))
    except (KeyError, ValueError) as error:
        print(f"scsi.agent: a variable is missing or is no number: {error}", file=sys.stderr)
        return 1
    names = " ".join(modules)
    modprobe = shutil.which("modprobe", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not (sysfs / "bus/scsi/devices" / place).exists():
        print(f"{place}: {names} (not a device of this kernel, nothing to load)")
        return 0
    if os.geteuid() != 0 or modprobe is None:
        print(f"{place}: {names} (not loaded: this needs root and modprobe)")
        return 0
    status = subprocess.run([modprobe, "-q", "-a", *modules], check=False).returncode
    print(f"{place}: {names} ({'loaded' if status == 0 else f'modprobe ended with {status}'})")
    return status


if __name__ == "__main__":
    sys.exit(main(os.environ))
