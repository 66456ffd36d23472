"""What the verbs take that send commands to one device."""

from __future__ import annotations

import argparse
from pathlib import Path

from midlayer.frontends.cli.options.declaring import Verbs, hex_byte, natural, seconds


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    verbs.add_for_device("inq", "ask a device who it is (INQUIRY)")
    vpd = verbs.add_for_device("vpd", "read vital product data pages")
    vpd.add_argument("--page", type=hex_byte, metavar="HH", help="page code in hexadecimal (all)")
    verbs.add_for_device("luns", "ask a target for its LUNs (REPORT LUNS)")
    verbs.add_for_device("readcap", "ask a device how big it is (READ CAPACITY)")
    turs = verbs.add_for_device("turs", "ask a device whether it is ready (TEST UNIT READY)")
    turs.add_argument("-n", "--num", type=natural, default=1, metavar="N", help="that many times")
    turs.add_argument("-t", "--time", action="store_true", help="print how long it took")
    modes = verbs.add_for_device("modes", "read mode pages (MODE SENSE)", module="decode")
    modes.add_argument("--page", type=hex_byte, metavar="HH", help="page code in hexadecimal (all)")
    modes.add_argument(
        "--values", choices=("current", "changeable", "default", "saved"), default="current", help="(current)"
    )
    verbs.add_for_device("opcodes", "ask a device which commands it knows", module="decode")
    capture = verbs.add_for_device(
        "capture", "write down what a device says of itself, for a twin", module="capture"
    )
    capture.add_argument(
        "-o", "--outfile", type=Path, required=True, metavar="FILE", help="- is standard output"
    )
    capture.add_argument(
        "--mask-serials", action="store_true", help="put other characters in the place of serial numbers"
    )
    logs = verbs.add_for_device("logs", "read log pages (LOG SENSE)", module="logs")
    logs.add_argument("--page", type=hex_byte, metavar="HH", help="page code in hexadecimal (all)")
    sense = verbs.add("sense", "decode", "sense", "say what sense data means", daemon=False)
    sense.add_argument("bytes", nargs="*", metavar="HH", help="sense data in hexadecimal")
    sense.add_argument(
        "-f", "--file", type=Path, metavar="FILE", help="read them from FILE; - is standard input"
    )
    sense.add_argument("--cdb", action="store_true", help="the bytes are a CDB; say which command it is")
    _add_dd(verbs)
    _add_reset(verbs)
    _add_persist(verbs)
    raw = verbs.add_for_device("raw", "send any command")
    raw.add_argument("cdb", nargs="*", metavar="HH", help="the CDB in hexadecimal, 6 to 260 bytes")
    raw.add_argument(
        "-c", "--cmdfile", type=Path, metavar="FILE", help="read the CDB from FILE; # begins a comment"
    )
    raw.add_argument("-r", "--request", type=natural, metavar="LEN", help="bytes to receive")
    raw.add_argument("-o", "--outfile", type=Path, metavar="FILE", help="write what is received to FILE")
    raw.add_argument("-s", "--send", type=natural, metavar="LEN", help="bytes to send")
    raw.add_argument(
        "-i", "--infile", type=Path, metavar="FILE", help="send what is in FILE; - is standard input"
    )
    raw.add_argument(
        "-k", "--skip", type=natural, default=0, metavar="LEN", help="leave out the first LEN bytes of FILE"
    )
    raw.add_argument("-b", "--binary", action="store_true", help="write what is received to standard output")
    raw.add_argument("-n", "--nosense", action="store_true", help="do not print the bytes of sense data")
    raw.add_argument(
        "-t", "--timeout", type=seconds, default=20.0, metavar="SEC", help="seconds to wait (20)"
    )


def _add_reset(verbs: Verbs) -> None:
    reset = verbs.add_for_device("reset", "reset a device, or what it hangs on", module="reset")
    levels = reset.add_mutually_exclusive_group()
    for short, level in (("-d", "device"), ("-t", "target"), ("-b", "bus"), ("-H", "host")):
        levels.add_argument(
            short, f"--{level}", dest="level", action="store_const", const=level, help=f"the {level}"
        )
    reset.add_argument(
        "-N", "--no-escalate", dest="escalate", action="store_false", help="nothing wider if it fails"
    )
    reset.set_defaults(level="device")


def _add_dd(verbs: Verbs) -> None:
    copy = verbs.add("dd", "dd", "dd", "copy between devices and files, many commands at once")
    copy.add_argument(
        "operands", nargs="*", metavar="OPERAND",
        help="if= of= bs= count= skip= seek= bpt= cdbsz= fua= dio= coe= retries= thr= depth= iflag= oflag= "
        "sync= time= verify sparse resume=LOG, as sg_dd and sgp_dd; see docs/dd.md",
    )  # fmt: skip
    copy.add_argument("--verify", action="store_true", help="compare what was written; as verify=1")


def _add_persist(verbs: Verbs) -> None:
    persist = verbs.add_for_device("persist", "read or change persistent reservations", module="persist")
    persist.add_argument(
        "--in",
        dest="show",
        choices=("keys", "reservation", "caps", "status"),
        default="status",
        help="what to read (status)",
    )
    actions = ("register", "register-ignore", "reserve", "release", "clear", "preempt", "preempt-abort")
    persist.add_argument("--out", dest="change", choices=actions, help="what to do, instead of reading")
    persist.add_argument("--key", type=_key, default=0, metavar="KEY", help="the key that is registered (0)")
    persist.add_argument("--new-key", type=_key, default=0, metavar="KEY", help="the key to register (0)")
    persist.add_argument(
        "--type",
        type=natural,
        metavar="N",
        help="1 write exclusive, 3 exclusive access; 5, 6 the same for registrants; 7, 8 held by all",
    )
    persist.add_argument("--aptpl", action="store_true", help="keep registrations over a loss of power")


def _key(text: str) -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a key of 64 bits, such as 0xabc")
    return value
