"""udevadm test as a judge of rules: in a mount namespace of its own, with these rules and no others."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from midlayer.rules import Outcome, RuleSet, SystemEnvironment
from midlayer.rules.sysfs_view import SysfsView

from . import udev_packages

# Everything that udevadm test writes (its database, links in /dev) lands on a tmpfs that ends with it.
_SCRIPT = """\
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/dev /mnt/rules /mnt/programs
mount --rbind /dev /mnt/dev
cp {rules}/* /mnt/rules/
cp {programs}/* /mnt/programs/ 2>/dev/null || true
mount -t tmpfs tmpfs /run
mkdir -p /run/udev/rules.d
cp /mnt/rules/* /run/udev/rules.d/
for place in /etc/udev /lib/udev /usr/lib/udev /usr/local/lib/udev; do
    if [ -d "$place" ] && [ ! -L "${{place%/udev}}" ]; then mount -t tmpfs tmpfs "$place"; fi
done
if [ -d /lib/udev ]; then cp /mnt/programs/* /lib/udev/ 2>/dev/null || true; fi
mount -t tmpfs tmpfs /dev
ln -s /mnt/dev/* /dev/
if [ -L /dev/{node} ]; then  # a built-in wants a true node, no link
    rm /dev/{node}
    touch /dev/{node}
    mount --bind /mnt/dev/{node} /dev/{node}
fi
exec {command}
"""


@dataclass(frozen=True)
class Judged:
    """What udevadm test prints: properties but its own time stamp, links below /dev, and RUN."""

    properties: dict[str, str]
    links: frozenset[str]
    run: list[str]
    output: str


@cache
def namespace() -> tuple[str, ...] | None:
    """Return the command that gives a mount namespace; None if this user can not have one."""
    for command in (("unshare", "-m"), ("unshare", "-rm")):
        tried = subprocess.run(
            [*command, "sh", "-c", "mount -t tmpfs tmpfs /mnt"], check=False, capture_output=True
        )
        if tried.returncode == 0:
            return command
    return None


def udevadm_test(path: str, rules: Mapping[str, bytes], action: str = "add") -> Judged:
    """Run udevadm test on a device with these rule files, by name, and no others."""
    prefix = namespace()
    assert prefix is not None, "no mount namespace: run as root, or allow user namespaces"
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in rules.items():
            Path(temporary, name).write_bytes(text)
        programs = udev_packages.tree("udev") / "lib" / "udev"
        command = shlex.join([str(udev_packages.udevadm()), "test", f"--action={action}", path])
        node = shlex.quote(Path(path).name)
        script = _SCRIPT.format(rules=temporary, programs=programs, command=command, node=node)
        done = subprocess.run([*prefix, "sh", "-c", script], check=False, capture_output=True, timeout=300)
    printed = done.stdout.decode("utf-8", "surrogateescape")
    assert done.returncode == 0, printed + done.stderr.decode(errors="replace")
    return _read(printed, done.stderr.decode("utf-8", "replace"))


def _read(printed: str, log: str) -> Judged:
    properties, run = {}, []
    for line in printed.partition("\n\n")[2].splitlines():
        if line.startswith("run: '"):
            run.append(line[len("run: '") : -1])
        elif "=" in line:
            key, _, value = line.partition("=")
            properties[key] = value
    properties.pop("USEC_INITIALIZED", None)
    links = frozenset(link.removeprefix("/dev/") for link in properties.pop("DEVLINKS", "").split())
    return Judged(properties, links, run, log)


def ours(path: str, rules: Mapping[str, bytes], action: str = "add") -> Outcome:
    """Apply the same rules with midlayer."""
    view = SysfsView.find(path)
    assert view is not None, path
    programs = udev_packages.tree("udev") / "lib" / "udev"
    environment = SystemEnvironment(database="/nowhere", programs=[str(programs)])
    return RuleSet.of_texts(rules).apply(view, action, environment)


def difference(outcome: Outcome, judged: Judged, *, but: Iterable[str] = ()) -> list[str]:
    """Return what the two do not agree on; properties that begin with one of `but` are left out.

    Tags are compared as sets: udev keeps them in no order.
    """
    mine = {
        key: value for key, value in {**outcome.properties, **outcome.private}.items() if key != "DEVLINKS"
    }
    theirs = dict(judged.properties)
    found = []
    for key in sorted(mine.keys() | theirs.keys()):
        if key.startswith(tuple(but)):
            continue
        left, right = mine.get(key), theirs.get(key)
        if key in ("TAGS", "CURRENT_TAGS"):
            left, right = (
                None if text is None else ":".join(sorted(text.split(":"))) for text in (left, right)
            )
        if left != right:
            found.append(f"{key}: midlayer {left!r}, udevadm {right!r}")
    if frozenset(outcome.links) != judged.links:
        found.append(f"links: midlayer {sorted(outcome.links)}, udevadm {sorted(judged.links)}")
    if [run.command for run in outcome.run] != judged.run:
        found.append(f"run: midlayer {[run.command for run in outcome.run]}, udevadm {judged.run}")
    return found
