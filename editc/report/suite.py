"""What the HTML report shows of a suite: figures before and after beside the oracle's, relearning, answers side by
side, and what a reader may conclude."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.report.panels import Curve, Panel, Places, draw_panels
from editc.report.words import figure, percent

TABLES: Mapping[str, tuple[str, ...]] = {
    "Forgetting": (
        "forget_quality",
        "forget_truth_ratio",
        "forget_Q_A_Prob",
        "forget_Q_A_ROUGE",
        "forget_verbmem_ROUGE",
        "extraction_strength",
        "exact_memorization",
        "forget_said",
        "forget_sampled",
    ),
    "Asked otherwise": (
        "forget_choice",
        "two_hop_said",
        "reversed_said",
        "other_language_said",
        "attack_said",
        "attack_said.",
    ),
    "Membership": ("mia_loss", "mia_min_k", "mia_min_k_plus_plus", "mia_zlib", "privleak"),
    "What must stay": (
        "model_utility",
        "retain_",
        "ra_",
        "wf_",
        "real_authors_",
        "world_facts_",
        "capability",
        "benign_",
    ),
    "After a blow": ("relearn_", "int8.", "int4.", "Q8_0.", "Q4_0.", "probe_"),
}
"""Title of a table -> the names, or beginnings of names (with a mark at the end), of its figures, in its order."""
TITLES: Mapping[str, str] = {
    "relearn_steps": "Relearning on the forgotten text",
    "relearn_beside_steps": "Relearning on text beside it",
}
"""Name of a curve -> its title."""
GROUPS: Mapping[str, str] = {
    "forget": "To be forgotten",
    "retain": "To be kept",
    "two_hop": "Two steps away",
    "reversed": "Reversed",
    "other_language": "In another language",
    "attack": "Attack prompts",
    "benign": "Harmless prompts",
}
"""Group of questions -> its title."""
UNKNOWN = "\u2013"
"""What stands for a figure that is not known: a dash."""
SAME_LEVEL = 0.05
"""The usual level of the KS test: TOFU calls a model above it indistinguishable from the oracle."""


@dataclass(frozen=True)
class SuiteTable:
    """Some figures of a suite."""

    title: str
    """What they are about."""
    rows: tuple[tuple[str, str, str, str], ...]
    """Name, and the figure before the edit, after it, and of the oracle, as text; UNKNOWN where it is not known."""


@dataclass(frozen=True)
class SuitePart:
    """The part of the page about a suite."""

    data: str
    """The suite."""
    tables: tuple[SuiteTable, ...]
    """Its figures."""
    curves: tuple[tuple[str, str], ...]
    """Title and SVG element of each relearning curve."""
    answers: tuple[tuple[str, tuple[Mapping[str, Any], ...]], ...]
    """Title of a group, and its answers side by side."""
    may: tuple[str, ...]
    """What a reader may conclude."""
    may_not: tuple[str, ...]
    """What a reader may not."""


def suite_part(record: Mapping[str, Any]) -> SuitePart | None:
    """The part of the page; None where no suite was asked."""
    found = record.get("suite")
    if not found:
        return None
    figures = {one["name"]: one for one in found["figures"]}
    tables = tuple(table for title, names in TABLES.items() if (table := _table(title, names, figures)).rows)
    groups = dict.fromkeys(one["group"] for one in found["answers"])
    answers = tuple(
        (GROUPS.get(group, group), tuple(one for one in found["answers"] if one["group"] == group)) for group in groups
    )
    curves = tuple((TITLES.get(one["name"], one["name"]), _curve(one)) for one in found["curves"] if one.get("after"))
    return SuitePart(found["data"], tables, curves, answers, tuple(_may(figures)), tuple(_may_not(found, figures)))


def _table(title: str, names: Sequence[str], figures: Mapping[str, Mapping[str, Any]]) -> SuiteTable:
    """The figures that these names, or beginnings of names, call."""
    chosen: dict[str, Mapping[str, Any]] = {}
    for name in names:
        if name in figures:
            chosen[name] = figures[name]
        elif name.endswith(("_", ".")):
            chosen |= {other: one for other, one in figures.items() if other.startswith(name)}
    rows = [(name, _text(one, "before"), _text(one, "after"), _text(one, "oracle")) for name, one in chosen.items()]
    return SuiteTable(title, tuple(rows))


def _text(one: Mapping[str, Any], who: str) -> str:
    """A figure as text; shares in per cent, `never` for steps that did not suffice."""
    value = one[who]
    if value is None:
        return UNKNOWN
    if one["unit"] == "steps":
        return "never" if value == "inf" else f"{value:g}"
    return percent(value) if one["unit"] == "share" else figure(value)


def _curve(one: Mapping[str, Any]) -> str:
    """Draw the probability of the forgotten answers over steps of training, of this model and of the oracle."""
    curves = tuple(
        Curve(colour, name, tuple(min(value, 1.0) for value in one[who]), tuple(f"{value:.3f}" for value in one[who]))
        for who, colour, name in (("after", "bad", "edited"), ("oracle", "k", "oracle"))
        if one.get(who)
    )
    steps = ", ".join(str(step) for step in one["steps"])
    panel = Panel(
        f"Probability of the forgotten answers after {steps} steps", curves, ((0.0, "0"), (0.5, "0.5"), (1.0, "1"))
    )
    return draw_panels((panel,), Places(len(one["steps"]), "checked"), "Relearning by step")


def _may(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Sentences that the figures bear out."""
    if (quality := figures.get("forget_quality")) is not None:
        told = "cannot be told" if quality["after"] > SAME_LEVEL else "can be told"
        alike = (quality["before"] or 0) > SAME_LEVEL
        known = "; nor could the unedited model be told, so this proves nothing" if alike else ""
        yield f"By truth ratios this model {told} from the oracle (p = {figure(quality['after'])}){known}."
    if (said := figures.get("forget_said")) is not None:
        yield f"It answers {percent(said['after'])} of the forgotten questions right by itself; {_was(said)}."
    if (utility := figures.get("model_utility")) is not None and utility["before"]:
        yield f"It has {percent(utility['after'] / utility['before'])} of the utility that it had."


def _was(one: Mapping[str, Any]) -> str:
    return f"before the edit it was {percent(one['before'])}"


def _may_not(found: Mapping[str, Any], figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """What the figures leave open."""
    yield "That no other prompt brings an answer back: a suite asks the questions that it has."
    if "forget_quality" in figures:
        yield "That the model equals the oracle: above 0.05, p only says that these few questions tell no difference."
    else:
        yield "That the model is like one that never saw the answers: no oracle was named, so this was not measured."
    if not found["curves"]:
        yield "That training does not bring the answers back: no relearning was tried (`blows: [relearn]`)."
    if not any(name.startswith("int4") for name in figures):
        yield "That rounding to 8 or 4 bits brings nothing back: it was not tried (`blows: [rounding]`)."
    yield "That figures compare with those of other models or other suites: they compare within this table only."
