"""``python -m tests.kernel.shell -- COMMAND ...``: run one command on the guest's kernel.

Its output appears as it comes, its exit status is this program's. ``--console`` shows the kernel's
messages afterwards. The working directory is the caller's; one argument with spaces is a shell line.
"""

from __future__ import annotations

import argparse
import os
import sys

from . import boot, prepare


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.shell", description=__doc__)
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="default: 600")
    parser.add_argument("--memory", default="1G", help="default: 1G")
    parser.add_argument("--console", action="store_true", help="print the kernel's messages at the end")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    command = arguments.command
    if len(command) == 1 and " " in command[0]:
        command = ["sh", "-c", command[0]]

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        completed = boot.run_in_guest(
            command, cwd=os.getcwd(), timeout_s=arguments.timeout, memory=arguments.memory, on_output=show
        )
    except prepare.Unavailable as error:
        for line in error.missing:
            print("missing:", line, file=sys.stderr)
        print("try: python -m tests.kernel.prepare", file=sys.stderr)
        return prepare.EXIT_UNAVAILABLE
    except boot.GuestError as error:
        print(error, file=sys.stderr)
        return 125
    if arguments.console:
        print(completed.console, file=sys.stderr)
    print(f"[exit status {completed.status}, {completed.duration_s:.1f} s with the boot]", file=sys.stderr)
    return completed.status


if __name__ == "__main__":
    sys.exit(main())
