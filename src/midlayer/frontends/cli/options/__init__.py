"""What every verb of the command line takes, by subject."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midlayer.frontends.cli.options import commands, faults, iscsi, lists, management, policy, rules, running

if TYPE_CHECKING:
    from midlayer.frontends.cli.options.declaring import Verbs

_MODULES = (running, lists, management, commands, iscsi, policy, rules, faults)

SUBJECTS = {
    "Run it": ("up", "exec", "status", "reload", "logging"),
    "See what is there, and what happens": (
        "attached", "detached", "hosts", "map", "events", "monitor", "info", "sg", "eh",
    ),
    "Change what is there": ("plug", "unplug", "change", "rescan", "online", "offline"),
    "Ask a device": ("inq", "vpd", "luns", "readcap", "turs", "modes", "logs", "opcodes", "persist", "sense"),
    "Have a device do something": ("dd", "raw", "reset"),
    "iSCSI": ("target", "discover"),
    "Agents, rules and quarantine": ("rules", "trigger", "verify", "guard", "quarantined"),
    "Rehearse trouble": ("capture", "fault", "filter", "scenario"),
}  # fmt: skip
"""The verbs in the order of the help; each has its place in one subject."""


def add_all(verbs: Verbs) -> None:
    """Declare every verb."""
    for module in _MODULES:
        module.add(verbs)


def by_subject(verbs: Verbs) -> str:
    """Return the list of verbs for the help."""
    width = max(map(len, verbs.summaries))
    return "\n\n".join(
        "\n".join([f"{title}:", *(f"  {name:{width}}  {verbs.summaries[name]}" for name in names)])
        for title, names in SUBJECTS.items()
    )
