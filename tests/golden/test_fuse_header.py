"""The messages of FUSE are those of ``<linux/fuse.h>``, as a C compiler lays them out."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from midlayer.frontends.nodes.fuse import protocol

STRUCTURES = {
    "fuse_in_header": protocol.IN_HEADER,
    "fuse_out_header": protocol.OUT_HEADER,
    "fuse_init_out": protocol.INIT_OUT,
    "cuse_init_in": protocol.INIT_IN,
    "cuse_init_out": protocol.CUSE_INIT_OUT,
    "fuse_attr": protocol.ATTR,
    "fuse_open_in": protocol.OPEN_IN,
    "fuse_open_out": protocol.OPEN_OUT,
    "fuse_read_in": protocol.READ_IN,
    "fuse_write_in": protocol.WRITE_IN,
    "fuse_write_out": protocol.WRITE_OUT,
    "fuse_release_in": protocol.RELEASE_IN,
    "fuse_ioctl_in": protocol.IOCTL_IN,
    "fuse_ioctl_out": protocol.IOCTL_OUT,
    "fuse_poll_in": protocol.POLL_IN,
    "fuse_poll_out": protocol.POLL_OUT,
    "fuse_notify_poll_wakeup_out": protocol.NOTIFY_POLL_OUT,
    "fuse_interrupt_in": protocol.INTERRUPT_IN,
    "fuse_forget_in": protocol.FORGET_IN,
    "fuse_batch_forget_in": protocol.BATCH_FORGET_IN,
    "fuse_forget_one": protocol.FORGET_ONE,
    "fuse_statfs_out": protocol.STATFS_OUT,
}
BEFORE_ATTRIBUTES = {"fuse_entry_out": protocol.ENTRY_OUT, "fuse_attr_out": protocol.ATTR_OUT}


def test_sizes_and_numbers(tmp_path: Path) -> None:
    compiler = shutil.which("gcc")
    if compiler is None or not Path("/usr/include/linux/fuse.h").exists():
        pytest.skip("needs gcc and linux-libc-dev")
    lines = [f'printf("{name} %zu\\n", sizeof(struct {name}));' for name in STRUCTURES]
    lines += [f'printf("{name} %zu\\n", offsetof(struct {name}, attr));' for name in BEFORE_ATTRIBUTES]
    lines.append('printf("dirent %zu\\n", offsetof(struct fuse_dirent, name));')
    codes = {
        code.name: "CUSE_INIT" if code is protocol.Opcode.CUSE_INIT else f"FUSE_{code.name}"
        for code in protocol.Opcode
    }
    lines += [f'printf("{name} %d\\n", {code});' for name, code in codes.items()]
    lines.append('printf("stream %d\\n", FOPEN_STREAM | FOPEN_DIRECT_IO);')
    source = tmp_path / "sizes.c"
    head = "#include <stddef.h>\n#include <stdio.h>\n#include <linux/fuse.h>\nint main(void) {\n"
    source.write_text(head + "\n".join(lines) + "\nreturn 0; }\n")
    subprocess.run([compiler, "-o", str(tmp_path / "sizes"), str(source)], check=True)
    printed = subprocess.run([str(tmp_path / "sizes")], check=True, capture_output=True, text=True).stdout
    found = {name: int(value) for name, value in (line.split() for line in printed.splitlines())}
    expected = {name: each.size for name, each in (STRUCTURES | BEFORE_ATTRIBUTES).items()}
    expected |= {code.name: int(code) for code in protocol.Opcode}
    expected |= {"dirent": protocol.DIRENT.size, "stream": protocol.OPENED_STREAM | protocol.OPENED_DIRECT_IO}
    assert found == expected
