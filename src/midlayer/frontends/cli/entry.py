"""The ``midlayer`` command begins here: Ctrl-C must end it without a traceback while it still imports."""

import os
import signal
import sys


def main() -> int:
    """Import the command line and run it; return its exit status."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:  # else whoever started us has it ignored, as nohup and a shell's & do
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from midlayer.frontends.cli.main import main as run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = run()
    if sys.argv[1:2] == ["up"]:
        _leave(status)
    return status


def _leave(status: int) -> None:
    """End at once: all is closed, and taking the modules apart would cost more than the whole end."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # Python ends as it always does
    os._exit(status)
