"""Debian's udev and the packages that bring rules for SCSI: fetched and unpacked, never installed.

``python -m tests.udev_packages`` downloads them with apt-get below ``$MIDLAYER_CACHE`` (default
``~/.cache/midlayer``)``/udev``. In the guest, which has no network, they are found there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = ("udev", "sg3-utils-udev", "multipath-tools", "kpartx", "lvm2", "dmsetup")


def cache_directory() -> Path:
    """Return where the packages are unpacked."""
    root = os.environ.get("MIDLAYER_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "midlayer") / "udev"


def tree(package: str) -> Path:
    """Return the unpacked files of a package, after downloading it if need be.

    Raises:
        RuntimeError: It can not be had; says why.
    """
    place = cache_directory() / package
    if not place.exists():
        _fetch(package, place)
    return place


def rules_directory(package: str) -> Path:
    """Return the directory of a package's rules."""
    return tree(package) / "lib" / "udev" / "rules.d"


def rule_files(*packages: str) -> dict[str, bytes]:
    """Return the rule files of some packages, or of all, by name."""
    return {
        path.name: path.read_bytes()
        for package in packages or PACKAGES
        for path in sorted(rules_directory(package).glob("*.rules"))
    }


def udevadm() -> Path:
    """Return Debian's udevadm."""
    return tree("udev") / "bin" / "udevadm"


def _fetch(package: str, place: Path) -> None:
    """Download and unpack a package into its place, which appears whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".unpacking-") as temporary:
        said = _run("apt-get", "download", package, cwd=temporary)
        archives = list(Path(temporary).glob("*.deb"))
        if not archives and os.geteuid() == 0:
            _run("apt-get", "update", cwd=temporary)
            said = _run("apt-get", "download", package, cwd=temporary)
            archives = list(Path(temporary).glob("*.deb"))
        if not archives:
            raise RuntimeError(f"apt-get download {package}: {said.strip().splitlines()[-1:]}")
        unpacked = Path(temporary) / "tree"
        said = _run("dpkg", "-x", str(archives[0]), str(unpacked), cwd=temporary)
        if not unpacked.exists():
            raise RuntimeError(f"dpkg -x {archives[0].name}: {said}")
        try:
            unpacked.rename(place)
        except OSError:
            if not place.exists():  # else another run was quicker
                raise


def _run(*command: str, cwd: str) -> str:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def main() -> int:
    """Fetch all of them; the exit status is 77 if one can not be had."""
    for package in PACKAGES:
        try:
            tree(package)
        except (RuntimeError, OSError) as error:
            print("missing:", error, file=sys.stderr)
            return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
