"""The tables ``[[target]]``: what is offered over iSCSI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midlayer.frontends.target.spec import TargetSpec, TargetSpecError
from midlayer.frontends.toml_text import TableMistake


def read_targets(targets: object, base: Path) -> dict[str, Any]:
    """Read all of them; no two have one name."""
    if not isinstance(targets, list) or not all(isinstance(one, dict) for one in targets):
        raise TableMistake(("target",), "write [[target]], once for each iSCSI target")
    found: list[TargetSpec] = []
    for index, target in enumerate(targets):
        try:
            found.append(TargetSpec.from_mapping(target, base))
        except TargetSpecError as error:
            raise TableMistake(("target", index, *error.path), error.message) from None
        if found[-1].iqn in (other.iqn for other in found[:-1]):
            raise TableMistake(("target", index, "iqn"), f"{found[-1].iqn} is the name of another target")
    return {"targets": tuple(found)}
