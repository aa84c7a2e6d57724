"""`pytest --update-cases` rewrites the expected text of the golden cases; read the diff before committing it."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import blame
import pytest
from places import ROOT

LIBRARIES: Counter[tuple[str, str]] = Counter()
"""What libraries said of themselves, over the whole run."""

COLLECT_AFTER = (50_000, 10, 2)
"""How many new objects start a collection of cyclic garbage, and how many collections one of older objects: rarely, as
in the command line (`cli.GC_THRESHOLD`). Python's 700 took an eighth of the time of all tests."""

gc.set_threshold(*COLLECT_AFTER)
sys.path.append(str(ROOT))  # for the benchmarks, which are not installed


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-cases", action="store_true", help="rewrite the expected text of the golden cases")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the real language model wait until someone has made it; CI does."""
    import smollm2

    absent = pytest.mark.skip(reason="`make model` makes the model")
    for item in items if not smollm2.present() else ():
        if item.get_closest_marker("smollm2"):
            item.add_marker(absent)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Any:
    """A warning of ours fails the test that it is given in; so it does while the tests are collected."""
    with blame.judged():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Any:
    with blame.judged():
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What the test modules are made of stays until the end: no collection looks through it again."""
    gc.collect()
    gc.freeze()


def pytest_warning_recorded(warning_message: warnings.WarningMessage) -> None:
    LIBRARIES[blame.source(warning_message)] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if LIBRARIES:
        terminalreporter.section("what libraries say of themselves")
        for line in blame.summary(LIBRARIES):
            terminalreporter.line(line)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests leave the user's cache alone, nobody watches their progress, and they do not wait for the disk: a busy one
    takes a second for each fsync. Those that look at fsync put their own in its place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setenv("EDITC_PROGRESS", "none")
        patch.setenv("EDITC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def update_cases(request: pytest.FixtureRequest) -> bool:
    """True when the golden cases are to be rewritten instead of compared."""
    return bool(request.config.getoption("--update-cases"))
