"""The names of built-in commands: those of udev, and the actions that are ours."""

from __future__ import annotations

from typing import NamedTuple

from midlayer.rules.text import split_command


class Builtin(NamedTuple):
    """A built-in command.

    Attributes:
        name: Its first word.
        run_once: True if a second IMPORT of it in one event repeats the first one's answer.
        ours: True for an action of midlayer, which only RUN takes and udev does not know.
        most_arguments: How many words may follow; -1 for any number.
        usage: How it is written.
    """

    name: str
    run_once: bool = False
    ours: bool = False
    most_arguments: int = -1
    usage: str = ""


BUILTINS: dict[str, Builtin] = {
    one.name: one
    for one in (
        Builtin("blkid", run_once=True),
        Builtin("btrfs"),
        Builtin("dissect_image", run_once=True),
        Builtin("factory_reset"),
        Builtin("hwdb", run_once=True),
        Builtin("input_id", run_once=True),
        Builtin("keyboard"),
        Builtin("kmod"),
        Builtin("net_driver", run_once=True),
        Builtin("net_id", run_once=True),
        Builtin("net_setup_link"),
        Builtin("path_id", run_once=True),
        Builtin("tpm2_id", run_once=True),
        Builtin("uaccess"),
        Builtin("usb_id", run_once=True),
        Builtin("scsi_remove_device", ours=True, most_arguments=1, usage="scsi_remove_device [H:C:T:L]"),
        Builtin("quarantine", ours=True, usage="quarantine [REASON …]"),
        Builtin("offline", ours=True, most_arguments=1, usage="offline [H:C:T:L]"),
        Builtin("rescan", ours=True, most_arguments=1, usage="rescan [HOST or H:C:T:L]"),
        Builtin("log", ours=True, usage="log TEXT …"),
    )
}


def find(command: str) -> Builtin | None:
    """Return the built-in command that a value begins with; None if its first word is none."""
    words = command.split(None, 1)
    return BUILTINS.get(words[0]) if words else None


def arguments_wrong(builtin: Builtin, command: str) -> str:
    """Return why one of our actions can not take these words; empty if it can, or is udev's."""
    if not builtin.ours:
        return ""
    count = len(split_command(command)) - 1
    if 0 <= builtin.most_arguments < count:
        return f"{builtin.name} takes {builtin.most_arguments} argument at most: {builtin.usage}"
    if builtin.name == "log" and not count:
        return f"log needs a text: {builtin.usage}"
    return ""
