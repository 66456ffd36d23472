"""The client in C of ``examples/scsimon``, built with a program's own means: a compiler and the header."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "examples" / "scsimon" / "scsimon.c"


def build(directory: Path, compiler: str) -> str:
    """Compile it, and return where it is."""
    where = [sys.executable, "-m", "midlayer.upper.scsimon"]
    include = subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip()
    program = directory / "scsimon"
    flags = ["-O2", "-D_FORTIFY_SOURCE=2", "-Wall", "-Wextra", "-Werror", "-I", include]
    subprocess.run([compiler, *flags, "-o", str(program), str(SOURCE)], check=True)
    return str(program)
