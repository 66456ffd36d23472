"""Run by `test_exec_programs`: ``sg_programs.py CASE NODE`` prints what it found as JSON."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from sg_calls import header

GET_VERSION = 0x2282


def version(fd: int) -> int | str:
    room = bytearray(4)
    try:
        fcntl.ioctl(fd, GET_VERSION, room)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return int.from_bytes(room, "little")


def in_a_child(node: str, fd: int) -> object:
    """Return the version that a child finds, which has no connection to the server yet."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, str(version(fd)).encode())
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 100)
    os.waitpid(child, 0)
    return int(said)


def starts(node: str) -> object:
    fd = os.open(node, os.O_RDWR)
    spawned = os.posix_spawnp("sg_turs", ["sg_turs", node], os.environ)
    found: dict[str, object] = {
        "vfork": subprocess.run(["sg_turs", node], check=False).returncode,
        "posix_spawn": os.waitstatus_to_exitcode(os.waitpid(spawned, 0)[1]),
        "fork": in_a_child(node, fd),
    }
    other = threading.Thread(target=lambda: found.update(thread=version(fd)))
    other.start()
    other.join()
    os.set_inheritable(fd, True)
    found["exec"] = json.loads(again("version_of", str(fd)))
    return found


def again(case: str, argument: str) -> str:
    """Run this program once more, with the descriptors that it inherits."""
    command = [sys.executable, __file__, case, argument]
    return subprocess.run(command, close_fds=False, check=True, stdout=subprocess.PIPE, text=True).stdout


def cloexec(node: str) -> object:
    kept, closed = os.open(node, os.O_RDWR), os.open(node, os.O_RDWR | os.O_CLOEXEC)
    os.set_inheritable(kept, True)
    found: dict[str, object] = {
        "kept": json.loads(again("version_of", str(kept))),
        "closed": json.loads(again("version_of", str(closed))),
    }
    os.close(closed)
    match = re.search(r"open_cnt=(\d+)", Path("/proc/scsi/sg/debug").read_text())
    found["openers"] = int(match[1]) if match else 0
    return found


def exclusive(node: str) -> object:
    """Open a node for oneself, again and again: who has closed it does not stand in the way."""
    for _ in range(300):
        os.close(os.open(node, os.O_RDWR | os.O_EXCL | os.O_NONBLOCK))
    return "done"


def sigio(node: str) -> object:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
    fd = os.open(node, os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
    before = signal.SIGIO in signal.sigpending()
    os.write(fd, bytes(header(0, 0, pack_id=7)))
    came = signal.sigtimedwait({signal.SIGIO}, 20)
    answer = os.read(fd, 88)
    return {
        "before": before,
        "signal": signal.Signals(came.si_signo).name if came else None,
        "pack_id": int.from_bytes(answer[48:52], "little"),
    }


CASES = {
    "starts": starts,
    "cloexec": cloexec,
    "exclusive": exclusive,
    "sigio": sigio,
    "version_of": lambda fd: version(int(fd)),
}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](sys.argv[2])))
