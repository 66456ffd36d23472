"""What the verbs take that say what is there, and what happens."""

from __future__ import annotations

from midlayer.frontends.cli.options.declaring import Verbs, natural, seconds


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    for name, summary in (
        ("attached", "list the devices that are there"),
        ("detached", "list the devices that went, latest first"),
        ("hosts", "list the hosts, those without devices included"),
    ):
        verb = verbs.add(name, "lists", name, summary)
        verb.add_argument(
            "--offset", type=natural, default=0, metavar="N", help="begin with element N, from 0"
        )
        verb.add_argument("--limit", type=natural, metavar="N", help="at most N elements")
    events = verbs.add("events", "lists", "events", "print events, and follow them as they come")
    events.add_argument("--since", type=natural, metavar="N", help="only events after event count N")
    events.add_argument("--follow", action="store_true", help="go on with events as they come")
    sg_map = verbs.add("map", "map", "sg_map", "print which sg node belongs to which other node")
    sg_map.add_argument("-i", "--inquiry", action="store_true", help="with vendor, product and revision")
    sg_map.add_argument("-x", "--address", action="store_true", help="with host, channel, id, LUN and type")
    status = verbs.add("status", "lists", "status", "say how the daemon is")
    status.add_argument(
        "--wait", type=seconds, default=0.0, metavar="SEC", help="until a daemon answers, at most so long"
    )
    sg = verbs.add("sg", "sg", "sg", "print open sg descriptors and their requests")
    sg.add_argument("what", choices=("debug",), help="what /proc/scsi/sg/debug has, of the daemon's devices")
    sg.add_argument("--follow", action="store_true", help="print it again and again; Ctrl-C ends")
    sg.add_argument(
        "--interval", type=seconds, default=1.0, metavar="SEC", help="seconds between two tables (1)"
    )
    eh = verbs.add("eh", "eh", "eh", "print which hosts recover from errors, and what was done")
    eh.add_argument("what", choices=("status",), help="the error handler of each host")
    eh.add_argument("of", nargs="?", metavar="HOST|DEVICE", help="2, 2:0:1:0 or sg3; all hosts by default")
    eh.add_argument("--follow", action="store_true", help="go on with steps of recovery as they come")
