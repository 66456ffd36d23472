"""What the verbs take that change what is there."""

from __future__ import annotations

from midlayer.frontends.cli.options.declaring import Verbs, natural


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    plug = verbs.add(
        "plug", "manage", "plug", "connect a virtual unit, or have the kernel look at an address"
    )
    plug.add_argument("device", nargs="?", metavar="DEVICE", help="virtual:disk?size=1G&serial=X, or 2:0:1:0")
    plug.add_argument("--host", type=natural, metavar="N", help="the virtual host; the first one by default")
    plug.add_argument(
        "--new-host", action="store_true", help="bring up another virtual host (and plug into it)"
    )
    plug.add_argument("--name", default="midlayer virtual HBA", help="name of the new host")
    unplug = verbs.add("unplug", "manage", "unplug", "remove a device, or a virtual host")
    unplug.add_argument("device", nargs="?", metavar="DEVICE", help="2:0:1:0, or sg3")
    unplug.add_argument("--host", type=natural, metavar="N", help="the virtual host to take down")
    unplug.add_argument("--force", action="store_true", help="even if it is in use")
    change = verbs.add(
        "change", "manage", "change", "give a virtual disk another size, or its paths other states"
    )
    change.add_argument("device", metavar="DEVICE", help="2:0:1:0, or sg3")
    change.add_argument("settings", nargs="+", metavar="KEY=VALUE", help="size=2G, or alua=optimized,standby")
    for name, summary in (
        ("online", "let commands through again"),
        ("offline", "refuse commands to a device"),
    ):
        verb = verbs.add(name, "manage", name, summary)
        verb.add_argument("device", metavar="DEVICE", help="2:0:1:0, or sg3")
    logging = verbs.add("logging", "logging_level", "logging", "read or set the SCSI logging level")
    logging.add_argument("action", choices=("get", "set"), help="get prints the level, set changes it")
    logging.add_argument(
        "levels", nargs="*", metavar="FIELD=LEVEL", help="such as mlqueue=2, all=0, or one number alone"
    )
    rescan = verbs.add("rescan", "manage", "rescan", "look for devices that came or went")
    rescan.add_argument("host", nargs="?", type=natural, metavar="HOST", help="host number; all by default")
    rescan.add_argument("--plan", action="store_true", help="print what would be done, and do nothing")
    rescan.add_argument("--remove", action="store_true", help="remove what no longer answers and nobody uses")
