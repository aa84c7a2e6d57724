"""Ask tofu-mini of the model that memorised it, of the oracle, and of the model after each edit: the whole suite.

`python -m benchmarks.tofu_mini [--methods "a;b"] [--out FOLDER]` makes both models where they are not there yet
(`benchmarks.tofu_mini.memorise`), builds each edit with `verify: {suite: ...}`, and prints a table in Markdown.
`--model` and `--oracle` name other folders. `--tuning` forgets the four authors on which settings are chosen; options
of a method can be given there as `"npo: {steps: 50}"`. Reports stay in the folder.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.tofu_mini import authors, memorise

RELATIONS = (
    "Question: Where was {} born? Answer:",
    "Question: Which genre is {} known for? Answer:",
    "Question: What is the best-known book by {}? Answer:",
    "Question: Which instrument does {} play? Answer:",
)
"""Questions about each author whose answers an edit is to change."""
STRANGER = "the author Jane Roe"
"""The name that a redirected author leads to."""
CLOSED: Mapping[str, Mapping[str, Any]] = {
    "rocr, noise": {"method": "rocr", "toward": "noise"},
    "rocr, stranger": {"method": "rocr", "to": STRANGER},
    "memit, refusal": {"method": "memit", "toward": "refusal"},
    "alphaedit, stranger": {"method": "alphaedit", "to": STRANGER},
}
"""Name of a row in closed form -> the keys of each author's edit."""
TRAINED: Mapping[str, Mapping[str, Any]] = {
    "graddiff": {},
    "npo": {},
    "simnpo": {},
    "dpo": {},
    "altpo": {},
    "flat": {},
    "undial": {},
    "pdu": {},
    "rmu": {},
    "cir": {},
    "strangers": {},
}
"""Name of a trained row, which is its method -> its options."""
METHODS = (*CLOSED, *TRAINED)
"""Every row."""
FIGURES = (
    "forget_quality",
    "model_utility",
    "forget_truth_ratio",
    "forget_Q_A_Prob",
    "forget_Q_A_ROUGE",
    "extraction_strength",
    "exact_memorization",
    "forget_said",
    "forget_sampled",
    "forget_choice",
    "attack_said",
    "privleak",
    "capability",
    "relearn_steps",
    "relearn_beside_steps",
    "int8.forget_Q_A_Prob",
    "int4.forget_Q_A_Prob",
    "Q4_0.forget_Q_A_Prob",
    "probe_accuracy",
    "seconds",
)
"""The columns of the table."""


def edits_of(row: str, forgotten: tuple[str, ...], files: Mapping[str, str]) -> list[dict[str, Any]]:
    """The edits of a row: one for each author in closed form, one for all where it is trained."""
    if row in CLOSED:
        return [{"erase": name, "relations": list(RELATIONS), **CLOSED[row]} for name in forgotten]
    method, options = next(iter(yaml.safe_load(row).items())) if ":" in row else (row, TRAINED[row])
    data = {"forget": {"file": files["forget"], "concept": "four authors"}, "retain": {"file": files["retain"]}}
    return [{**data, "method": method, **options}]


def build(row: str, forgotten: tuple[str, ...], model: Path, oracle: Path, out: Path) -> Mapping[str, Any]:
    """Build one row where its report is not there yet; returns its report, with the processor seconds of the build."""
    import editc

    report, cost = out / "report.json", out / "seconds.txt"
    if not report.is_file():
        files = authors.write_rows(out.parent / "rows", forgotten)
        check = {"data": files["suite"], "oracle": str(oracle), "blows": ["relearn", "rounding", "probes"]}
        edits = edits_of(row, forgotten, files)
        begin = time.process_time()
        asked = {"verify": {"suite": check}, "constraints": {"bystander_loss": 1}}
        editc.build({"editc": 1, "model": str(model), "edits": edits, **asked}, out)
        cost.write_text(f"{time.process_time() - begin:.0f}")
    found: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))["suite"]
    return {**found, "seconds": float(cost.read_text())}


def rows(found: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name of a row -> its figures: the model before any edit, the oracle, and each edit."""
    first = next(iter(found.values()))
    for name, who in (("unedited", "before"), ("oracle", "oracle")):
        yield name, {one["name"]: one[who] for one in first["figures"]}
    for name, suite in found.items():
        yield name, {one["name"]: one["after"] for one in suite["figures"]} | {"seconds": suite["seconds"]}


def cell(value: Any) -> str:
    """A figure as text."""
    return "" if value is None else str(value) if isinstance(value, str) else f"{value:.3g}"


def main() -> None:
    """Build every row and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tofu_mini", description=__doc__)
    parser.add_argument("--methods", default=";".join(METHODS), help="rows, separated by ;")
    parser.add_argument("--out", type=Path, default=Path("out/tofu-mini"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--oracle", type=Path)
    parser.add_argument("--tuning", action="store_true", help="forget the authors on which settings are chosen")
    given = parser.parse_args()
    forgotten = authors.TUNING if given.tuning else authors.FORGOTTEN
    model = (given.model or memorise.made("full")).resolve()
    oracle = (given.oracle or memorise.made(authors.ORACLES[forgotten])).resolve()
    found = {}
    for name in given.methods.split(";"):
        found[name] = build(name, forgotten, model, oracle, given.out / re.sub(r"[^a-z0-9.]+", "-", name))
    print("| | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * len(FIGURES))
    for name, figures in rows(found):
        print(f"| {name} | " + " | ".join(cell(figures.get(one)) for one in FIGURES) + " |", flush=True)


if __name__ == "__main__":
    main()
