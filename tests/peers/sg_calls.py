"""System calls on an sg node, by way of the C library alone; run as ``sg_calls.py CASE [ARGUMENT …]``.

It prints one line of JSON. Nothing of midlayer is imported here: this is a program like any other.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import mmap
import os
import select
import signal
import struct
import sys
import threading

SG_IO, SG_SET_RESERVED_SIZE, SG_GET_VERSION_NUM, SG_SET_FORCE_PACK_ID = 0x2285, 0x2275, 0x2282, 0x227B
TO_DEV, FROM_DEV = -2, -3
HEADER = "=iiBBHIQQQIIi4xQBBBBHHiII4x"
WILD = 0x10
libc = ctypes.CDLL(None, use_errno=True)
libc.ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
libc.read.argtypes = libc.write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
libc.pread.argtypes = libc.pwrite.argtypes = [*libc.read.argtypes, ctypes.c_long]
INQUIRY = ctypes.create_string_buffer(bytes.fromhex("120000002400"), 6)
SENSE = ctypes.create_string_buffer(64)


def header(data: int, length: int, **changes: int) -> ctypes.Array[ctypes.c_char]:
    values = {
        "interface": ord("S"), "direction": FROM_DEV, "cmd_len": 6, "mx_sb_len": 64, "iovecs": 0,
        "length": length, "data": data, "cmd": ctypes.addressof(INQUIRY), "sense": ctypes.addressof(SENSE),
        "timeout": 5000, "flags": 0, "pack_id": 0, "usr_ptr": 0,
    }  # fmt: skip
    values |= changes
    return ctypes.create_string_buffer(struct.pack(HEADER, *values.values(), *[0] * 9), 88)


def call(function: str, fd: int, *arguments: object) -> int:
    """Return the result, or -errno."""
    result = getattr(libc, function)(fd, *arguments)
    return int(result) if result >= 0 else -ctypes.get_errno()


def inquiry(fd: int, **changes: int) -> int:
    room = ctypes.create_string_buffer(36)
    members = {"data": ctypes.addressof(room), "length": 36} | changes
    return call("ioctl", fd, SG_IO, header(**members))


def wild(fd: int) -> object:
    failing = ctypes.create_string_buffer(bytes.fromhex("ff0000000000"), 6)
    return {
        "header": call("ioctl", fd, SG_IO, WILD),
        "null": call("ioctl", fd, SG_IO, None),
        "cmd": inquiry(fd, cmd=WILD),
        "data_in": inquiry(fd, data=WILD),
        "data_out": inquiry(fd, data=WILD, direction=TO_DEV),
        "sense": inquiry(fd, sense=WILD, cmd=ctypes.addressof(failing)),
        "iovec": inquiry(fd, data=WILD, iovecs=2),
        "integer": call("ioctl", fd, SG_SET_RESERVED_SIZE, WILD),
        "number": call("ioctl", fd, SG_GET_VERSION_NUM, WILD),
        "write": call("write", fd, WILD, 88),
        "good": inquiry(fd),
    }


def lengths(fd: int) -> object:
    iovecs = struct.pack("=QQQQ", 0x1000, (1 << 63) - 1, 0x1000, (1 << 63) - 1)
    vector = ctypes.create_string_buffer(iovecs, len(iovecs))
    return {
        "0": inquiry(fd, length=0),
        "-1": inquiry(fd, length=0xFFFFFFFF),
        "2**31": inquiry(fd, length=1 << 31),
        "2**28": inquiry(fd, length=1 << 28),
        "overflow": inquiry(fd, data=ctypes.addressof(vector), iovecs=2),
        "good": inquiry(fd),
    }


def asynchronous(fd: int) -> object:
    """Write, poll, read; before, between and after it poll says what there is."""
    room = ctypes.create_string_buffer(36)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    seen = [bool(poll.poll(0))]
    for pack_id in (7, 8):
        call("write", fd, header(ctypes.addressof(room), 36, pack_id=pack_id), 88)
    ready = select.select([fd], [], [], 60)[0]
    seen.append(bool(ready))
    answers = [header(0, 0) for _ in range(2)]
    counts = [call("read", fd, answer, 88) for answer in answers]
    seen.append(bool(poll.poll(0)))
    packs = [struct.unpack_from("=i", answer, 48)[0] for answer in answers]
    return {"seen": seen, "counts": counts, "packs": packs, "data": room.raw[8:16].decode()}


def threads(fd: int) -> object:
    """Four threads share the descriptor; each reads the answer with its own pack_id."""
    call("ioctl", fd, SG_SET_FORCE_PACK_ID, ctypes.byref(ctypes.c_int(1)))
    wrong: list[object] = []

    def work(pack_id: int) -> None:
        room = ctypes.create_string_buffer(36)
        for _ in range(100):
            sent = call("write", fd, header(ctypes.addressof(room), 36, pack_id=pack_id), 88)
            answer = header(0, 0, pack_id=pack_id)
            got = call("read", fd, answer, 88)
            if (sent, got, struct.unpack_from("=i", answer, 48)[0]) != (88, 88, pack_id):
                wrong.append((sent, got))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return wrong


def mapped(fd: int) -> object:
    size = ctypes.c_int(65536)
    call("ioctl", fd, SG_SET_RESERVED_SIZE, ctypes.byref(size))
    with mmap.mmap(fd, 65536, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
        done = inquiry(fd, flags=4, data=0)
        return {"done": done, "data": memory[8:16].decode()}


def interrupted(fd: int) -> object:
    """A read with nothing to come ends with EINTR at a signal; one that comes before it is no use."""
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.siginterrupt(signal.SIGALRM, True)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    result = call("read", fd, header(0, 0), 88)
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    return {"read": result, "good": inquiry(fd)}


def copies(fd: int) -> object:
    """A copy, a child by fork and a program by exec use the same open file."""
    other = os.dup(fd)
    os.close(fd)
    child = os.fork()
    if not child:
        os._exit(int(inquiry(other) != 0))
    forked = os.waitpid(child, 0)[1]
    os.set_inheritable(other, True)
    executed = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, __file__, "inherited", str(other)])
    return {"dup": inquiry(other), "fork": forked, "exec": executed}


def unplugged(fd: int) -> object:
    """Wait until poll says that the device is gone; then what is left of it."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    print("polling", flush=True)
    seen = 0
    while not seen & select.POLLHUP:  # first there may be something to read: that it is gone
        ((_, seen),) = poll.poll(60000)
    return {
        "hup": True,
        "sg_io": inquiry(fd),
        "read": call("read", fd, header(0, 0), 88),
    }


def pieces(fd: int) -> object:
    """writev and readv go piece by piece; pread and pwrite have no place to go to."""
    room = ctypes.create_string_buffer(36)
    headers = [header(ctypes.addressof(room), 36, pack_id=pack_id) for pack_id in (1, 2)]
    answers = [bytearray(88), bytearray(88)]
    return {
        "writev": os.writev(fd, [bytes(each) for each in headers]),
        "readv": [os.readv(fd, [each]) for each in answers],
        "packs": [struct.unpack_from("=i", each, 48)[0] for each in answers],
        "pread": call("pread", fd, headers[0], 88, 0),
        "pwrite": call("pwrite", fd, headers[0], 88, 0),
    }


def flags(fd: int) -> object:
    """F_GETFL: access mode and O_NONBLOCK as they were asked for."""
    node = sys.argv[2] if len(sys.argv) > 2 else "/dev/sg0"
    modes = (os.O_RDONLY | os.O_NONBLOCK, os.O_WRONLY, os.O_RDWR)
    return [
        fcntl.fcntl(os.open(node, mode), fcntl.F_GETFL) & (os.O_ACCMODE | os.O_NONBLOCK) == mode
        for mode in modes
    ]


def hang(fd: int) -> object:
    print("about to wait", flush=True)
    return inquiry(fd)


CASES = {
    "wild": wild, "lengths": lengths, "asynchronous": asynchronous, "threads": threads, "mapped": mapped,
    "interrupted": interrupted, "copies": copies, "hang": hang, "unplugged": unplugged, "pieces": pieces,
    "flags": flags,
}  # fmt: skip


def main() -> int:
    if sys.argv[1] == "inherited":
        return int(inquiry(int(sys.argv[2])) != 0)
    node = sys.argv[2] if len(sys.argv) > 2 else "/dev/sg0"
    print(json.dumps(CASES[sys.argv[1]](os.open(node, os.O_RDWR))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
