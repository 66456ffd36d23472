"""``dd``: copy between devices and files, many commands at once."""

from __future__ import annotations

import argparse
import sys

from midlayer.errors import UsageError
from midlayer.frontends.dd.errors import CopyFailed
from midlayer.frontends.dd.operands import parse
from midlayer.frontends.dd.run import copy


def dd(options: argparse.Namespace) -> int:
    """Copy, and report."""
    operands = parse([*options.operands, *(["verify=1"] if options.verify else [])])
    if options.json and operands.target == "-":
        raise UsageError("dd: --json needs standard output for itself; name a target with of=")
    try:
        copy(operands, json=options.json, socket=options.socket)
    except CopyFailed as error:
        print(f"midlayer: {error}", file=sys.stderr)
        return error.exit_status
    return 0
