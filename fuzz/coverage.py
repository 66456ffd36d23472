"""Fuzz one target, guided by coverage: ``python -m fuzz.coverage TARGET [--seconds N] [--memory MIB]``.

Needs atheris (``pip install atheris``), which knows which inputs reach new lines and goes on from those. It
ends with the first finding, with the memory that it may take, or with the time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

try:
    import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore]
except ImportError:
    sys.exit("python -m fuzz.coverage needs atheris: pip install atheris")

with atheris.instrument_imports(include=["midlayer"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Run a target until its time is over; exits with 0 if nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.coverage", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--memory", type=int, default=512, help="most MiB that it may take (512)")
    options = parser.parse_args()
    target = TARGETS[options.target]

    def one(data: bytes) -> None:
        with suppress(*target.allowed):
            target.run(data)

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        limits = [f"-max_total_time={options.seconds}", f"-rss_limit_mb={options.memory}"]
        atheris.Setup([sys.argv[0], *limits, "-max_len=4096", corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
