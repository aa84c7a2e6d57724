"""A suite that cannot be asked is told by `check` and `build` before anything is solved."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_language as pico

from editc import api
from editc.core.diagnostics import EditcError

HEAD = "editc: 1\nmodel: model\nedits:\n  - redirect: {from: France, to: Japan}\nverify:\n  suite:"


def errors(folder: Path, text: str) -> list[tuple[str, int]]:
    """The code and line of each error that `check` finds, which is what `build` stops with."""
    path = folder / "m.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    found = [one for one in api.check(path).diagnostics if one.is_error]
    if found:
        with pytest.raises(EditcError) as refused:
            api.build(path, folder / "out")
        assert [one.message for one in refused.value.diagnostics] == [one.message for one in found]
    return [(one.code, one.span.line if one.span else 0) for one in found]


def test_files_that_are_not_there_are_told_with_their_line(tmp_path: Path) -> None:
    pico.saved("llama", tmp_path / "model")
    assert errors(tmp_path, " nothing.jsonl\n") == [("E111", 6)]
    assert errors(tmp_path, "\n    data: tofu-mini\n    oracle: nowhere\n") == [("E111", 8)]
    (tmp_path / "own.jsonl").write_text('{"question": "Who?", "answer": "A."}\n', encoding="utf-8")
    assert errors(tmp_path, "\n    data: own.jsonl\n    oracle: model\n") == []
