"""An error goes from one process to another as it is."""

from __future__ import annotations

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from editc import api
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.places import Source, Span


def test_an_error_is_the_same_after_it_was_pickled() -> None:
    first = Diagnostic("E102", "unknown key", Span(1, 1, 5), Source("m.yaml", "model: x\n"), help="leave it out")
    error = EditcError(first, Diagnostic("E603", "another", place="p", notes=("a", "b")))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is EditcError and again.diagnostics == error.diagnostics and str(again) == str(error)


def test_an_error_of_a_worker_reaches_who_asked(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, pytest.raises(EditcError) as caught:
        pool.submit(api.inspect, tmp_path / "nowhere.safetensors").result()
    assert caught.value.diagnostics[0].place == str(tmp_path / "nowhere.safetensors")
