"""The ``midlayer`` command: what it takes, and where each verb is done.

Only the verb that was asked for is imported, so that the command starts quickly.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys

from midlayer.errors import CommandError, MidlayerError, UsageError
from midlayer.frontends.cli.options import add_all, by_subject
from midlayer.frontends.cli.options.declaring import Parser, Verbs
from midlayer.frontends.exit_status import OS_ERROR
from midlayer.version import VERSION

_NOT_WRITTEN = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a print to a file of ours can come to that is no mistake of ours."""

_AT_THE_END = """\
Begin with:  midlayer exec --plug 'virtual:disk?size=1G' -- lsscsi -g
             midlayer up --config examples/default.toml --show
More:        midlayer VERB --help; exit statuses are those of sg3_utils(8)"""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    try:
        options = parser().parse_args(arguments)
        if not hasattr(options, "verb"):
            parser().print_help()
            return 1
        module, function = options.verb
        verb = getattr(importlib.import_module(f"midlayer.frontends.cli.{module}"), function)
        status = int(verb(options))
        sys.stdout.flush()
        return status
    except CommandError as error:
        from midlayer.frontends.exit_status import of_result

        _complain(error)
        return of_result(error.result)
    except MidlayerError as error:
        from midlayer.frontends.exit_status import of_error

        _complain(error)
        return of_error(error)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.filename is not None or error.errno not in _NOT_WRITTEN:
            raise
        return _unwritten(error)


def _unwritten(error: OSError) -> int:
    """Return the exit status if nobody reads our output any more, or there is no room for it."""
    # Python must not complain about it at the end either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return 141
    print(f"midlayer: the output can not be written: {error.strerror}", file=sys.stderr)
    return OS_ERROR


def _complain(error: MidlayerError) -> None:
    sys.stdout.flush()  # what was said before comes before, where both go to one place
    print(f"midlayer: {error}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = Parser(
        prog="midlayer",
        usage="midlayer [-h] [--version] VERB ...",
        description="The Linux SCSI subsystem in user space: attach, log and pass through.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"midlayer {VERSION}")
    verbs = Verbs(
        root.add_subparsers(prog="midlayer", metavar="VERB", help=argparse.SUPPRESS, parser_class=Parser)
    )
    add_all(verbs)
    root.epilog = f"{by_subject(verbs)}\n\n{_AT_THE_END}"
    return root


__all__ = ["UsageError", "main", "parser"]

if __name__ == "__main__":
    sys.exit(main())
