"""A warning that our code causes fails its test; what a library says of itself is counted and fails none."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import blame
import pytest
from places import ROOT

LIBRARY = """
import functools, warnings

def renamed(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        if "old" in kwargs:
            kwargs["new"] = kwargs.pop("old")
            warnings.warn("`old` is `new` now", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)
    return wrapped

class Module:
    def __call__(self, *args, **kwargs):
        return self._call(*args, **kwargs)

    def _call(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

class Model(Module):
    @renamed
    def forward(self, new, inner=None):
        return inner and inner(new)

def gone():
    warnings.warn("gone() is deprecated", DeprecationWarning, stacklevel=2)

def says_it_here(size):
    warnings.warn("this size is odd", UserWarning)

def calls_what_is_gone(new=0):
    gone()

def calls_deeply():
    says_it_here(3)

def calls_its_own_model():
    Model()(old=1)

class Tokenizer:
    def __init__(self, *given, **named):
        says_it_here(3)

    @classmethod
    def load(cls, path, *given, **named):
        return cls(*given, **named)
"""


@pytest.fixture
def library(tmp_path: Path) -> SimpleNamespace:
    """A library that lies outside the repository."""
    path = tmp_path / "site-packages" / "library" / "__init__.py"
    names: dict[str, Any] = {"__name__": "library"}
    exec(compile(LIBRARY, str(path), "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture(autouse=True)
def seen() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as log, blame.judged():
        warnings.simplefilter("always")
        yield log


def test_what_names_our_line_is_ours(library: SimpleNamespace) -> None:
    with pytest.raises(DeprecationWarning, match="gone"):
        library.gone()


def test_an_argument_that_we_pass_is_ours_through_whatever_passes_it_on(library: SimpleNamespace) -> None:
    """As transformers' cache: the warning names a line of torch, which only passes arguments on."""
    with pytest.raises(FutureWarning, match="`old`"):
        library.Model()(old=1)
    with pytest.raises(FutureWarning, match="`old`"):
        library.Model().forward(old=1)


def test_a_function_that_we_call_and_that_names_itself_is_ours(library: SimpleNamespace) -> None:
    with pytest.raises(UserWarning, match="odd"):
        library.says_it_here(3)


def test_what_a_library_does_to_itself_is_not_ours(library: SimpleNamespace, seen: list[Any]) -> None:
    library.calls_what_is_gone()
    library.calls_deeply()
    library.calls_its_own_model()
    library.Model()(1, inner=library.calls_what_is_gone)
    library.Tokenizer.load("path")  # which takes a path, and so does more than to pass on
    kinds = [(one.category, Path(one.filename).parent.name) for one in seen]
    assert [kind for kind, _ in kinds] == [
        DeprecationWarning,
        UserWarning,
        FutureWarning,
        DeprecationWarning,
        UserWarning,
    ]
    assert {place for _, place in kinds} == {"library"}


def test_a_file_that_does_not_run_is_judged_by_its_place(seen: list[Any]) -> None:
    with pytest.raises(SyntaxWarning):
        warnings.warn_explicit("odd literal", SyntaxWarning, str(ROOT / "editc" / "x.py"), 1)
    warnings.warn_explicit("odd literal", SyntaxWarning, str(ROOT / ".venv" / "library.py"), 1)
    assert len(seen) == 1


def test_the_end_of_a_run_counts_by_library_and_message(library: SimpleNamespace, seen: list[Any]) -> None:
    for _ in range(3):
        library.calls_deeply()
    library.calls_what_is_gone()
    assert [*blame.summary(Counter(map(blame.source, seen)))] == [
        "    3  library: UserWarning: this size is odd",
        "    1  library: DeprecationWarning: gone() is deprecated",
    ]
