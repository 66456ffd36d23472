"""The snippets of Python run, with the names that their page takes for granted, and print what they say."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import pickle
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import midlayer
from midlayer import errors

from . import consumer
from .pages import PAGES, ROOT, Block, blocks

SPELLED = {
    r'"/dev/sg3"': '"virtual:disk?size=1M"',
    r'"iscsi://192[^"]*"': '"virtual:disk?size=1M"',
    r"cdb\b(?=,)": "bytes.fromhex('28000000000000000800')",
    r"\bcdbs\b": "[bytes.fromhex('28000000000000000800')] * 3",
}
"""What no reader has, and what is put there instead."""

ELSEWHERE = {
    "docs/scsimon.md": "follow a daemon for ever",
    "docs/rules.md": "reads udev's files and /dev/sda of the machine",
    "docs/writing-a-driver.md": "parts of a class",
    "docs/pytest.md": "tests, run below",
}
TESTS = re.compile(r"def test_")
PRELUDE = "from ramdisk import RamDisk as MyDriver\n"


def python() -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == "python"]


def runnable() -> list[Block]:
    return [block for block in python() if block.page not in ELSEWHERE and not TESTS.search(block.text)]


def collected() -> list[Block]:
    return [block for block in python() if TESTS.search(block.text)]


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", python(), ids=place)
def test_what_a_snippet_imports_exists(block: Block) -> None:
    tree = ast.parse(textwrap.dedent(block.text))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            exec(compile(ast.Module([node], []), block.place, "exec"), {})
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "midlayer"
        ):
            assert hasattr(midlayer, node.attr), block.place


@pytest.fixture
def names(scsi_disk: Any, scsi_subsystem: Any) -> dict[str, Any]:
    """What the pages take for granted."""
    (device,) = next(iter(scsi_subsystem.hosts())).devices()
    return {"midlayer": midlayer, "Request": midlayer.Request, "device": device, "subsystem": scsi_subsystem}


def promised(block: Block) -> list[str]:
    """Return what the comments beside ``print`` say that it prints."""
    return [found.group(1) for line in block.lines if (found := re.search(r"print\(.*\)  # (.*)", line))]


@pytest.mark.parametrize("block", runnable(), ids=place)
def test_a_snippet_runs(
    block: Block, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = block.text
    for pattern, instead in SPELLED.items():
        text = re.sub(pattern, instead, text)
    code = compile(text, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        done = types.FunctionType(code, names)()
        if inspect.iscoroutine(done):
            asyncio.run(done)
    if expected := promised(block):
        assert said.getvalue().splitlines() == expected


@pytest.mark.parametrize("block", collected(), ids=place)
def test_a_test_passes(block: Block, tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    require_tool("sg_inq")
    (tmp_path / "test_page.py").write_text(PRELUDE + block.text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers"]
    done = subprocess.run(
        [*command, str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT / "examples" / "drivers")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(TESTS.findall(block.text))} passed" in done.stdout


def test_a_program_of_somebody_else_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """`make lint` has the type checker read it, as strictly as it can."""
    consumer.main()
    assert capsys.readouterr().out.splitlines() == [
        "512 True {0: 512, 1: 512, 2: 512}",
        "[True, True, True, True]",
    ]


@pytest.mark.parametrize("name", midlayer.__all__)
def test_each_public_name_has_words_of_its_own(name: str) -> None:
    public = getattr(midlayer, name)
    if name != "__version__":
        assert inspect.getdoc(public)
        assert not inspect.isclass(public) or "__doc__" in vars(public)


@pytest.mark.parametrize(
    "kind",
    [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)],
    ids=lambda kind: kind.__name__,
)
def test_errors_survive_pickling(kind: type[Exception]) -> None:
    told = kind("key", "text") if kind is errors.SpecError else kind("text")
    again = pickle.loads(pickle.dumps(told))
    assert (type(again), str(again), vars(again)) == (kind, str(told), vars(told))
    assert "text" in str(told)


def test_the_heart_of_the_example_driver_is_shown_as_it_is() -> None:
    driver = (ROOT / "examples" / "drivers" / "ramdisk.py").read_text()
    (heart,) = (block for block in python() if block.lines[0].startswith("def queuecommand"))
    assert textwrap.indent("\n".join(heart.lines[1:]), "    ") in driver
