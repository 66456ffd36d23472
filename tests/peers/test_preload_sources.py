"""The preload library's sources, as the compiler sees them.

The build itself does not stop at a warning: a compiler that warns of more would leave `midlayer exec` out.
"""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SOURCES = sorted((ROOT / "src/midlayer/frontends/nodes/preload").glob("*.c"))


def flags() -> list[str]:
    """Return what setup.py gives to the compiler."""
    (found,) = (
        node.value
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.keyword) and node.arg == "extra_compile_args"
    )
    return [str(flag) for flag in ast.literal_eval(found)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_warning(source: Path, require_tool: Callable[[str], str]) -> None:
    command = [require_tool("gcc"), *flags(), "-Werror", "-fsyntax-only", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
