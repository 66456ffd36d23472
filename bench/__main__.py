"""Run every benchmark: ``python -m bench [NAME …]``."""

from __future__ import annotations

import sys

from bench import (
    agents,
    commands,
    dd,
    events,
    faults,
    iscsi,
    iscsi_scan,
    native,
    nodes,
    recovery,
    rules,
    scale,
    storm,
)

ALL = {
    "agents": agents.run,
    "commands": commands.run,
    "dd": dd.run,
    "events": events.run,
    "faults": faults.run,
    "iscsi": iscsi.run,
    "iscsi_scan": iscsi_scan.run,
    "native": native.run,
    "nodes": nodes.run,
    "recovery": recovery.run,
    "rules": rules.run,
    "scale": scale.run,
    "storm": storm.run,
}


def main(names: list[str]) -> int:
    """Run the benchmarks of these names, or all."""
    if unknown := [name for name in names if name not in ALL]:
        print(f"bench: there is no {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 1
    for name in names or list(ALL):
        print(f"-- {name}")
        for text in ALL[name]():
            print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
