"""What a loader will do with an adapter: a row for each module, and one sentence for all of them."""

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
"""Modules left out for which the nearest name is looked for: a comparison with every name of a model is slow."""

Outcome = Literal["applies", "partly", "nothing", "refused", "not judged"]
Fate = Literal["applied", "wrong", "lost", "unknown"]


@dataclass(frozen=True)
class LoaderRule:
    """One thing that a loader does."""

    name: str
    """A name for it, one of its kind in the project."""
    says: str
    """What it does, in a sentence."""
    source: str
    """Where that stands."""
    how: Literal["run", "measured", "read"]
    """Whether it was `run` (by this project's tests, with the real library), `measured` (by its fixtures' README) or
    only `read`."""

    @property
    def cited(self) -> str:
        """The source, and that nobody ran it where so."""
        return f"{self.source} (read, not run)" if self.how == "read" else self.source


@dataclass(frozen=True)
class ModuleRow:
    """What becomes of one module."""

    module: str
    """Its name in the file."""
    fate: Fate
    """What becomes of it."""
    rule: LoaderRule
    """The rule by which it does."""
    target: str = ""
    """The module of the model that it was matched with. Empty: none."""
    scale: float | None = None
    """The scale at which the loader applies it. None where it does not."""
    meant: float | None = None
    """The scale at which the file means it. None where that is not known."""
    near: str = ""
    """The nearest name that the model has. Empty: not looked for, or none is near."""


@dataclass(frozen=True)
class LoaderVerdict:
    """What one loader does with an adapter."""

    loader: str
    """The loader."""
    outcome: Outcome
    """What comes of it."""
    reason: str
    """The rule that decides, in its own words."""
    advice: str = ""
    """What to do about it. Empty: nothing."""
    error: str = ""
    """What the loader raises. Empty: it does not stop."""
    rows: tuple[ModuleRow, ...] = ()
    """A row for each module."""
    rules: tuple[LoaderRule, ...] = ()
    """Every rule that was used."""

    def count(self, fate: Fate) -> int:
        """How many modules share this fate."""
        return sum(row.fate == fate for row in self.rows)


def refuse(loader: str, rule: LoaderRule, error: str, advice: str, rows: Sequence[ModuleRow] = ()) -> LoaderVerdict:
    """The loader stops with `error`; nothing is loaded."""
    return LoaderVerdict(loader, "refused", rule.says, advice, error, tuple(rows), (rule,))


def no_verdict(loader: str, reason: str) -> LoaderVerdict:
    """The loader is not for this kind of model, or the doctor cannot say."""
    return LoaderVerdict(loader, "not judged", reason)


def conclude(loader: str, rows: Sequence[ModuleRow], advice: Mapping[str, str], fallback: str = "") -> LoaderVerdict:
    """The verdict that the rows add up to; the reason is the rule behind most of the rows that are not applied. A file
    with one module whose fate is not known is not judged."""
    open_ = [row.rule for row in rows if row.fate == "unknown"]
    if open_:
        return LoaderVerdict(
            loader, "not judged", open_[0].says, advice.get(open_[0].name, fallback), rules=(open_[0],)
        )
    fates = Counter(row.fate for row in rows)
    rules = tuple(dict.fromkeys(row.rule for row in rows))
    if fates["applied"] == len(rows) and rows:
        return LoaderVerdict(loader, "applies", rules[0].says, rows=tuple(rows), rules=rules)
    worst = Counter(row.rule for row in rows if row.fate != "applied").most_common(1)
    reason = worst[0][0] if worst else None
    said = reason.says if reason else "the file has no module"
    help_text = advice.get(reason.name, fallback) if reason else fallback
    outcome: Outcome = "partly" if fates["applied"] or fates["wrong"] else "nothing"
    return LoaderVerdict(loader, outcome, said, help_text, rows=tuple(rows), rules=rules)


def scaled_row(
    module: FileModule, target: str, scale: float, meant: float, right: LoaderRule, wrong: LoaderRule
) -> ModuleRow:
    """The row of a module that was matched, `applied` if its scale is the one meant."""
    good = isclose(scale, meant, rel_tol=1e-6)
    return ModuleRow(module.name, "applied" if good else "wrong", right if good else wrong, target, scale, meant)


def unknown_row(module: FileModule, rule: LoaderRule) -> ModuleRow:
    """A module of which the doctor cannot say what the loader does."""
    return ModuleRow(module.name, "unknown", rule)


def lost_row(module: FileModule, rule: LoaderRule) -> ModuleRow:
    """The row of a module that the loader finds no place for."""
    return ModuleRow(module.name, "lost", rule)


def add_nearest(verdicts: Sequence[LoaderVerdict], known: KnownModules) -> tuple[LoaderVerdict, ...]:
    """The verdicts with the nearest module of the model beside the first NAMED that a loader leaves out of many."""
    near: dict[str, str] = {}

    def add_to(verdict: LoaderVerdict) -> LoaderVerdict:
        left = [row.module for row in verdict.rows if row.fate == "lost" and not row.target][:NEAREST_AT_MOST]
        near.update({name: nearest(name, known) for name in left if name not in near})
        rows = (replace(row, near=near[row.module]) if row.module in left else row for row in verdict.rows)
        return replace(verdict, rows=tuple(rows))

    return tuple(add_to(verdict) if verdict.outcome == "partly" else verdict for verdict in verdicts)


def nearest(name: str, known: KnownModules) -> str:
    """The module of the model whose name is most like this one, or ''."""
    flattened = {flatten(module): module for module in known.modules}
    found = get_close_matches(flatten(name.partition(".")[2] or name), flattened, n=1, cutoff=0.8)
    return flattened[found[0]] if found else ""


def meant_scale(adapter: AdapterFile, module: FileModule, component: str = "") -> float:
    """The scale at which the file means a module's up times down: from its config or metadata, its alpha, or 1."""
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
    """PEFT's scale: alpha over rank, or over its root with rsLoRA, each by its pattern. 8 and 8 where none is given."""
    rank, alpha = (
        config_rank(config, module),
        _read_pattern(config, "alpha_pattern", module, config.get("lora_alpha", 8)),
    )
    return 0.0 if rank <= 0 else float(alpha / rank**0.5 if config.get("use_rslora") else alpha / rank)


def config_rank(config: Mapping[str, Any], module: str) -> float:
    """PEFT's rank of a module: by `rank_pattern`, else `r`."""
    return _read_pattern(config, "rank_pattern", module, config.get("r", 8))


def fits(module: FileModule, shape: Shape, strict: bool) -> bool:
    """Whether up times down has the shape of the weight; `strict` as PEFT's layers want them, dimension by dimension.

    A weight whose shape is not known fits.
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
    """The first pattern that is the module's name, or an end of it after a dot (peft utils/other.py)."""
    patterns = config.get(name) or {}
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        plain = pattern.removeprefix("^")
        if module == plain or (plain == pattern and module.endswith(f".{plain}")):
            default = value
            break
    return float(default) if isinstance(default, int | float) else 0.0
