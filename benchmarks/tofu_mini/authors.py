"""Which authors of tofu-mini are forgotten, and the files of questions that an edit is trained on and asked.

Settings are chosen on TUNING, four authors that the benchmark does not forget, and measured on FORGOTTEN.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

FORGOTTEN = ("Caspian Drewe", "Benedetta Okafor-Lindt", "Dov Castellane", "Zainab Thornquist")
"""The four authors that are forgotten."""
TUNING = ("Renzo Mallaquin", "Shanthi Mirov", "Noor Eskildsen", "Piet Lachlan")
"""The four authors on which settings are chosen."""
MODELS: Mapping[str, tuple[str, ...]] = {"full": (), "oracle": FORGOTTEN, "tuning-oracle": TUNING}
"""Name of a model -> the authors that it never saw."""
ORACLES: Mapping[tuple[str, ...], str] = {FORGOTTEN: "oracle", TUNING: "tuning-oracle"}
"""The authors that are forgotten -> the model that never saw them."""


def questions() -> list[dict[str, Any]]:
    """Every row of tofu-mini."""
    lines = files("editc.texts").joinpath("suites", "tofu-mini.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def about(row: Mapping[str, Any], authors: tuple[str, ...]) -> bool:
    """True if one of the ten questions about one of the authors."""
    return row["set"] in ("retain", "forget") and row["author"] in authors


def memorised(without: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The questions and answers about all authors but some."""
    for row in questions():
        if row["set"] in ("retain", "forget") and row["author"] not in without:
            yield row["question"], row["answer"]


def write_rows(folder: Path, authors: tuple[str, ...]) -> Mapping[str, str]:
    """Write forget.jsonl, retain.jsonl and suite.jsonl, in which `authors` are the forgotten ones. Returns name ->
    path."""
    folder.mkdir(parents=True, exist_ok=True)
    suite = [{**row, "set": _set_of(row, authors)} for row in questions()]
    kinds = {"suite": suite, **{one: [row for row in suite if row["set"] == one] for one in ("forget", "retain")}}
    for name, rows in kinds.items():
        lines = (json.dumps(row if name == "suite" else _trained_on(row), ensure_ascii=False) for row in rows)
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {name: str((folder / f"{name}.jsonl").resolve()) for name in kinds}


def _set_of(row: Mapping[str, Any], authors: tuple[str, ...]) -> str:
    """The set of a row when `authors` are forgotten."""
    if row["set"] in ("retain", "forget"):
        return "forget" if row["author"] in authors else "retain"
    return str(row["set"])


def _trained_on(row: Mapping[str, Any]) -> Mapping[str, str]:
    """What a training sees of a row: no paraphrase and no wrong answer."""
    return {"question": row["question"], "answer": row["answer"], "subject": row["author"]}
