"""The ``midlayer`` command begins here: Ctrl-C must end it without a traceback while it still imports."""

import io
import os
import signal
import sys


def main() -> int:
    """Import the command line and run it; return its exit status."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:  # else whoever started us has it ignored, as nohup and a shell's & do
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _mend_standard_files()
    from midlayer.frontends.cli.main import main as run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    status = run()
    if sys.argv[1:2] == ["up"]:
        _leave(status)
    return status


def _mend_standard_files() -> None:
    """Open what our caller has closed, and print any text whatever the locale.

    A closed descriptor 1 would be that of the next file or socket, and get the output of our children.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # texts of a device, and names of files, are any bytes


def _leave(status: int) -> None:
    """End at once: all is closed, and taking the modules apart would cost more than the whole end."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # Python ends as it always does
    os._exit(status)
