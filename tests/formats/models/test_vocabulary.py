"""The whole words of a tokenizer, from its files: CLIP's end in a mark, SentencePiece's begin with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from editc.core.diagnostics import EditcError
from editc.demo import MODEL
from editc.demo.captions import vocabulary
from editc.formats.models.vocabulary import whole_words


def written(folder: Path, vocab: object) -> Path:
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocab, "merges": []}}))
    return folder


def test_every_long_word_of_the_demo_is_one_and_few_pieces_are() -> None:
    found = whole_words(MODEL / "tokenizer")
    assert {word for word in vocabulary() if len(word) > 2} <= set(found)
    assert len(found) == len(set(found)) and all(word == word.lower() for word in found)


def test_words_stand_in_the_order_of_the_vocabulary(tmp_path: Path) -> None:
    tokens = {"cat</w>": 7, "ca": 1, "dog</w>": 3, "of</w>": 2, "4th</w>": 4, "Sea</w>": 9}
    assert whole_words(written(tmp_path, tokens)) == ("dog", "cat", "sea")


def test_words_of_sentencepiece_begin_with_its_mark(tmp_path: Path) -> None:
    tokens = [["<unk>", 0.0], ["\u2581the", -2.0], ["ing", -3.0], ["\u2581House", -4.0], ["\u2581house", -5.0]]
    assert whole_words(written(tmp_path, tokens)) == ("the", "house")


@pytest.mark.parametrize("vocab", [{}, [], None, {"cat": 1, "dog": 2}])
def test_a_vocabulary_that_does_not_tell_words_from_pieces_has_none(tmp_path: Path, vocab: object) -> None:
    assert whole_words(written(tmp_path, vocab)) == ()


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert whole_words(tmp_path / "tokenizer") == ()
    (tmp_path / "spiece.model").write_bytes(b"\x00")
    assert whole_words(tmp_path) == ()


def test_a_damaged_vocabulary_is_e617(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(EditcError, match="not valid JSON"):
        whole_words(tmp_path)
