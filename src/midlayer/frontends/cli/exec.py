"""``exec``: run a program that sees the subsystem's nodes, ``/proc/scsi`` and its part of ``/sys``."""

from __future__ import annotations

import argparse

from midlayer.frontends.nodes.exec import run


def exec_program(options: argparse.Namespace) -> int:
    """Run the program and return its exit status."""
    return run(options)
