"""Read the questions of a suite: those that come with editc, and files as TOFU and RWKU publish them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from editc.core.diagnostics import fail
from editc.passes.language.suite.readings import Item
from editc.texts import read_text

BUNDLED = ("tofu-mini", "rwku-mini", "muse-mini")
"""The suites that come with editc, by the word in the manifest."""
SUFFIXES = (".json", ".jsonl")
"""The endings of files with questions."""
GROUPS_OF_FILES: Mapping[str, str] = {
    "forget_level3": "attack",
    "forget_level": "forget",
    "neighbor_level": "retain",
    "forget": "forget",
    "retain": "retain",
    "real_authors": "real_authors",
    "world_facts": "world_facts",
    "holdout": "holdout",
}
"""How the name of a published file begins -> the group of its questions. The first that fits counts."""
LEFT_OUT = ("mia", "mmlu", "bbh", "truthful", "triviaqa", "fluency", "para")
"""Words in the names of published files that hold something else than questions with answers."""
BEST = "_perturbed"
"""The ending of TOFU's files that have wrong answers; the file without it is left out then."""
NAMES_OF_FIELDS: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "query", "prompt"),
    "answer": ("answer", "gt"),
    "paraphrased_question": ("paraphrased_question", "paraphrase"),
    "paraphrased_answer": ("paraphrased_answer",),
    "perturbed_answer": ("perturbed_answer", "perturbed"),
    "value": ("value",),
    "subject": ("subject", "author"),
    "kind": ("kind", "type"),
}
"""Field of an item -> what files call it; the first that is there counts."""
BLANK = "___"
"""What stands in a cloze of RWKU for the answer."""


def read_suite(name: str, folder: Path | None = None) -> tuple[Item, ...]:
    """The items of a bundled suite, or of a file or a folder of files; a relative path starts at `folder`. Raises E111
    for what cannot be read."""
    if name in BUNDLED:
        return tuple(_items(read_text("suites", f"{name}.jsonl"), name, "forget"))
    path = (folder or Path()) / name
    files = [path] if path.is_file() else _published_files(path)
    found = [item for file in files for item in _items(_read(file), str(file), _group_of(file.stem) or "forget")]
    if not any(item.group == "forget" for item in found):
        raise fail("E111", f"`{name}` has no question that is to be forgotten", place=str(path), help=LAYOUT)
    return tuple(found)


LAYOUT = (
    "name one of tofu-mini, rwku-mini and muse-mini, a JSONL file with `question` and `answer` on each line, or a "
    "folder with the files of TOFU or RWKU"
)
"""What to do about a file that is no suite."""


def _published_files(folder: Path) -> list[Path]:
    """The files of a folder that hold questions, those with wrong answers in place of those without."""
    files = sorted(one for one in folder.glob("*") if one.suffix in SUFFIXES) if folder.is_dir() else []
    files = [one for one in files if _group_of(one.stem) and not any(word in one.stem for word in LEFT_OUT)]
    better = {_group_of(one.stem) for one in files if one.stem.endswith(BEST)}
    return [one for one in files if one.stem.endswith(BEST) or _group_of(one.stem) not in better]


def _group_of(stem: str) -> str:
    """The group of the questions of a file; '' where its name says none."""
    return next((group for begin, group in GROUPS_OF_FILES.items() if stem.startswith(begin)), "")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise fail("E111", f"cannot read the questions: {why}", place=str(path), help=LAYOUT) from error


def _items(text: str, place: str, group: str) -> Iterator[Item]:
    """The items of a JSON list, or of one JSON object a line. `group`: that of items without `set`."""
    try:
        rows: Iterable[Any] = json.loads(text) if text.lstrip().startswith("[") else map(json.loads, _lines(text))
        rows = list(rows)
    except ValueError as error:
        raise fail("E111", f"these questions are not JSON: {error}", place=place, help=LAYOUT) from error
    for number, row in enumerate(rows, 1):
        values = _values(row) if isinstance(row, dict) else {}
        if not isinstance(values.get("question"), str) or not isinstance(values.get("answer"), str):
            message = f"question {number} has no text for `question` or for `answer`"
            raise fail("E111", message, place=place, help=LAYOUT)
        yield _item(values, str(row.get("set", group)), row.get("raw") is True)


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item that a row has, by whichever name. Only an answer may be an empty text."""
    found: dict[str, Any] = {}
    for field, names in NAMES_OF_FIELDS.items():
        value = next((row[name] for name in names if name in row), None)
        if value not in (None, "", []) or (field == "answer" and value == ""):
            found[field] = value
    return found


def _item(values: Mapping[str, Any], group: str, raw: bool) -> Item:
    """The item of a row. A cloze of RWKU becomes a question with its blank shown."""
    wrong = values.get("perturbed_answer", ())
    several = (wrong,) if isinstance(wrong, str) else tuple(map(str, wrong))
    texts: dict[str, Any] = {name: str(value) for name, value in values.items() if name != "perturbed_answer"}
    if BLANK in texts["question"]:
        texts["question"] = f"Which words stand for the blank? {texts['question']}"
    return Item(group, perturbed_answer=several, raw=raw or group == "capability", **texts)


def of_groups(items: Sequence[Item], most: Mapping[str, int]) -> tuple[Item, ...]:
    """At most so many items of each group, at even steps; groups that `most` does not name are kept whole."""
    kept: list[Item] = []
    for group in dict.fromkeys(item.group for item in items):
        mine = [item for item in items if item.group == group]
        count = min(most.get(group, len(mine)), len(mine))
        kept += [mine[i * len(mine) // count] for i in range(count)]
    return tuple(kept)
