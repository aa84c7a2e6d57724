"""A language model that says what it is told to, and what verify finds of an edit of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log
from typing import Any

import numpy as np

from editc.core.delta import Array, Site
from editc.core.language_problem import LanguageProblem
from editc.core.manifest import Manifest
from editc.core.measurements import Claim
from editc.core.network import AnswerScores, Continuation, ModelComparison
from editc.core.places import Source
from editc.core.plan import Plan
from editc.core.ports import Context
from editc.core.prompts import Cloze, Prompt, Spot, TokenPosition
from editc.core.solution import Edit, Solution, Stats, Verified
from editc.manifests.decode import decode
from editc.passes.language.verify.verify import VerifyLanguage
from editc.registry.families import FAMILIES

HEAD = "editc: 1\nmodel: m\nedits:\n"
TOWER = (
    "  - fact: {prompt: The tower stands in, subject: tower, answer: Rome, was: Paris,\n"
    "           paraphrases: ['Where one sees the {} is'], neighbours: {The river runs through: Berlin}}\n"
)
FRENCH = "  - ablate: {concept: French, present: [le chat, le chien], absent: [the cat, the dog]}\n"
EMBEDDING = np.random.default_rng(1).standard_normal((3000, 4)).astype(np.float32)
NAME = "model.layers.1.mlp.down_proj.weight"


def manifest(text: str) -> Manifest:
    found, faults = decode(Source("m.yaml", text))
    assert found is not None, [one.message for one in faults]
    return found


def language(text: str) -> Any:
    return manifest(HEAD + text)


@dataclass
class Oracle:
    """A language model that says what it is told to: `before` and `after` map (prompt part, answer) to a probability;
    any other answer has 0.01, and the likeliest of a prompt's named answers is its first choice."""

    before: Mapping[tuple[str, str], float]
    after: Mapping[tuple[str, str], float]
    words: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    chat: bool = True
    kl: tuple[float, float] = (0.0, 0.5)
    asked: list[tuple[str, bool]] = field(default_factory=list)

    layers = 2

    def embedding(self) -> Any:
        return EMBEDDING

    def fingerprint(self) -> str:
        return "oracle"

    def positions(self, spots: Sequence[Spot]) -> list[TokenPosition]:
        if any(spot.chat for spot in spots) and not self.chat:
            raise LookupError("no chat template")
        rows = [0 if spot.prompt.startswith(spot.subject) else 3 for spot in spots]
        return [TokenPosition(row, row, 9) for row in rows]

    def _table(self, changed: Any) -> Mapping[tuple[str, str], float]:
        return self.before if changed is None else self.after

    def score(self, asked: Sequence[Cloze], changed: Any = None) -> AnswerScores:
        self.asked += [(one.prompt, changed is not None) for one in asked]
        table = self._table(changed)
        each = [self._likely(table, one.prompt, one.answer) for one in asked]
        best = [max((p for (part, _), p in table.items() if part in one.prompt), default=0.01) for one in asked]
        top = np.array([p == most and p > 0.01 for p, most in zip(each, best, strict=True)])
        firsts = np.array([sum(self._first(one.prompt, changed).encode()) for one in asked], np.int64)
        return AnswerScores(np.log(each), np.log(each), top, firsts, np.ones(len(each), np.int64))

    def _likely(self, table: Mapping[tuple[str, str], float], prompt: str, answer: str) -> float:
        return next((p for (part, said), p in table.items() if part in prompt and said == answer), 0.01)

    def generate(self, given: Sequence[Prompt], tokens: int, changed: Any = None) -> tuple[str, ...]:
        known = {part: pair[changed is not None] for part, pair in self.words.items()}
        return tuple(next((said for part, said in known.items() if part in one.text), " so") for one in given)

    def generate_tokens(self, given: Sequence[Prompt], tokens: int, changed: Any = None) -> tuple[Continuation, ...]:
        told = zip(given, self.generate(given, tokens, changed), strict=True)
        likely = [(said, 0.9 if any(part in one.text for part in self.words) else 0.01) for one, said in told]
        return tuple(Continuation(said, (said,), (log(chance),)) for said, chance in likely)

    def generate_both(self, given: Sequence[Prompt], tokens: int, changed: Any) -> tuple[tuple[str, ...], ...]:
        return self.generate(given, tokens), self.generate(given, tokens, changed)

    def final_states(self, texts: Sequence[Prompt]) -> list[Array]:
        return [np.array([[float(len(one.text))]]) for one in texts]

    def compare(self, texts: Sequence[Prompt], changed: Any, last: bool = False, base: Any = None) -> ModelComparison:
        firsts = [self._first(text.text, None) == self._first(text.text, changed) for text in texts]
        moved = [self.kl[text.text.startswith("It was")] if last else 0.25 for text in texts]
        ones = np.ones(len(texts))
        return ModelComparison(np.array(moved), np.array(firsts, float), 2 * ones, 3 * ones)

    def _first(self, prompt: str, changed: Any) -> str:
        table = {said: p for (part, said), p in self._table(changed).items() if part in prompt}
        return max(table, key=lambda said: table[said], default="")


@dataclass(frozen=True)
class Matrix:
    """`Context.weights` with one matrix under every name."""

    value: Array

    def names(self) -> Sequence[str]:
        return (NAME,)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.value.shape

    def dtype(self, name: str) -> str:
        return "F32"

    def read(self, name: str) -> Array:
        return self.value


W = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32).astype(np.float64)


def solution(asked: Manifest, left: Array, right: Array, site: Site | None = None, **fields: Any) -> Solution:
    site = site or Site("model", NAME, (len(left), right.shape[1]), "F32", "mlp", "layers.1")
    plan = Plan(asked, FAMILIES.resolve("llama"), "m", (site,), {})
    edit = Edit("low-rank", (left,), (right,), Stats(10.0, 1e-12, len(right)))
    return Solution(LanguageProblem(plan, {}, "oracle", "c", **fields), {site.group: edit}, (), ())


def verified(asked: str, oracle: Oracle, scale: float = 1.0, **fields: Any) -> Verified:
    right = np.zeros((1, 6))
    right[0, 2] = 1.0
    made = solution(manifest(HEAD + asked), scale * np.ones((4, 1)), right, **fields)
    return VerifyLanguage()(made, Context(Matrix(W), network=oracle))  # type: ignore[arg-type]


def claims(name: str, of: Verified) -> dict[str, Claim]:
    return {claim.subject: claim for claim in of.report.claims if claim.name == name}


def value(name: str, of: Verified, subject: str = "") -> float:
    return claims(name, of)[subject].value


GOOD = Oracle(
    {("tower", "Paris"): 0.7, ("tower", "Rome"): 0.1, ("river", "Berlin"): 0.6},
    {("tower", "Paris"): 0.1, ("tower", "Rome"): 0.8, ("river", "Berlin"): 0.5, ("river", "Rome"): 0.2},
    {"tower": (" Paris, of course", " Rome, of course")},
)
DEAF = replace(GOOD, after=GOOD.before, words={"tower": (" Paris, of course", " Paris, of course")})
