"""`pytest --update-cases` rewrites the expected text of the golden cases; read the diff before committing it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-cases", action="store_true", help="rewrite the expected text of the golden cases")


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def update_cases(request: pytest.FixtureRequest) -> bool:
    """True when the golden cases are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update-cases"))
