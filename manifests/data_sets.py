"""Read the rows of a data set: JSON Lines with questions and answers, or plain text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from editc.core.diagnostics import Diagnostic
from editc.core.language_edits import PromptAnswer
from editc.core.places import Source, Span
from editc.manifests.faults import Faults, list_words, tick
from editc.manifests.slices import KeyedRow

QUESTION = "Question: {}\nAnswer:"
"""The prompt of a row with a `question`: the form of open-unlearning for models without a chat template."""
LAYOUT = 'a row is {"question": ..., "answer": ...}, {"prompt": ..., "answer": ...} or {"text": ...}'
"""Help for a row that cannot be read."""
SUBJECT = ("subject", "author")
"""The keys that may say whom a row is about, the first that is there."""
MOST_FAULTS = 5
"""The most rows of one file that are reported. Chosen by hand: a file in another form is wrong in every row."""


def read_rows(name: str, text: str, faults: Faults) -> tuple[PromptAnswer, ...]:
    """The rows of the file `name` with this text. E126 for each row that cannot be read, with its place in the file.

    A file whose first character is `{` has one JSON object a line: `question` and `answer`, `prompt` and `answer`
    (the prompt as it stands), or `text`; other keys are left alone. Any other file is plain text: its pieces are
    divided by blank lines.
    """
    return tuple(row for _, row in read_keyed_rows(name, text, None, faults))


def read_keyed_rows(name: str, text: str, by: str | None, faults: Faults) -> tuple[KeyedRow, ...]:
    """The same rows, each with the text that decides its slice: the value of its key `by`, which it must then have, or
    its own texts."""
    if not text.lstrip().startswith("{"):
        pieces = (PromptAnswer("", " ".join(one.split())) for one in text.split("\n\n"))
        found = [(str(one.answer), one) for one in pieces if one.answer]
        if by is not None and found:
            message = f"plain text has no key {tick(by)}"
            faults.found.append(Diagnostic("E126", message, Span(1, 1, 1), Source(name, text), help=LAYOUT))
        return tuple(found)
    return _read_lines(Source(name, text), by, faults)


def _read_lines(source: Source, by: str | None, faults: Faults) -> tuple[KeyedRow, ...]:
    """The rows of JSON Lines."""
    found, wrong = list[KeyedRow](), 0
    for number, line in enumerate(source.text.split("\n"), 1):
        if line.strip():
            row = _read_row(line, by)
            if isinstance(row[1], PromptAnswer):
                found.append(row)
            else:
                wrong += 1
                message, column = str(row[0]), int(row[1])
                if wrong <= MOST_FAULTS:
                    span = Span(number, column, max(len(line) - column + 1, 1))
                    faults.found.append(Diagnostic("E126", message, span, source, help=LAYOUT))
    return tuple(found)


def _read_row(line: str, by: str | None) -> KeyedRow | tuple[str, int]:
    """The row of one line with its key; else what is wrong with it, and the column where."""
    try:
        row = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        return "this line is not a JSON object", getattr(error, "colno", 1)
    if not isinstance(row, dict):
        return "this line is not a JSON object", 1
    given = [name for name in ("question", "prompt", "text") if name in row]
    if len(given) != 1:
        what = list_words(given, "and") if given else "no text"
        return f"the row has {what}: it needs one of {list_words(('question', 'prompt', 'text'))}", 1
    wanted = given if given == ["text"] else [*given, "answer"]
    for name in [*wanted, *([] if by is None else [by])]:
        if not isinstance(row.get(name), str) or not row[name].strip():
            there = "is empty" if row.get(name) == "" else "is missing" if name not in row else "is not a text"
            return f"`{name}` {there}", max(line.find(f'"{name}"'), 0) + 1
    made = _row(row, given[0])
    return (f"{made.prompt}\0{made.answer}" if by is None else row[by].strip()), made


def _row(row: Mapping[str, Any], kind: str) -> PromptAnswer:
    """The prompt and the answer of a row, and its `subject` or `author` where it has one."""
    named = [row[one].strip() for one in SUBJECT if isinstance(row.get(one), str)]
    subject = next(iter(named), "")
    if kind == "text":
        return PromptAnswer("", row["text"].strip(), subject)
    prompt = QUESTION.replace("{}", row["question"].strip()) if kind == "question" else row["prompt"].strip()
    return PromptAnswer(prompt, row["answer"].strip(), subject)
