"""The verb discover: which targets an iSCSI portal has."""

from __future__ import annotations

import argparse

from midlayer.frontends.cli.output import clean, print_json
from midlayer.lower.iscsi import SessionSpec
from midlayer.lower.iscsi import discover as ask


def discover(options: argparse.Namespace) -> int:
    """Print a portal's targets, and where each is to be reached."""
    given = {"portal": options.portal}
    for key in ("initiator", "user", "secret"):
        if getattr(options, key) is not None:
            given[key] = getattr(options, key)
    found = ask(SessionSpec.from_mapping(given))
    if options.json:
        print_json({"items": [{"target": one.name, "portals": list(one.portals)} for one in found]})
        return 0
    for one in found:
        for portal in one.portals or (options.portal,):
            print(f"{clean(portal)}  {clean(one.name)}")
    if not found:
        print("no targets")
    return 0
