"""Arrays of fault tables in TOML: ``[[fault]]`` of a configuration, ``[[step.fault]]`` of a scenario."""

from __future__ import annotations

from midlayer.lower.filters import FaultRule, RuleError


class FaultMistake(Exception):
    """A mistake in one of several fault tables; whoever has the text makes a ConfigError of it."""

    def __init__(self, place: tuple[str | int, ...], message: str) -> None:
        self.place = place
        self.message = message


def read_faults(given: object, place: tuple[str | int, ...]) -> tuple[FaultRule, ...]:
    """Read an array of fault tables, which has its place in a text.

    Raises:
        FaultMistake: For the first mistake.
    """
    header = (
        f"write [[{'.'.join(str(part) for part in place if isinstance(part, str))}]], once for each fault"
    )
    if not isinstance(given, list):
        raise FaultMistake(place, header)
    rules: list[FaultRule] = []
    for index, table in enumerate(given):
        if not isinstance(table, dict):
            raise FaultMistake((*place, index), header)
        try:
            rules.append(FaultRule.from_mapping(table))
        except RuleError as error:
            at = (error.key,) if error.key in table else ()
            raise FaultMistake((*place, index, *at), str(error) if not at else error.message) from None
        if rules[-1].name and rules[-1].name in (rule.name for rule in rules[:-1]):
            raise FaultMistake((*place, index, "name"), f"{rules[-1].name!r} is the name of another fault")
    return tuple(rules)
