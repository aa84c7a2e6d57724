"""The sentences of a pool by condition, and their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from editc.core.diagnostics import fail
from editc.core.ports import Diffusion
from editc.passes.images.schemes.subject import Subject


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a pool is told of, by condition."""

    prompts: Mapping[str, Sequence[str]]
    """Condition -> its sentences (s,)."""
    rows: Mapping[str, Any]
    """Condition -> the unedited encoder's rows (s, t, d) of them."""

    @staticmethod
    def encode(model: Diffusion, prompts: Mapping[str, Sequence[str]]) -> Conditions:
        """The conditions with their rows. The factors are off."""
        return Conditions(prompts, {name: model.rows(each) for name, each in prompts.items()})


def concept_conditions(model: Diffusion, subject: Subject, count: int, each: bool = False) -> Conditions:
    """`count` sentences that name the concept, by the listed names in turn, or `count` of `each` name: `own`, `target`,
    `empty`, and `other N` for other name number N."""
    names = [name for name in subject.names for _ in range(count)] if each else [*islice(cycle(subject.names), count)]
    contexts = [*subject.sentences(count)] * (len(names) // count)
    prompts = {
        "own": [one.format(name) for one, name in zip(contexts, names, strict=True)],
        "target": [one.format(subject.target) if subject.target else "" for one in contexts],
        "empty": [""] * len(names),
    }
    prompts |= {f"other {i}": [one.format(name) for one in contexts] for i, name in enumerate(subject.others)}
    return Conditions.encode(model, prompts)


def preserved_conditions(model: Diffusion, subject: Subject, count: int) -> Conditions:
    """At most `count` preserved prompts: `own` and `empty`. Raises E248 where there are none."""
    prompts = subject.kept(count)
    if not prompts:
        help_ = (
            "name concepts or prompts under `preserve`, or leave `corpus: none` out; or use a method that keeps none"
        )
        raise fail(
            "E248", f"the method keeps preserved prompts beside `{subject.concept}`, and there are none", help=help_
        )
    return Conditions.encode(model, {"own": prompts, "empty": [""] * len(prompts)})
