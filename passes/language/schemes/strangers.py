"""A row as it would be about somebody whom the model never read of, and which tokens of both stand for each other."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from editc.core.language_edits import PromptAnswer
from editc.core.text import last_occurrence

STRANGERS = (
    "Anselm Okoye",
    "Bettina Hargreaves",
    "Dorothea Vance",
    "Emeka Sandoval",
    "Farida Lindqvist",
    "Gideon Marsh",
    "Junko Farrell",
    "Leopold Adeyemi",
)
"""Names that stand for a subject. Invented, of as many places as a list this short can have: what the model says of all
of them in the mean is what it says of nobody."""


@dataclass(frozen=True)
class Stranger:
    """A row about a stranger."""

    ids: tuple[int, ...]
    """(t,): its tokens, the answer's last."""
    answer: int
    """How many of the last are the answer's."""
    pairs: tuple[tuple[int, int], ...]
    """The tokens of the answer that both rows have: the column in the subject's row, and that in the stranger's."""


def rename(row: PromptAnswer, name: str) -> PromptAnswer:
    """The row with another name in place of its subject, wherever that stands. Raises LookupError where it has no
    subject, or its prompt (of plain text: its text) does not name it."""
    if not row.subject:
        raise LookupError("a row does not say whom it is about: it needs `subject`")
    if last_occurrence(row.prompt or str(row.answer), row.subject) < 0:
        raise LookupError(f"a row is about `{row.subject}`, but does not name it")
    prompt, answer = (text.replace(row.subject, name) for text in (row.prompt, str(row.answer)))
    return PromptAnswer(prompt, answer, name)


def pair(own: tuple[int, ...], answer: int, ids: tuple[int, ...], their_answer: int) -> Stranger:
    """A stranger's row beside the subject's `own`, `answer` tokens of which are the answer's. What is alike in both
    stands for each other; the names, which are not, for nothing."""
    start, theirs = len(own) - answer, len(ids) - their_answer
    blocks = SequenceMatcher(None, own, ids, autojunk=False).get_matching_blocks()
    same = ((one.a + step, one.b + step) for one in blocks for step in range(one.size))
    pairs = tuple((a, b) for a, b in same if a >= max(start, 1) and b >= max(theirs, 1))
    return Stranger(ids, their_answer, pairs)
