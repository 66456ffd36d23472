"""The HTTP API's part for iSCSI targets: /v1/targets. Secrets go in as names of files, and never come out."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from midlayer.errors import UsageError
from midlayer.frontends.daemon import models
from midlayer.frontends.target.server import TargetServer
from midlayer.frontends.target.spec import TargetSpec


class Account(models.Request):
    """A name for CHAP, and the file that its secret is in."""

    name: str
    secret_file: str = Field(description="Absolute path on the daemon's machine; only its owner may read it")


class Lun(models.Request):
    """One LUN of a target."""

    lun: int = 0
    device: str = Field(description="2:0:1:0, or sg3")
    read_only: bool = False
    initiators: list[str] = Field(default_factory=list, description="Who sees it; everybody, if empty")


class NewTarget(models.Request):
    """A target to offer."""

    iqn: str
    alias: str = ""
    portals: list[str] = Field(default_factory=lambda: ["127.0.0.1"])
    initiators: list[str] = Field(default_factory=list, description="Who may log in; everybody, if empty")
    account: list[Account] = Field(default_factory=list)
    mutual: Account | None = None
    lun: list[Lun] = Field(default_factory=list)


class ChangeAccess(models.Request):
    """Who may log in from now on, and who may not any more."""

    allow: list[str] = Field(default_factory=list)
    deny: list[str] = Field(default_factory=list)


class TargetItems(BaseModel):
    """Targets, or their sessions."""

    items: list[dict[str, Any]]


def add_targets(app: FastAPI, targets: TargetServer) -> None:
    """Add the calls to an application."""

    @app.get("/v1/targets", response_model=TargetItems, summary="iSCSI targets")
    def list_targets() -> Any:
        return {"items": [_target(targets, spec) for spec in targets.specs()]}

    @app.post("/v1/targets", response_model=TargetItems, summary="Offer a target")
    def add_target(wish: NewTarget, request: Request) -> Any:
        if (wish.account or wish.mutual) and not _is_local(request):
            raise UsageError("secret_file: targets with CHAP can be added through the Unix socket only")
        spec = TargetSpec.from_mapping(wish.model_dump(exclude_none=True))
        targets.add(spec)
        return {"items": [_target(targets, spec)]}

    @app.delete("/v1/targets/{iqn}", response_model=TargetItems, summary="Stop to offer a target")
    def remove_target(iqn: str) -> Any:
        targets.remove(iqn)
        return {"items": []}

    @app.post("/v1/targets/{iqn}/acl", response_model=TargetItems, summary="Say who may log in")
    def change_access(iqn: str, wish: ChangeAccess) -> Any:
        allow = tuple(name.lower() for name in wish.allow)
        deny = tuple(name.lower() for name in wish.deny)
        spec = targets.spec(iqn).with_access(allow, deny)
        targets.change(spec)
        return {"items": [_target(targets, spec)]}

    @app.get("/v1/target-sessions", response_model=TargetItems, summary="Sessions of initiators")
    def sessions() -> Any:
        return {"items": [_session(session) for session in targets.sessions()]}

    @app.delete("/v1/target-sessions/{session}", response_model=TargetItems, summary="End a session")
    def drop(session: int) -> Any:
        targets.drop(session)
        return {"items": []}


def _target(targets: TargetServer, spec: TargetSpec) -> dict[str, Any]:
    return {
        "iqn": spec.iqn,
        "alias": spec.alias,
        "portals": [str(portal) for portal in targets.portals(spec.iqn)],
        "initiators": list(spec.initiators),
        "chap": [account.name for account in spec.accounts],
        "mutual_chap": spec.mutual.name if spec.mutual is not None else "",
        "luns": [
            {
                "lun": one.lun,
                "device": one.device,
                "read_only": one.read_only,
                "initiators": list(one.initiators),
            }
            for one in spec.luns
        ],
        "sessions": len(targets.sessions(spec.iqn)),
    }


def _session(session: Any) -> dict[str, Any]:
    identity = session.iscsi.identity
    return {
        "session": identity.tsih,
        "initiator": identity.initiator_name,
        "isid": identity.isid.hex(),
        "alias": identity.alias,
        "target": identity.target_name,
        "peer": session.peer,
        "portal_group": session.portal_group,
        "commands": session.commands,
    }


def _is_local(request: Request) -> bool:
    """True for the Unix socket, whose callers could read the file themselves."""
    server = request.scope.get("server")
    return server is None or server[1] is None
