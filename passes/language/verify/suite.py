"""Ask a suite before and after an edit, strike the blows, and tell the figures of both beside the oracle's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from editc.core.delta import Array
from editc.core.diagnostics import fail
from editc.core.image_check import SuiteCheck
from editc.core.measurements import Claim
from editc.core.network import Network
from editc.core.ports import Cache
from editc.passes.language.suite import ask
from editc.passes.language.suite.ask import Asking
from editc.passes.language.suite.blows.relearn import CHECKED
from editc.passes.language.suite.data import read_suite
from editc.passes.language.suite.readings import Figure, Figures, Readings
from editc.passes.language.verify.outcome import Asked, KeptOutcomes, Outcome

LEAST = ("forget_quality", "model_utility")
"""The figures whose bounds are minima."""
BOUNDS = (*LEAST, "extraction_strength", "exact_memorization", "forget_said", "benign_refused")
"""The figures that a manifest can bound, by the keys of `verify.suite`."""
HEADLINES = (*BOUNDS, "forget_truth_ratio", "privleak", "forget_choice", "attack_said", "probe_accuracy")
"""The figures that are claims even without a bound."""
SHOWN_GROUPS = ("forget", "retain", "two_hop", "reversed", "other_language", "attack", "benign")
"""The groups whose answers stand side by side in the report."""
SHOWN_ANSWERS = 12
"""The most answers of a group that do. Chosen by hand."""
WRONG_JSON = "give the folder of a model, or a JSON file of figures: a report's `suite`, or open-unlearning's results"
"""What to do about an oracle that cannot be read."""


def measure_suite(
    check: SuiteCheck,
    network: Network,
    changed: Mapping[str, Array],
    folder: Path,
    seed: int = 0,
    oracle: Network | None = None,
    cache: Cache | None = None,
) -> tuple[tuple[Claim, ...], Mapping[str, Any]]:
    """The claims of a suite and its part of report.json. `folder`: where relative paths of the manifest start. What the
    unedited model and the oracle say is kept in `cache`: it is the same for every edit."""
    how = Asking(seed=seed, chat=check.chat)
    items = ask.choose_items(read_suite(check.data, folder), how)
    asked = Asked(network, items, how, check.blows)
    kept = KeptOutcomes(cache, items, repr((how, check.blows)))
    base = network.fingerprint() if cache is not None else ""
    unedited = kept.outcome(lambda: Outcome(ask.figures_of(asked.told, None, how), asked.told), "unedited", base)
    if oracle is None:
        known = Outcome(read_figures(folder / check.oracle) if check.oracle else {}, {})
    else:
        theirs = Asked(oracle, items, how, check.blows)
        mark = oracle.fingerprint() if cache is not None else ""
        known = kept.outcome(lambda: theirs.finish(unedited.figures, {}), "oracle", mark, base)
    figures = json.dumps([[name, one.value, one.by_item] for name, one in known.figures.items()])
    before = kept.outcome(lambda: asked.finish(unedited.figures, known.figures), "before", base, figures)
    after = Asked(network, items, how, check.blows, changed).finish(unedited.figures, known.figures)
    return tuple(_claims(check, before.figures, after.figures)), record(check, before, after, known)


def read_figures(path: Path) -> Figures:
    """Figures from a JSON file: those that `record` writes as the edited model's, or open-unlearning's results. Raises
    E111."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        found = found.get("suite", found)
        if "figures" in found:
            return {
                one["name"]: Figure(float(one["after"]), tuple(map(float, one["by_item"]))) for one in found["figures"]
            }
        return dict(_published(found))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"the oracle's figures cannot be read: {getattr(error, 'strerror', None) or 'this is no such JSON'}"
        raise fail("E111", message, place=str(path), help=WRONG_JSON) from error


def _published(found: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    """The figures of open-unlearning's results: `agg_value`, and of each item `score` or `prob`."""
    for name, one in found.items():
        items = [item for item in one.get("value_by_index", {}).values() if isinstance(item, dict)]
        values = [item.get("score", item.get("prob")) for item in items]
        numbers = tuple(float(value) for value in values if isinstance(value, int | float))
        if one.get("agg_value") is not None:
            yield name, Figure(float(one["agg_value"]), numbers)


def _claims(check: SuiteCheck, before: Figures, after: Figures) -> Iterator[Claim]:
    """One claim `suite` for each of HEADLINES, named by its subject. Utility is a share of the unedited model's."""
    for name in HEADLINES:
        if name not in after:
            continue
        value = after[name].value
        if name == "model_utility":
            value = value / before[name].value if before[name].value else 0.0
        bound = getattr(check, name) if name in BOUNDS else None
        place = check.at(name) if bound is not None else None
        unit = "share" if after[name].unit == "share" else ""
        yield Claim("suite", value, bound, name, place, unit, least=name in LEAST)


def record(check: SuiteCheck, before: Outcome, after: Outcome, oracle: Outcome) -> Mapping[str, Any]:
    """The suite in report.json: every figure before and after the edit and of the oracle (None: not known), curves of
    relearning, and answers side by side."""
    return {
        "data": check.data,
        "oracle": check.oracle,
        "figures": [
            {
                "name": name,
                "unit": one.unit,
                "before": before.figures[name].value if name in before.figures else None,
                "after": one.value,
                "oracle": oracle.figures[name].value if name in oracle.figures else None,
                "by_item": one.by_item,
            }
            for name, one in after.figures.items()
        ],
        "curves": [
            {
                "name": name,
                "steps": CHECKED,
                **{
                    who: figures[name].by_item
                    for who, figures in (("after", after.figures), ("oracle", oracle.figures))
                    if len(figures.get(name, Figure(0.0)).by_item) == len(CHECKED)
                },
            }
            for name in ("relearn_steps", "relearn_beside_steps")
            if name in after.figures
        ],
        "answers": list(_side_by_side(before.readings, after.readings, oracle.readings)),
    }


def _side_by_side(before: Readings, after: Readings, oracle: Readings) -> Iterator[Mapping[str, Any]]:
    """What each model said to the same questions, at most SHOWN_ANSWERS of a group at even steps."""
    for group in SHOWN_GROUPS:
        asked = [i for i, one in enumerate(after.get(group, ())) if one.said]
        count = min(SHOWN_ANSWERS, len(asked))
        for i in (asked[k * len(asked) // count] for k in range(count)):
            item = after[group][i].item
            said = {who: found[group][i].said.strip() for who, found in (("before", before), ("after", after))}
            theirs = oracle[group][i].said.strip() if group in oracle else ""
            yield (
                {"group": group, "kind": item.kind, "question": item.question, "right": item.answer}
                | said
                | {"oracle": theirs}
            )
