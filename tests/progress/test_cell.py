"""In a notebook a call of editc shows how far it is, in one place under the cell; elsewhere it shows nothing.

IPython is no dependency of the tests: a stand-in has what is used of it, `get_ipython` and `display`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from editc import api, progress
from editc.core.diagnostics import EditcError
from editc.progress import CellLine, ShowProgress, in_notebook

Drawing = dict[str, str]
init = CellLine.__init__


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Drawing]]:
    """What a notebook was asked to draw: (number of the place, the drawing), in order."""
    found: list[tuple[int, Drawing]] = []

    def display(shown: Drawing, raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        place = len({number for number, _ in found})
        found.append((place, shown))
        return SimpleNamespace(update=lambda shown, raw: found.append((place, shown)))

    fake: Any = ModuleType("IPython")
    fake.get_ipython = lambda: SimpleNamespace(kernel=object())
    fake.display = ModuleType("IPython.display")
    fake.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", fake.display)
    monkeypatch.setattr(progress, "FIRST_LINE", 0.0)
    monkeypatch.delenv("EDITC_PROGRESS", raising=False)
    return found


@in_notebook
def work(count: int, progress: ShowProgress = None) -> Iterable[object]:
    """What a verb of editc does: a loop, if it is given progress."""
    return list(progress("paint", range(count))) if progress else []


def draw(line: CellLine) -> Iterator[int]:
    """Count to two, and draw the line after each."""
    for number in line("paint <a>", range(2)):
        line.write()
        yield number


def test_one_place_is_drawn_again_and_again_and_says_in_the_end_how_long_it_took(
    drawings: list[tuple[int, Drawing]],
) -> None:
    line = CellLine("build")
    with line.running():
        assert list(draw(line)) == [0, 1]
    assert {place for place, _ in drawings} == {0}
    assert drawings[-1][1] == {"text/plain": "build took 0:00", "text/html": "<div>build took 0:00</div>"}
    texts = [shown["text/plain"] for _, shown in drawings]
    assert any(re.search(r"paint <a> \[#{12}-{12}\] 1 of 2", text) for text in texts)
    pages = [shown["text/html"] for _, shown in drawings]
    assert any("paint &lt;a&gt; <progress value='1' max='2'" in page and "<a>" not in page for page in pages)


def test_a_call_that_fails_says_after_how_long(drawings: list[tuple[int, Drawing]]) -> None:
    line = CellLine("build")
    with pytest.raises(ValueError, match="no"), line.running():
        line.write()
        raise ValueError("no")
    assert drawings[-1][1]["text/plain"] == "build stopped after 0:00"


def test_a_quick_call_draws_nothing(drawings: list[tuple[int, Drawing]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_LINE", 60.0)
    assert work(3) == [0, 1, 2] and drawings == []


def test_the_caller_s_own_progress_and_false_and_the_variable_go_first(
    drawings: list[tuple[int, Drawing]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    assert work(2, lambda label, items: seen.append(label) or items) == [0, 1] and seen == ["paint"]  # type: ignore[func-returns-value]
    assert work(2, False) == [] == work(2, progress=False)
    monkeypatch.setenv("EDITC_PROGRESS", "none")
    assert work(2) == [] == drawings


@pytest.mark.parametrize("shell", [None, SimpleNamespace()], ids=["python", "ipython on a terminal"])
def test_outside_of_a_kernel_nothing_is_shown(
    drawings: list[tuple[int, Drawing]], shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    assert work(2) == [] == drawings


def test_ipython_is_not_imported_where_it_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert work(2) == [] and "IPython" not in sys.modules


@pytest.mark.parametrize("name", ["build", "suggest", "push", "pull", "verify", "attack", "link", "diff", "run_fleet"])
def test_every_verb_that_takes_progress_shows_it_in_a_notebook(
    name: str, drawings: list[tuple[int, Drawing]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fails at once here: there is no such file. That it opened a line is what counts."""
    opened: list[str] = []
    monkeypatch.setattr(CellLine, "__init__", lambda self, verb: opened.append(verb) or init(self, verb))  # type: ignore[func-returns-value]
    with pytest.raises((EditcError, TypeError)):
        getattr(api, name)("no.yaml", "no")
    assert opened == [name]
