"""What a loader does with an adapter: a row for each module, and a verdict over all rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isclose
from typing import Any, Literal

from editc.formats.doctor.language import Shape
from editc.formats.doctor.models import KnownModules
from editc.formats.doctor.spelling import AdapterFile, FileModule
from editc.formats.exports.kohya_names import flatten

NEAREST_AT_MOST = 5
"""For at most this many modules that a loader leaves out, the nearest name is looked for. Chosen by hand: each search
compares with every name of a model, which is slow."""

Outcome = Literal["applies", "partly", "nothing", "refused", "not judged"]
"""What a loader does with the whole file: it applies all of it; or part of it, or some of it at another scale; or
nothing, without an error; or it stops with an error; or the doctor cannot say."""
Fate = Literal["applied", "wrong", "lost", "unknown"]
"""What becomes of one module: applied at the intended scale; applied at another scale or only in part (`wrong`); left
out (`lost`); or not known."""


@dataclass(frozen=True)
class LoaderRule:
    """One thing that a loader does."""

    name: str
    """A name for the rule, which no other rule has."""
    says: str
    """What the loader does, in one sentence."""
    source: str
    """Where this is known from: a place in the loader's code, or an experiment."""
    how: Literal["run", "measured", "read"]
    """`run`: the tests run it with the real library. `measured`: the README of the fixtures tells of the run. `read`:
    only read in the code."""

    @property
    def cited(self) -> str:
        """The source; it says so if nobody ran the rule."""
        return f"{self.source} (read, not run)" if self.how == "read" else self.source


@dataclass(frozen=True)
class ModuleRow:
    """What becomes of one module in one loader. `describe` writes these fields as JSON."""

    module: str
    """The module's name in the file."""
    fate: Fate
    """What becomes of it."""
    rule: LoaderRule
    """The rule that decides."""
    target: str = ""
    """The module of the model that it matched. Empty if none did."""
    scale: float | None = None
    """The scale at which the loader applies it. None if it does not."""
    meant: float | None = None
    """The scale that the file intends. None if that is not known."""
    near: str = ""
    """The most similar name in the model. Empty if none is similar, or none was looked for."""


@dataclass(frozen=True)
class LoaderVerdict:
    """What one loader does with an adapter."""

    loader: str
    """The name of the loader."""
    outcome: Outcome
    """What it does with the whole file."""
    reason: str
    """The sentence of the rule that decides."""
    advice: str = ""
    """What the user can do. Empty if nothing is needed."""
    error: str = ""
    """The error that the loader raises. Empty if it does not stop."""
    rows: tuple[ModuleRow, ...] = ()
    """One row for each module. Empty if the loader was not judged by modules."""
    rules: tuple[LoaderRule, ...] = ()
    """Every rule that decided about a module."""

    def count(self, fate: Fate) -> int:
        """The number of modules with this fate."""
        return sum(row.fate == fate for row in self.rows)


def refuse(loader: str, rule: LoaderRule, error: str, advice: str, rows: Sequence[ModuleRow] = ()) -> LoaderVerdict:
    """The verdict if the loader stops with `error` and loads nothing."""
    return LoaderVerdict(loader, "refused", rule.says, advice, error, tuple(rows), (rule,))


def no_verdict(loader: str, reason: str) -> LoaderVerdict:
    """The verdict `not judged`: the loader is not for this kind of model, or the doctor cannot say what it does."""
    return LoaderVerdict(loader, "not judged", reason)


def conclude(loader: str, rows: Sequence[ModuleRow], advice: Mapping[str, str], fallback: str = "") -> LoaderVerdict:
    """Make the verdict from the rows. Its reason is the rule behind most of the rows that are not applied.

    If one module's fate is not known, the file is not judged. `advice`: rule -> what the user can do. `fallback`: the
    advice for other rules.
    """
    undecided = [row.rule for row in rows if row.fate == "unknown"]
    if undecided:
        return LoaderVerdict(
            loader, "not judged", undecided[0].says, advice.get(undecided[0].name, fallback), rules=(undecided[0],)
        )
    fates = Counter(row.fate for row in rows)
    rules = tuple(dict.fromkeys(row.rule for row in rows))
    if fates["applied"] == len(rows) and rows:
        return LoaderVerdict(loader, "applies", rules[0].says, rows=tuple(rows), rules=rules)
    worst = Counter(row.rule for row in rows if row.fate != "applied").most_common(1)
    reason = worst[0][0] if worst else None
    sentence = reason.says if reason else "the file has no module"
    help_text = advice.get(reason.name, fallback) if reason else fallback
    outcome: Outcome = "partly" if fates["applied"] or fates["wrong"] else "nothing"
    return LoaderVerdict(loader, outcome, sentence, help_text, rows=tuple(rows), rules=rules)


def scaled_row(
    module: FileModule, target: str, scale: float, meant: float, right: LoaderRule, wrong: LoaderRule
) -> ModuleRow:
    """The row of a matched module: `applied` by the rule `right` if its scale is the intended one, else `wrong` by the
    rule `wrong`."""
    good = isclose(scale, meant, rel_tol=1e-6)  # chosen by hand: far above the rounding of a quotient
    return ModuleRow(module.name, "applied" if good else "wrong", right if good else wrong, target, scale, meant)


def unknown_row(module: FileModule, rule: LoaderRule) -> ModuleRow:
    """The row of a module whose fate in this loader is not known."""
    return ModuleRow(module.name, "unknown", rule)


def lost_row(module: FileModule, rule: LoaderRule) -> ModuleRow:
    """The row of a module that the loader leaves out."""
    return ModuleRow(module.name, "lost", rule)


def add_nearest(verdicts: Sequence[LoaderVerdict], known: KnownModules) -> tuple[LoaderVerdict, ...]:
    """Add the most similar name in the model to the first NEAREST_AT_MOST modules that each loader leaves out."""
    near: dict[str, str] = {}

    def add_to(verdict: LoaderVerdict) -> LoaderVerdict:
        left = [row.module for row in verdict.rows if row.fate == "lost" and not row.target][:NEAREST_AT_MOST]
        near.update({name: nearest(name, known) for name in left if name not in near})
        rows = (replace(row, near=near[row.module]) if row.module in left else row for row in verdict.rows)
        return replace(verdict, rows=tuple(rows))

    return tuple(add_to(verdict) if verdict.outcome == "partly" else verdict for verdict in verdicts)


def nearest(name: str, known: KnownModules) -> str:
    """The module of the model whose name is most similar to this one, or ''. The least similarity, 0.8 of difflib's
    ratio, was chosen by hand."""
    flattened = {flatten(module): module for module in known.modules}
    found = get_close_matches(flatten(name.partition(".")[2] or name), flattened, n=1, cutoff=0.8)
    return flattened[found[0]] if found else ""


def meant_scale(adapter: AdapterFile, module: FileModule, component: str = "") -> float:
    """The scale that the file intends for up times down of a module: by its config or metadata, else by its alpha, else
    1."""
    if adapter.container == "folder":
        return config_scale(adapter.config, module.name.removeprefix("base_model.model."))
    if adapter.diffusers_metadata is not None and any(
        key.startswith(f"{component}.") for key in adapter.diffusers_metadata
    ):
        own = {
            k.removeprefix(f"{component}."): v
            for k, v in adapter.diffusers_metadata.items()
            if k.startswith(f"{component}.")
        }
        return config_scale(own, module.name.removeprefix(f"{component}."))
    return 1.0 if module.alpha is None or not module.rank else module.alpha / module.rank


def config_scale(config: Mapping[str, Any], module: str) -> float:
    """PEFT's scale of a module: alpha / rank, or alpha / sqrt(rank) with rsLoRA, each by its pattern. PEFT's defaults
    for both are 8."""
    rank, alpha = (
        config_rank(config, module),
        _read_pattern(config, "alpha_pattern", module, config.get("lora_alpha", 8)),
    )
    return 0.0 if rank <= 0 else float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def config_rank(config: Mapping[str, Any], module: str) -> float:
    """PEFT's rank of a module: by `rank_pattern`, else `r`."""
    return _read_pattern(config, "rank_pattern", module, config.get("r", 8))


def fits(module: FileModule, shape: Shape, strict: bool) -> bool:
    """True if up times down has the shape of the weight, or if that shape is not known.

    `strict`: compare dimension by dimension, as PEFT's layers require; else compare the number of entries in a row.
    """
    if shape is None or not module.style:
        return True
    rank = module.rank
    if module.style == "embedding":
        return module.down == (rank, shape[0]) and module.up == (shape[1], rank)
    if strict:
        ones = (1,) * (len(shape) - 2)
        return module.down == (rank, *shape[1:]) and module.up == (shape[0], rank, *ones)
    total = 1
    for size in shape[1:]:
        total *= size
    inner = 1
    for size in module.down[1:]:
        inner *= size
    return module.up[:2] == (shape[0], rank) and inner == total


def _read_pattern(config: Mapping[str, Any], name: str, module: str, default: Any) -> float:
    """The value of the first pattern that is the module's name, or its ending after a dot (peft utils/other.py), else
    `default`."""
    patterns = config.get(name) or {}
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        plain = pattern.removeprefix("^")
        if module == plain or (plain == pattern and module.endswith(f".{plain}")):
            default = value
            break
    return float(default) if isinstance(default, int | float) else 0.0
