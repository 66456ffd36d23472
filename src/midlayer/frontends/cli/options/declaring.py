"""How a verb is declared: its parser, where it is done, and the kinds of values that options have.

Every start of the command reads the declarations, so they import nothing that takes time.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from midlayer.frontends.cli.options.examples import EXAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    Parsers = argparse._SubParsersAction["Parser"]  # the only name that argparse has for it

DEVICE_HELP = "2:0:1:0, sg3, /dev/sg3, iscsi://host/iqn/lun, or virtual:disk?size=1G"

_MOST_SECONDS = 86400.0


class _Help(argparse.HelpFormatter):
    """Leaves an example on its line: broken at a hyphen it would be another command."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("Example: ") else super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """Exits with status 1 for a mistake on the command line, as sg3_utils do."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _Help} | options)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Name the word that was probably meant, where argparse lists all that there are."""
        import difflib  # only for who mistypes: it takes time

        near = difflib.get_close_matches(str(value), map(str, action.choices or ()), n=1)
        if near and value not in (action.choices or ()):
            raise argparse.ArgumentError(None, f"there is no {value!r}; is {near[0]!r} meant?")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the arguments, and exit."""
        self.exit(1, f"{self.prog}: {message}\nTry: {self.prog} --help\n")


class Verbs:
    """The verbs of one level of the command line.

    Args:
        parsers: What argparse keeps them in.
    """

    def __init__(self, parsers: Parsers) -> None:
        self._parsers = parsers
        self._summaries: dict[str, str] = {}

    @property
    def summaries(self) -> Mapping[str, str]:
        """What each verb does, in a few words."""
        return self._summaries

    def add(
        self, name: str, module: str, function: str, summary: str, *, json: bool = True, daemon: bool = True
    ) -> Parser:
        """Add a verb, and return its parser.

        Args:
            name: The word itself.
            module: Module of ``frontends.cli``, which is imported only if the verb is asked for.
            function: What is called there with the options; it returns the exit status.
            summary: What the verb does, as in a list.
            json: Whether it prints JSON on demand.
            daemon: Whether it speaks with a daemon.
        """
        verb = self.add_group(name, summary)
        verb.set_defaults(verb=(module, function))
        if json:
            verb.add_argument("--json", action="store_true", help="print JSON, as docs/json.md describes it")
        if daemon:
            verb.add_argument("--socket", type=Path, metavar="PATH", help="the daemon's socket")
        return verb

    def add_for_device(self, name: str, summary: str, *, module: str = "commands") -> Parser:
        """Add a verb whose first argument is a device; its function has the name of the verb."""
        verb = self.add(name, module, name, summary)
        verb.add_argument("device", metavar="DEVICE", help=DEVICE_HELP)
        return verb

    def add_group(self, name: str, summary: str) -> Parser:
        """Add a word that does nothing by itself, but has verbs of its own."""
        self._summaries[name] = summary
        example = EXAMPLES.get(name)
        return self._parsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"Example: {example}" if example else None,
        )


def natural(text: str) -> int:
    """Read a number from 0 up.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)


def seconds(text: str) -> float:
    """Read a number of seconds, up to a day.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, more than 0 and up to a day")
    return value


def hex_byte(text: str) -> int:
    """Read a byte in hexadecimal.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    try:
        value = int(text, 16)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFF:
        raise argparse.ArgumentTypeError(f"{text!r} is not a byte in hexadecimal")
    return value
