"""The ``midlayer`` command begins here: Ctrl-C must end it without a traceback while it still imports."""

import signal


def main() -> int:
    """Import the command line and run it; return its exit status."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:  # else whoever started us has it ignored, as nohup and a shell's & do
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from midlayer.frontends.cli.main import main as run

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()
