"""Boot a kernel under QEMU and run one command in it.

The guest's root is the host's own root file system below a throw-away overlay: the command finds the same
Python, the same checkout and the same tools, may write anywhere, and changes nothing. Both sides share
one writable directory, the *exchange*: the command's output and exit status come back through it as
files, which works with and without udev in the guest and is not mixed with what the kernel prints.

    Guest(command)                                in the guest
      timeout(1)   the last resort
        vng        builds the initramfs         init
          qemu     ...boots...                    sh EXCHANGE/run
                                                    command > EXCHANGE/output
                   powers off                       echo $? > EXCHANGE/status

No guest outlives its deadline: ``stop()`` kills the process group that was started for it, and timeout(1)
does the same where the caller itself was killed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from . import prepare

CPUS = 2
DISK_BYTES = 16 << 20
# How long after the deadline timeout(1) steps in; only ever reached when the caller was killed.
LAST_RESORT_S = 15
REAPING_S = 5.0
CONSOLE_TAIL_LINES = 40

# QEMU's own SCSI devices, on a virtio HBA: a disk with names of its own and a CD drive with no medium.
QEMU_DISK_WWN = 0x300000000D15C001  # NAA 3: locally assigned
QEMU_DISK_SERIAL = "midlayer-disk"
QEMU_OPTIONS = (
    "-pidfile", "{exchange}/pid",
    "-fsdev", "local,id=cached,path=/,security_model=none,readonly=on,multidevs=remap",
    "-device", "virtio-9p-pci,fsdev=cached,mount_tag=cached",
    "-device", "virtio-scsi-pci,id=hba",
    "-drive", "if=none,id=disk,format=raw,file={exchange}/disk",
    "-device", f"scsi-hd,bus=hba.0,scsi-id=0,drive=disk,serial={QEMU_DISK_SERIAL},wwn={QEMU_DISK_WWN:#x}",
    "-device", "scsi-cd,bus=hba.0,scsi-id=1",
)  # fmt: skip

# Few lines on the console: every character costs the emulated serial port a trip out of the guest. And no
# defence against a processor that the emulated one is not: each system call would cost several times as much.
KERNEL_OPTIONS = "loglevel=5 mitigations=off"

# virtme-ng mounts the root without a cache, and importing a package over that takes seconds each time. The
# command gets a root of its own: the same files, cached, below an overlay that makes all of them writable.
_RUN = """\
exec > {exchange}/output 2>&1 < /dev/null
export PATH={path} HOME=/root TMPDIR=/tmp LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 MIDLAYER_GUEST={exchange}
# Without udev nothing else loads them; with udev they are loaded already.
modprobe -a sg sd_mod sr_mod virtio_scsi
mkdir -p /run/lower /run/over/upper /run/over/work /run/root
mount -t 9p -o ro,version=9p2000.L,trans=virtio,access=any,msize=524288,cache=loose cached /run/lower &&
mount -t overlay -o lowerdir=/run/lower,upperdir=/run/over/upper,workdir=/run/over/work overlay /run/root &&
mkdir -p /run/root/lib/modules /run/root{exchange} &&
for tree in /dev /proc /sys /lib/modules {exchange}; do
    mount --rbind "$tree" "/run/root$tree" || exit
done &&
mount --bind /run /run/root/run &&
chroot /run/root env --chdir={cwd} {environment} {command}
echo "$?" > {exchange}/status.part
mv {exchange}/status.part {exchange}/status
sync
"""


class GuestError(Exception):
    """The guest did not get as far as an exit status; the message ends with the console's last lines."""


class GuestTimeoutError(GuestError):
    """The guest was killed at its deadline."""


@dataclass(frozen=True)
class Completed:
    """What a command did in the guest.

    Attributes:
        status: its exit status, 128 + n when signal n killed it.
        output: its standard output and error, as one text.
        console: what the kernel and its init printed.
        duration_s: seconds from starting QEMU to its end, the boot included.
    """

    status: int
    output: str
    console: str
    duration_s: float


class Guest:
    """One boot, running one command. A context manager: leaving it kills what is left of the guest.

    Args:
        command: the program and its arguments.
        cwd: working directory, the same path on both sides.
        timeout_s: seconds from the start of QEMU after which the guest is killed.
        memory: the guest's memory, with QEMU's suffixes.
        environment: added to the command's environment, in which ``MIDLAYER_GUEST`` is the exchange's path.

    Raises:
        prepare.Unavailable: there is no kernel or no emulator here.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str | os.PathLike[str],
        timeout_s: float,
        memory: str = "1G",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._cwd = Path(cwd).resolve()
        self._timeout_s = timeout_s
        self._memory = memory
        self._environment = dict(environment or {})
        self._kernel = prepare.find()
        self.exchange = Path(tempfile.mkdtemp(prefix="midlayer-guest-")).resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._console_reader: threading.Thread | None = None
        self._started_s = 0.0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        with (self.exchange / "disk").open("wb") as image:
            image.truncate(DISK_BYTES)
        (self.exchange / "run").write_text(
            _RUN.format(
                exchange=self.exchange,
                path=shlex.quote(prepare.search_path()),
                cwd=shlex.quote(str(self._cwd)),
                environment=shlex.join(f"{name}={value}" for name, value in self._environment.items()),
                command=shlex.join(self._command),
            )
        )
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            [
                *("timeout", "--signal=KILL", f"{self._timeout_s + LAST_RESORT_S:.0f}"),
                *(prepare.find_program("vng") or "vng", "--verbose", "--run", str(self._kernel.image)),
                *("--disable-kvm", "--force-9p", "--cpus", str(CPUS), "--memory", self._memory),
                *("--rwdir", str(self.exchange), f"--append={KERNEL_OPTIONS}"),
                # vng puts these on a shell's command line as they are.
                f"--qemu-opts={shlex.join(option.format(exchange=self.exchange) for option in QEMU_OPTIONS)}",
                *("--", f"sh {self.exchange}/run"),
            ],
            # vng looks for its own parts, and they for QEMU and busybox, by name.
            env={**os.environ, "PATH": prepare.search_path()},
            stdin=subprocess.DEVNULL,
            # A pipe, not a file: QEMU opens its standard error anew, and would truncate a file.
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one process group, so that stop() reaches QEMU and nothing else
        )
        self._console_reader = threading.Thread(
            target=self._read_console, args=(self._process.stdout,), name="guest console", daemon=True
        )
        self._console_reader.start()

    def _read_console(self, pipe: IO[bytes]) -> None:
        with pipe, (self.exchange / "console").open("wb", buffering=0) as log:
            while chunk := os.read(pipe.fileno(), 1 << 16):
                log.write(chunk)

    def running(self) -> bool:
        """Tell whether the guest is still up.

        Raises:
            GuestTimeoutError: it was, and its time is over; it has been killed.
        """
        if self._process is None or self._process.poll() is not None:
            return False
        if time.monotonic() - self._started_s < self._timeout_s:
            return True
        self._kill()
        raise GuestTimeoutError(f"killed after {self._timeout_s:g} s\n{self.tail()}")

    def wait(self, on_output: Callable[[str], object] | None = None, *, poll_s: float = 0.05) -> Completed:
        """Wait for the guest to end, handing its command's output to ``on_output`` as it comes.

        Raises:
            GuestTimeoutError: it did not end in time.
            GuestError: it ended, by a panic for instance, and left no exit status.
        """
        seen = 0
        up = True
        while up:
            up = self.running()
            if on_output is not None:
                text = self.output()
                if len(text) > seen:
                    on_output(text[seen:])
                    seen = len(text)
            if up:
                time.sleep(poll_s)
        duration_s = time.monotonic() - self._started_s
        self._kill()
        try:
            status = int((self.exchange / "status").read_text())
        except FileNotFoundError:
            raise GuestError(f"the guest ended without an exit status\n{self.tail()}") from None
        return Completed(status=status, output=self.output(), console=self.console(), duration_s=duration_s)

    def output(self) -> str:
        """Return what the command has printed so far."""
        return self._text("output")

    def console(self) -> str:
        """Return what the kernel has printed so far."""
        return self._text("console").replace("\r\n", "\n")

    def tail(self) -> str:
        """Return the last lines of the output and of the console, for an error message."""
        parts = (("output", self.output()), ("console", self.console()))
        return "\n".join(
            f"--- the guest's {name}, last lines\n" + "\n".join(text.splitlines()[-CONSOLE_TAIL_LINES:])
            for name, text in parts
        )

    def _text(self, name: str) -> str:
        try:
            return (self.exchange / name).read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return ""

    def _kill(self) -> None:
        """Leave no process of this guest behind."""
        if self._process is None:
            return
        # QEMU first and alone: its parents then reap it and end by themselves, leaving no zombie to init.
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            os.kill(int((self.exchange / "pid").read_text()), signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(REAPING_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._console_reader is not None:
            self._console_reader.join()

    def stop(self) -> None:
        """Kill the guest if it is up and remove the exchange. Does nothing the second time."""
        self._kill()
        self._process = None
        shutil.rmtree(self.exchange, ignore_errors=True)


def run_in_guest(
    command: Sequence[str],
    *,
    cwd: str | os.PathLike[str],
    timeout_s: float,
    memory: str = "1G",
    environment: Mapping[str, str] | None = None,
    on_output: Callable[[str], object] | None = None,
) -> Completed:
    """Boot, run ``command``, power off. Arguments and errors are those of `Guest` and `Guest.wait`."""
    with Guest(command, cwd=cwd, timeout_s=timeout_s, memory=memory, environment=environment) as guest:
        return guest.wait(on_output)
