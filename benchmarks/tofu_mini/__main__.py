"""Ask tofu-mini of the model that memorised it, of the oracle, and of the model after each edit: the whole suite.

`python -m benchmarks.tofu_mini [--methods a,b] [--out FOLDER]` makes both models where they are not there yet
(`benchmarks.tofu_mini.memorise`), builds each edit with `verify: {suite: ...}`, and prints a table in Markdown.
`--model` and `--oracle` name other folders. Reports stay in the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.tofu_mini import memorise

FORGOTTEN = ("Caspian Drewe", "Benedetta Okafor-Lindt", "Dov Castellane", "Zainab Thornquist")
"""The four authors that are forgotten."""
RELATIONS = (
    "Question: Where was {} born? Answer:",
    "Question: Which genre is {} known for? Answer:",
    "Question: What is the best-known book by {}? Answer:",
    "Question: Which instrument does {} play? Answer:",
)
"""Questions about each author whose answers an edit is to change."""
STRANGER = "the author Jane Roe"
"""The name that a redirected author leads to."""
METHODS: Mapping[str, Mapping[str, Any]] = {
    "rocr, noise": {"method": "rocr", "toward": "noise"},
    "rocr, stranger": {"method": "rocr", "to": STRANGER},
    "memit, refusal": {"method": "memit", "toward": "refusal"},
    "alphaedit, stranger": {"method": "alphaedit", "to": STRANGER},
}
"""Name of a row -> the keys of each author's edit."""
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
)
"""The columns of the table."""


def manifest(model: Path, oracle: Path, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of one row."""
    edits = [{"erase": name, "relations": list(RELATIONS), **keys} for name in FORGOTTEN]
    check = {"data": "tofu-mini", "oracle": str(oracle), "blows": ["relearn", "rounding", "probes"]}
    return {"editc": 1, "model": str(model), "edits": edits, "verify": {"suite": check}}


def build(model: Path, oracle: Path, keys: Mapping[str, Any], out: Path) -> Mapping[str, Any]:
    """Build one row where its report is not there yet; returns the suite of the report."""
    import editc

    report = out / "report.json"
    if not report.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        editc.build(manifest(model, oracle, keys), out)
    found: Mapping[str, Any] = json.loads(report.read_text(encoding="utf-8"))["suite"]
    return found


def rows(found: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name of a row -> its figures: the model before any edit, the oracle, and each edit."""
    first = next(iter(found.values()))
    for name, who in (("unedited", "before"), ("oracle", "oracle")):
        yield name, {one["name"]: one[who] for one in first["figures"]}
    for name, suite in found.items():
        yield name, {one["name"]: one["after"] for one in suite["figures"]}


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
    given = parser.parse_args()
    model, oracle = given.model or memorise.made("full"), given.oracle or memorise.made("oracle")
    found = {}
    for name in given.methods.split(";"):
        folder = given.out / name.replace(", ", "-").replace(" ", "-")
        found[name] = build(model.resolve(), oracle.resolve(), METHODS[name], folder)
    print("| | " + " | ".join(FIGURES) + " |\n|---|" + "---|" * len(FIGURES))
    for name, figures in rows(found):
        print(f"| {name} | " + " | ".join(cell(figures.get(one)) for one in FIGURES) + " |")


if __name__ == "__main__":
    main()
