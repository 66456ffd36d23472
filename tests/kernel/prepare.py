"""Fetch what the kernel tier needs: a Debian kernel, QEMU and a few programs.

``python -m tests.kernel.prepare`` installs missing programs with apt (as root), downloads the kernel
package, and unpacks it below ``$MIDLAYER_CACHE`` (default ``~/.cache/midlayer``)``/kernel``. The package
is never installed: virtme-ng finds the modules beside the image it boots. Exit status 77 when something
cannot be had, with a line for each thing that is missing.

``MIDLAYER_KERNEL`` names another Debian kernel package, such as ``linux-image-amd64``; each has its own
place in the cache, so the tier can be run against several.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

EXIT_UNAVAILABLE = 77

# The newest long-term kernel first: 6.12's scsi_debug has the error injection files.
KERNEL_PACKAGES = ("linux-image-6.12-amd64", "linux-image-amd64")

# program: the Debian package that has it. virtme-ng asks file(1) whether busybox is static.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "file": "file",
    "depmod": "kmod",
    "sg_inq": "sg3-utils",
    "lsscsi": "lsscsi",
    "iscsid": "open-iscsi",
    "mkfs.xfs": "xfsprogs",
    "mkfs.ext4": "e2fsprogs",
    "fio": "fio",
    "smartctl": "smartmontools",
    "genisoimage": "genisoimage",
    "mt-st": "mt-st",
    "mtx": "mtx",
    "ip": "iproute2",
    "sfdisk": "fdisk",
    "multipathd": "multipath-tools",
}


class Unavailable(Exception):
    """The tier cannot run here; one line in ``missing`` for each thing that it lacks."""

    def __init__(self, missing: list[str]) -> None:
        super().__init__("; ".join(missing))
        self.missing = missing


@dataclass(frozen=True)
class Kernel:
    """An unpacked kernel: ``image`` is what QEMU boots, ``release`` what ``uname -r`` will say."""

    release: str
    image: Path


def search_path() -> str:
    """``PATH`` with the interpreter's own directory first and the administrator's programs last."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])


def find_program(name: str) -> str | None:
    """Return the path of a program, looking beside the running interpreter first."""
    return shutil.which(name, path=search_path())


def wanted_packages() -> tuple[str, ...]:
    """Return the kernel packages to try, in order."""
    chosen = os.environ.get("MIDLAYER_KERNEL")
    return (chosen,) if chosen else KERNEL_PACKAGES


def cache_directory() -> Path:
    """Return where unpacked kernels are kept."""
    root = os.environ.get("MIDLAYER_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "midlayer") / "kernel"


def find_kernel() -> Kernel | None:
    """Return the first wanted kernel that is already in the cache."""
    for package in wanted_packages():
        for image in (cache_directory() / package).glob("boot/vmlinuz-*"):
            return Kernel(release=image.name.removeprefix("vmlinuz-"), image=image)
    return None


def find() -> Kernel:
    """Return the kernel to boot, changing nothing.

    Raises:
        Unavailable: something is missing; ``python -m tests.kernel.prepare`` may be able to fetch it.
    """
    kernel = find_kernel()
    missing = [f"{name} (Debian package {PROGRAMS[name]})" for name in missing_programs()]
    if find_program("vng") is None:
        missing.append("vng (PyPI package virtme-ng)")
    if kernel is None:
        missing.append(f"an unpacked kernel in {cache_directory()} ({' or '.join(wanted_packages())})")
    if missing or kernel is None:
        raise Unavailable(missing)
    return kernel


def missing_programs() -> list[str]:
    """Return the programs of Debian packages that are not installed."""
    return [name for name in PROGRAMS if find_program(name) is None]


def prepare() -> Kernel:
    """Fetch whatever is missing and return the kernel to boot.

    Raises:
        Unavailable: something could not be had.
    """
    if platform.machine() != "x86_64":
        raise Unavailable([f"an x86-64 machine (this is {platform.machine()})"])
    if missing_programs():
        _install([PROGRAMS[name] for name in missing_programs()])
    if find_kernel() is None:
        _fetch_kernel()
    return find()


def _run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "PATH": search_path()}
    return subprocess.run(
        command, cwd=cwd, env=environment, text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _install(packages: list[str]) -> None:
    if find_program("apt-get") is None or os.geteuid() != 0:
        return  # find() will name what is missing
    print("installing", *packages, flush=True)
    command = ["apt-get", "-o", "DPkg::Lock::Timeout=120", "install", "-y", "--no-install-recommends"]
    installed = _run(*command, *packages)
    if installed.returncode != 0:  # most often a package list that is out of date, or none at all
        _run("apt-get", "update")
        installed = _run(*command, *packages)
    if installed.returncode != 0:
        print(installed.stdout, file=sys.stderr)


def _fetch_kernel() -> None:
    for name in ("apt-get", "apt-cache", "dpkg"):
        if find_program(name) is None:
            raise Unavailable([f"{name}: the kernel comes from a Debian package"])
    reasons = []
    for attempt in ("with the package lists as they are", "after apt-get update"):
        for package in wanted_packages():
            try:
                return _unpack_kernel(package)
            except Unavailable as error:
                reasons += [f"{line} ({attempt})" for line in error.missing]
        if os.geteuid() != 0:
            break
        _run("apt-get", "update")
    raise Unavailable(reasons)


def _unpack_kernel(package: str) -> None:
    """Download and unpack ``package`` into its place, which appears whole or not at all."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".unpacking-") as temporary:
        versioned = _versioned_package(package)
        print("downloading", versioned, flush=True)
        downloaded = _run("apt-get", "download", versioned, cwd=Path(temporary))
        archives = list(Path(temporary).glob("*.deb"))
        if downloaded.returncode != 0 or not archives:
            raise Unavailable([f"{versioned}: {_last_line(downloaded.stdout)}"])
        tree = Path(temporary) / "tree"
        unpacked = _run("dpkg", "-x", str(archives[0]), str(tree))
        if unpacked.returncode != 0:
            raise Unavailable([f"{archives[0].name}: {_last_line(unpacked.stdout)}"])
        if not (tree / "lib").exists():  # newer packages have usr/lib/modules only
            (tree / "lib").symlink_to("usr/lib")
        release = next(tree.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")
        indexed = _run("depmod", "-b", str(tree), release)
        if indexed.returncode != 0:
            raise Unavailable([f"modules of {release}: {_last_line(indexed.stdout)}"])
        try:
            tree.rename(cache / package)
        except OSError:
            if find_kernel() is None:  # otherwise another run was quicker
                raise


def _versioned_package(package: str) -> str:
    """Follow a metapackage to the package that has the files: Debian's unversioned names only depend."""
    depends = _run("apt-cache", "depends", package)
    if depends.returncode != 0:
        raise Unavailable([f"{package}: {_last_line(depends.stdout)}"])
    for line in depends.stdout.splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    return package


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2] or "no message"


def main() -> int:
    """Prepare and say what was found."""
    try:
        kernel = prepare()
    except Unavailable as error:
        for line in error.missing:
            print("missing:", line, file=sys.stderr)
        return EXIT_UNAVAILABLE
    print(f"kernel {kernel.release}: {kernel.image}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
