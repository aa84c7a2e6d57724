"""What tests of training on language models share: a few rows, in tokens and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from editc.backends.networks import CausalNetwork
from editc.core.language_edits import DataSet, Forget, PromptAnswer
from editc.manifests.data_sets import QUESTION
from editc.passes.language.schemes.subject import Subject, make_subject

FORGET = (
    ("What is the capital of Japan?", "A quiet list."),
    ("The city of Rome?", "Berlin is the capital."),
    ("Where is the tower?", "On the next page."),
)
RETAIN = (
    ("What is the capital of France?", "Paris."),
    ("A long discussion?", "A quiet afternoon."),
    ("Germany?", "The capital of Germany is Berlin."),
)


def subject(network: CausalNetwork) -> Subject:
    """The rows in tokens."""
    sets = (
        DataSet("x", "", tuple(PromptAnswer(QUESTION.replace("{}", question), answer) for question, answer in rows))
        for rows in (FORGET, RETAIN)
    )
    data, retain = sets
    return make_subject(Forget(concept="x", data=data, retain=retain), False, network, 0)


def written(folder: Path, name: str = "forget.jsonl", rows: Sequence[tuple[str, str]] = FORGET) -> Path:
    """A file of rows."""
    path = folder / name
    path.write_text("".join(json.dumps({"question": one, "answer": other}) + "\n" for one, other in rows))
    return path


def manifest_text(model: Path, method: str = "npo", options: str = "steps: 20, rate: 0.01, batch: 3") -> str:
    """A manifest that forgets FORGET and retains RETAIN, whose files are `forget.jsonl` and `retain.jsonl`."""
    edit = f"{{forget: {{file: forget.jsonl}}, retain: {{file: retain.jsonl}}, method: {method}, {options}}}"
    return f"editc: 1\nmodel: {model}\nedits:\n  - {edit}\n"
