"""The iSCSI initiator as a lower-level driver: each session with a target is a host of the subsystem."""

from midlayer.lower.iscsi.discovery import FoundTarget, discover
from midlayer.lower.iscsi.driver import IscsiDriver
from midlayer.lower.iscsi.spec import SessionSpec

__all__ = ["FoundTarget", "IscsiDriver", "SessionSpec", "discover"]
