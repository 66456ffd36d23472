"""Arrays of fault tables in TOML: ``[[fault]]`` of a configuration, ``[[step.fault]]`` of a scenario."""

from __future__ import annotations

from midlayer.frontends.toml_text import KeyPath, TableMistake
from midlayer.lower.filters import FaultRule, RuleError


def read_faults(given: object, place: KeyPath) -> tuple[FaultRule, ...]:
    """Read an array of fault tables, which has its place in a text.

    Raises:
        TableMistake: For the first mistake.
    """
    header = (
        f"write [[{'.'.join(str(part) for part in place if isinstance(part, str))}]], once for each fault"
    )
    if not isinstance(given, list):
        raise TableMistake(place, header)
    rules: list[FaultRule] = []
    for index, table in enumerate(given):
        if not isinstance(table, dict):
            raise TableMistake((*place, index), header)
        try:
            rules.append(FaultRule.from_mapping(table))
        except RuleError as error:
            at = (error.key,) if error.key in table else ()
            raise TableMistake((*place, index, *at), str(error) if not at else error.message) from None
        if rules[-1].name and rules[-1].name in (rule.name for rule in rules[:-1]):
            raise TableMistake((*place, index, "name"), f"{rules[-1].name!r} is the name of another fault")
    return tuple(rules)
