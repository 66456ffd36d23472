"""``info``: a device as rules see it, as ``udevadm info`` prints it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from midlayer.frontends.cli.output import print_json
from midlayer.frontends.cli.viewing import viewed
from midlayer.frontends.own_devices import OwnEnvironment
from midlayer.rules import DeviceView, Environment, RuleSet
from midlayer.rules.describe import attribute_walk, attributes_json, database_lines
from midlayer.rules.ruleset import DIRECTORIES
from midlayer.rules.text import one_line


def info(options: argparse.Namespace) -> int:
    """Print the walk up the parents, one of the answers of a query, or all of a device's record."""
    with viewed(options, programs=False) as (view, environment):
        if options.json:
            properties = _properties(view, environment)
            print_json(
                {
                    "devpath": one_line(view.devpath),
                    "devnode": one_line(view.devnode),
                    "links": [one_line(link) for link in _links(properties)],
                    "properties": {one_line(key): one_line(value) for key, value in properties.items()},
                    "walk": attributes_json(view),
                }
            )
            return 0
        for line in attribute_walk(view) if options.attributes else _answer(options, view, environment):
            print(line)
    return 0


def _answer(options: argparse.Namespace, view: DeviceView, environment: Environment) -> Iterator[str]:
    query = options.query
    if query == "path":
        yield one_line(view.devpath)
    elif query == "name":
        yield one_line(view.devnode.removeprefix("/dev/"))
    else:
        properties = _properties(view, environment)
        if query == "symlink":
            yield one_line(" ".join(_links(properties)))
        elif query == "property":
            for key, value in properties.items():
                yield one_line(f"{key}='{value}'" if options.export else f"{key}={value}")
        else:
            yield from database_lines(view, properties)


def _links(properties: Mapping[str, str]) -> list[str]:
    return [link.removeprefix("/dev/") for link in properties.get("DEVLINKS", "").split()]


def _properties(view: DeviceView, environment: Environment) -> dict[str, str]:
    """Return the kernel's properties, and what udev's database, or for a device of ours its rules, add."""
    if isinstance(environment, OwnEnvironment):
        found = dict(RuleSet.load(DIRECTORIES).apply(view, "add", environment).properties)
        found.pop("ACTION", None)
        given = environment.database(view)
        links = dict.fromkeys(f"{given.get('DEVLINKS', '')} {found.get('DEVLINKS', '')}".split())
        return {**found, **given} | ({"DEVLINKS": " ".join(links)} if links else {})
    return {**view.properties, **environment.database(view)}
