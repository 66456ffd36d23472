"""Make every test below ``guest/`` an item of the host's run that is executed in a guest.

The host collects them as it collects any test, so ``-k``, node ids, editors and reports work; nothing is
booted until the first of them is to run. Then one guest runs all that were selected, and each item's
reports are the ones its namesake made in the guest. A test that the guest does not report has failed.

Where the kernel cannot be had the items are skipped, saying what is missing; with ``CI=true`` they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import prepare, tier

HERE = Path(__file__).parent
IN_GUEST = "MIDLAYER_GUEST" in os.environ

_tier_key = pytest.StashKey[tier.Tier | prepare.Unavailable]()


def _is_guest_test(item: pytest.Item) -> bool:
    return not IN_GUEST and tier.GUEST_TESTS in item.path.parents


def _missing(error: prepare.Unavailable) -> str:
    return f"missing: {error} (try: python -m tests.kernel.prepare)"


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tier, and keep a plugin's limit for one test from counting the boot."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("kernel")
            if config.pluginmanager.hasplugin("timeout"):
                item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Replace setup, call and teardown of a guest's test by the reports from the guest."""
    if not _is_guest_test(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    # What runtestprotocol() does last: collectors that the next item does not share are torn down.
    item.session._setupstate.teardown_exact(nextitem)
    return True


def _reports(item: pytest.Item) -> Iterator[pytest.TestReport]:
    guest = _booted_tier(item.session)
    if isinstance(guest, prepare.Unavailable):
        if os.environ.get("CI") == "true":
            yield _report(item, "failed", _missing(guest))
        else:
            path, line, _ = item.location
            yield _report(item, "skipped", (path, (line or 0) + 1, f"Skipped: {_missing(guest)}"))
        return
    try:
        reports = guest.reports(item.nodeid)
    except tier.NotReportedError as error:
        yield _report(item, "failed", str(error))
        return
    for data in reports:
        if isinstance(data["longrepr"], list):  # a skip's (path, line, reason): JSON has no tuples
            data["longrepr"] = tuple(data["longrepr"])
        yield item.config.hook.pytest_report_from_serializable(config=item.config, data=data)


def _report(item: pytest.Item, outcome: str, longrepr: str | tuple[str, int, str]) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome=outcome,  # type: ignore[arg-type]
        longrepr=longrepr,
        when="call" if outcome == "failed" else "setup",
    )


def _booted_tier(session: pytest.Session) -> tier.Tier | prepare.Unavailable:
    """Return the session's one guest, booting it the first time."""
    stash = session.config.stash
    if _tier_key not in stash:
        node_ids = [item.nodeid for item in session.items if _is_guest_test(item)]
        try:
            started = tier.Tier(node_ids, root=session.config.rootpath)
        except prepare.Unavailable as error:
            stash[_tier_key] = error
        else:
            stash[_tier_key] = started
            session.config.add_cleanup(started.close)
    return stash[_tier_key]


@pytest.fixture
def kernel() -> prepare.Kernel:
    """The kernel to boot; skips the test, or with ``CI=true`` fails it, where there is none."""
    try:
        return prepare.find()
    except prepare.Unavailable as error:
        if os.environ.get("CI") == "true":
            pytest.fail(_missing(error), pytrace=False)
        pytest.skip(_missing(error))
