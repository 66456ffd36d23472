"""Fuzz whatever parses bytes from outside: ``python -m fuzz [TARGET …] [--seconds N] [--seed N]``.

Mutations are random, starting from real inputs; the seed is printed. Each target lists the only exceptions
that may come out of it; anything else is a finding, printed with its input in hexadecimal.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from fuzz.targets import TARGETS, Target

_LONGEST = 4096


def main() -> int:
    """Run the targets and return 1 if one of them has a finding."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=10.0, help="for each target (10)")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}")
    findings = 0
    for name in options.targets or TARGETS:
        tried, finding = fuzz(TARGETS[name], random.Random(seed), options.seconds)
        findings += bool(finding)
        print(f"{name}: {tried} inputs, {finding or 'nothing found'}", flush=True)
    return 1 if findings else 0


def fuzz(target: Target, choose: random.Random, seconds: float) -> tuple[int, str]:
    """Run one target for some time; return how many inputs it took, and the finding, if any."""
    end = time.monotonic() + seconds
    tried = 0
    while time.monotonic() < end:
        data = mutated(choose.choice(target.seeds), choose)
        tried += 1
        try:
            target.run(data)
        except target.allowed:
            pass
        except Exception as error:
            return tried, f"{type(error).__name__}: {error}\n  input {data.hex()}"
    return tried, ""


def mutated(seed: bytes, choose: random.Random) -> bytes:
    """Return a damaged copy of an input."""
    data = bytearray(seed)
    for _ in range(choose.randrange(1, 8)):
        at = choose.randrange(len(data) + 1)
        kind = choose.randrange(6)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at:at] = choose.randbytes(choose.randrange(1, 16))
        elif kind == 2 and data:
            data[at % len(data)] ^= 1 << choose.randrange(8)
        elif kind == 3 and data:
            data[at % len(data)] = choose.choice((0x00, 0x7F, 0x80, 0xFF))
        elif kind == 4:
            del data[at : at + choose.randrange(1, 16)]
        else:
            data += data[at : at + choose.randrange(1, 64)]
    return bytes(data[:_LONGEST])


if __name__ == "__main__":
    sys.exit(main())
