"""Every command that a page shows with its output is run, in order, and prints what the page says."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, Step, all_steps, blocks, name
from .shell import Shell, agree, masked

UP = "midlayer up --config page.toml --state state --socket page.sock --quiet >up.log 2>&1 &"
WAIT = "midlayer status --wait 20 >/dev/null"


@dataclass(frozen=True)
class Setting:
    """What a page takes for granted, and what is written differently here."""

    needs: tuple[str, ...] = ()
    config: str = ""
    before: tuple[str, ...] = ()
    spelled: dict[str, str] = field(default_factory=dict)
    not_run: tuple[str, ...] = ()


def disk(**keys: object) -> str:
    """Return a unit of a configuration."""
    return "[[host.unit]]\n" + "".join(f"{key} = {value!r}\n" for key, value in keys.items())


HOST = '[[host]]\ndriver = "virtual"\n'
PAGE = "PAGE_DIRECTORY"
PORT = "PAGE_PORT"
OFFER = "midlayer target add iqn.2026-11.com.example:{} 0:0:0:0 --portal 127.0.0.1:" + PORT
SETTINGS = {
    "README.md": Setting(
        needs=("lsscsi",),
        spelled={
            r"/tmp/a\b": f"{PAGE}/a",
            r"(target add \S+ \S+)": rf"\1 --portal 127.0.0.1:{PORT}",
            r"\b3260\b": PORT,
            r"(discover 127.0.0.1|iscsi://127.0.0.1)": rf"\1:{PORT}",
        },
    ),
    "docs/agents.md": Setting(
        config='[[agent]]\ncommand = ["examples/agents/scsi.agent"]\n'
        + HOST
        + "host_no = 2\n"
        + disk(target=1, vendor="ACME", product="Array 9"),
        before=("until midlayer events | grep -q scsi.agent; do sleep 0.1; done",),
    ),
    "docs/dd.md": Setting(
        config=HOST + disk(size="1M", count=3),
        before=("midlayer fault add device=0:0:0:2 opcode=READ lba=100 sense=3/11/00",),
        spelled={r"/dev/sg1\b": "0:0:0:0", r"/dev/sg2\b": "0:0:0:1", r"/dev/sg3\b": "0:0:0:2"},
    ),
    "docs/error-handling.md": Setting(not_run=("midlayer eh status 0:0:1:0 --follow",)),  # a moment in it
    "docs/faults.md": Setting(needs=("sg_readcap",), config=HOST + disk(size="1M")),
    "docs/iscsi.md": Setting(
        needs=("iscsi-ls",),
        before=(f"sed s/326[0]/{PORT}/ examples/target.toml >target.toml",),
        spelled={
            r"up --config examples/target.toml": "up --config target.toml --state state",
            r"(target add .*)": rf"\1 --portal 127.0.0.1:{PORT}",
            r"\b3260\b": PORT,
        },
    ),
    "docs/quarantine.md": Setting(spelled={r"/tmp/q\b": f"{PAGE}/q"}),
    "docs/scsimon.md": Setting(config=HOST + disk()),
    "docs/identity.md": Setting(
        config=HOST + "host_no = 2\n" + disk(target=1) + disk(target=1, lun=1, serial="6001"),
        before=("midlayer fault add device=2:0:1:1 identity=6002",),
    ),
    "docs/initiator.md": Setting(
        config=HOST + disk(),
        before=(OFFER.format("array"),),
        spelled={r"192\.0\.2\.1(:3260)?": f"127.0.0.1:{PORT}"},
    ),
    "docs/nodes.md": Setting(needs=("lsscsi", "sg_turs")),
    "docs/rules.md": Setting(
        config='[rules]\ndirectories = ["examples/rules"]\n' + HOST + disk(serial="HELLO"),
        before=("until midlayer info -q symlink sg0 | grep -q boot_disk; do sleep 0.1; done",),
    ),
    "docs/twins.md": Setting(
        needs=("sg_inq",),
        config=HOST + disk(vendor="ACME", product="Array", revision="0042"),
        spelled={"capture /dev/sg3": "capture sg0"},
    ),
}


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def speller(setting: Setting, directory: Path) -> Callable[[str], str]:
    """Return what makes of a line of the page the line that is meant here."""
    port = str(free_port())
    rules = {**setting.spelled, r"\.venv/bin/python\b": sys.executable, PAGE: str(directory), PORT: port}

    def spelled(line: str) -> str:
        for pattern, text in rules.items():
            line = re.sub(pattern, text, line)
        return line

    return spelled


def is_a_file(step: Step, shell: Shell) -> bool:
    """Whether the page shows a file that the reader writes; it is written then."""
    words = step.command.split()
    if len(words) != 2 or words[0] != "cat" or (shell.directory / words[1]).exists():
        return False
    (shell.directory / words[1]).write_text("\n".join(step.output) + "\n")
    return True


@pytest.mark.parametrize("page", [page for page in PAGES if all_steps(page)], ids=name)
def test_commands_print_what_the_page_says(
    page: Path, shell: Shell, require_tool: Callable[[str], str]
) -> None:
    setting = SETTINGS.get(name(page), Setting())
    for tool in setting.needs:
        require_tool(tool)
    spelled = speller(setting, shell.directory)
    if setting.config:
        (shell.directory / "page.toml").write_text(setting.config)
    for command in ((UP, WAIT) if setting.config else ()) + setting.before:
        printed, status = shell.run(spelled(command))
        assert status == 0, (command, printed)
    for step in all_steps(page):
        if step.command in setting.not_run or is_a_file(step, shell):
            continue
        printed, status = shell.run(spelled(step.command))
        shown = [spelled(line) for line in step.output]
        said = "\n".join([f"{step.place}: $ {step.command}", *printed, f"(exit status {status})"])
        assert agree(shown, printed) if shown else status == 0, said


def words(line: str) -> list[str]:
    return masked(line).split()


def test_make_run_prints_what_the_readme_shows(shell: Shell) -> None:
    """But for the kernel's hosts, which are other ones on each machine, and what is left out there."""
    text = (ROOT / "examples" / "default.toml").read_text()
    kernel = '[[host]]\ndriver = "linux" '
    assert kernel in text
    (shell.directory / "run.toml").write_text(
        f"[subsystem]\nfirst_host_no = 1000\n{text.replace(kernel, '#')}"
    )
    shell.run("midlayer up --config run.toml --state state --show >said 2>&1 &")
    printed, _ = shell.run("until grep -q 'Ctrl-C ends' said; do sleep 0.1; done; cat said")
    (shown,) = (block for block in blocks(ROOT / "README.md") if "7 devices, event count 8" in block.lines)
    left = iter(printed[1:])  # the first line has the paths; the others come in order
    for line in filter(None, shown.lines[1:]):
        assert any(words(other)[: len(words(line))] == words(line) for other in left), (line, printed)


def test_each_setting_is_that_of_a_page() -> None:
    assert sorted(page for page in SETTINGS if not (ROOT / page).exists()) == []
