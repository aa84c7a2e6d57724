"""`pytest --update-cases` rewrites the expected text of the golden cases; read the diff before committing it."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-cases", action="store_true", help="rewrite the expected text of the golden cases")


@pytest.fixture
def update_cases(request: pytest.FixtureRequest) -> bool:
    """True when the golden cases are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update-cases"))
