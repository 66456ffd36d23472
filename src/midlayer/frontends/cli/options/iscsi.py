"""What the verbs take that are about iSCSI."""

from __future__ import annotations

from midlayer.frontends.cli.options.declaring import Verbs
from midlayer.frontends.cli.options.target import add_actions


def add(verbs: Verbs) -> None:
    """Add the verbs."""
    add_actions(verbs.add("target", "target", "target", "offer devices over iSCSI"))
    verb = verbs.add("discover", "discover", "discover", "ask an iSCSI portal for its targets", daemon=False)
    verb.add_argument("portal", metavar="PORTAL", help="192.0.2.1, 192.0.2.1:3260 or [2001:db8::1]:3260")
    verb.add_argument("--initiator", metavar="IQN", help="our own name")
    verb.add_argument("--user", metavar="NAME", help="CHAP name")
    verb.add_argument("--secret", metavar="FILE", help="file of mode 0600 with the CHAP secret")
