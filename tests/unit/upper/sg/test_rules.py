"""Every row of the table on our own sg device, with and without views of the caller's memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .calls import Using
from .nodes import OurNode
from .rules import ROWS, Row

CASES = [(row, views) for row in ROWS for views in (False, True) if views or not row.needs_views]


@pytest.fixture
def using(request: pytest.FixtureRequest) -> Iterator[Using]:
    _, views = request.node.callspec.params["case"]
    node = OurNode(views=views)
    using = Using(node)
    yield using
    using.close()
    node.stop()


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{row.name}-{'views' if views else 'copies'}" for row, views in CASES]
)
def test_row(case: tuple[Row, bool], using: Using) -> None:
    row, _ = case
    assert row.run(using) == row.expect
