"""Who may come in through one connection: `midlayer.iscsi.target_login.TargetPolicy` for the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midlayer.frontends.target.spec import Portal
from midlayer.iscsi.codes import LoginStatus
from midlayer.iscsi.errors import LoginError
from midlayer.iscsi.login import Identity
from midlayer.iscsi.target_login import Access
from midlayer.iscsi.text import Pairs

if TYPE_CHECKING:
    from midlayer.frontends.target.export import Export
    from midlayer.frontends.target.server import TargetServer
    from midlayer.frontends.target.session import Session


class ConnectionPolicy:
    """The policy of one connection.

    A target that an initiator may not see does not exist for it: the answer is the same, so that nobody
    learns names by trying.

    Args:
        server: Has the targets.
        portal: That the connection came through.
        local: The address that the initiator used.

    Attributes:
        session: The connection's session; set by the server.
    """

    session: Session

    def __init__(self, server: TargetServer, portal: Portal, local: str) -> None:
        self._server = server
        self._portal = portal
        self._local = local

    def admit(self, identity: Identity) -> Access:
        """See `TargetPolicy.admit`."""
        if identity.discovery:
            return Access()
        export = self._export(identity, identity.target_name)
        if export is None:
            raise LoginError("there is no such target for this initiator", LoginStatus.NOT_FOUND)
        spec = export.spec
        return Access(spec.accounts, spec.mutual, self._group(export), spec.alias)

    def begin(self, identity: Identity) -> int:
        """See `TargetPolicy.begin`; an older session of the same ports ends (RFC 7143 6.3.5)."""
        export = None if identity.discovery else self._export(identity, identity.target_name)
        if export is None and not identity.discovery:
            raise LoginError("the target was removed meanwhile", LoginStatus.TARGET_REMOVED)
        if export is not None:
            self.session.portal_group = self._group(export)
        return self._server.begin_session(self.session, export)

    def send_targets(self, identity: Identity, name: str) -> Pairs:
        """See `TargetPolicy.send_targets`."""
        names = self._server.target_names() if name == "All" else [name.lower()]
        pairs: Pairs = []
        for one in names:
            export = self._export(identity, one)
            if export is None:
                continue
            pairs.append(("TargetName", one))
            for portal in self._server.addresses(export, self._local):
                pairs.append(("TargetAddress", f"{portal.address},{portal.group}"))
        return pairs

    def _group(self, export: Export) -> int:
        """Return the portal group of the target that the portal belongs to."""
        return next(portal.group for portal in export.spec.portals if portal == self._portal)

    def _export(self, identity: Identity, name: str) -> Export | None:
        """Return a target that this initiator may see through this portal."""
        export = self._server.export(name)
        if export is None or not export.admits(identity.initiator_name):
            return None
        return export if self._portal in export.spec.portals else None
