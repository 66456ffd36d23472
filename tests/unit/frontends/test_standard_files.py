"""Standard files that are closed, full, or of another character set; rows in numbers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .program import MIDLAYER, SOON_S, environment

TABLE = ("opcodes", "virtual:disk?size=1M")
LINES = ("logs", "virtual:disk?size=1M")  # a temperature in °C


def run(*arguments: str, redirected: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command with a redirection of the shell."""
    command = ["/bin/sh", "-c", f'exec "$@" {redirected}', "sh", *MIDLAYER, *arguments]
    return subprocess.run(
        command, capture_output=True, check=False, timeout=SOON_S, env=environment(**variables)
    )


@pytest.mark.parametrize("verb", [TABLE, LINES], ids=lambda verb: verb[0])
@pytest.mark.parametrize("redirected", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_files_are_as_dev_null(verb: tuple[str, ...], redirected: str) -> None:
    done = run(*verb, redirected=redirected)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_output_of_a_child_does_not_go_to_a_socket_of_ours(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[[host]]\ndriver = "virtual"\n[[host.unit]]\nsize = "1M"\n')
    script = "exec 1>&1 || exit 3; echo hello; exit 4"
    done = run("exec", "--config", str(config), "--", "/bin/sh", "-c", script, redirected=">&-")
    assert (done.returncode, done.stderr) == (4, b"")


@pytest.mark.parametrize("verb", [TABLE, LINES], ids=lambda verb: verb[0])
def test_a_file_on_a_full_disk(verb: tuple[str, ...]) -> None:
    done = run(*verb, redirected=">/dev/full")
    said = b"midlayer: the output can not be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (15, said)


@pytest.mark.parametrize("coding", ["ascii", "latin-1", "utf-8"])
def test_a_character_set_that_lacks_a_character(coding: str) -> None:
    done = run(*LINES, PYTHONIOENCODING=coding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "30 °C".encode(coding, errors="replace") in done.stdout
