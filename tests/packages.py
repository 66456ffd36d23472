"""Install what the tests need from Debian, where this machine lets us: root, and apt.

Run as ``python -m tests.packages``. What can't be had is said here; the tiers that need it skip then,
or fail when ``CI=true``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PROGRAMS = {
    "sg_inq": "sg3-utils",
    "lsscsi": "lsscsi",
    "sdparm": "sdparm",
    "gcc": "gcc",
    "iscsi-ls": "libiscsi-bin",
    "tgtd": "tgt",
    "fusermount3": "fuse3",
    "mtx": "mtx",
}


def main() -> int:
    """Install missing programs, then fetch udev for its rules, and the kernel for the kernel tier."""
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            print(f"installing {', '.join(missing)}", flush=True)
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
            subprocess.run(["apt-get", "install", "-y", "-qq", *missing], check=False, env=environment)
        else:
            print(f"missing: {', '.join(missing)} (not root, or no apt); tests that need them are skipped")
    subprocess.run([sys.executable, "-m", "tests.udev_packages"], check=False)
    subprocess.run([sys.executable, "-m", "tests.kernel.prepare"], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
