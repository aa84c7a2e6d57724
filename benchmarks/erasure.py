"""Every method on one object of the demo model: `python -m benchmarks.erasure [--objects circle,fish]`.

A row a method and form: with its published keys and defaults, and with context-aligned keys and the corpus moment.
How often the object appears (plain prompts, other names, RECE's derived embedding, the certificate's minimiser), how
far any embedding can bring it back (`recoverable`), what the rest pays, and what the delta costs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks import certificate, world
from benchmarks.objects import HEAD, TARGETS, Lab, Row, edited, measure, open_lab
from editc.core.diagnostics import EditcError
from editc.core.solution import Solution
from editc.demo.world import CHARACTERS, OBJECTS, WEAPONS
from editc.passes.images.measure.certificate import certify

FULL = 1e-9
"""Published forms keep their full rank."""
SHORT = 0.1
"""What a lower rank may lose of ours, as in a build."""


@dataclass(frozen=True)
class Form:
    """Lines of a manifest after `erase`, and the share of the edit that a lower rank may lose."""

    lines: str
    tolerance: float = SHORT


NAMED = "preserve: {{corpus: none, concepts: [{rest}]}}\n"
FORMS: Mapping[str, Form] = {
    "uce, aligned (default)": Form("    to: {to}\n"),
    "uce 2025, published": Form("    keys: last\n", FULL),
    "uce 2023, published": Form("    keys: span\n", FULL),
    "rece, published": Form("    method: rece\n    keys: span\n    anchor: current\n", FULL),
    "rece, aligned, anchor current": Form("    to: {to}\n    method: rece\n    anchor: current\n"),
    "rece, aligned": Form("    to: {to}\n    method: rece\n"),
    "rece, published keys, our anchor": Form("    method: rece\n    keys: span\n    anchor: original\n", FULL),
    "mace, published keys": Form("    to: {to}\n    method: mace\n    keys: matched\n", FULL),
    "mace, aligned": Form("    to: {to}\n    method: mace\n"),
    "trce, published keys": Form("    to: {to}\n    method: trce\n    keys: eot\n", FULL),
    "trce, aligned": Form("    to: {to}\n    method: trce\n"),
    "speed, published": Form(
        "    to: {to}\n    method: speed\n    keys: last\n" + NAMED + "sites: {{roles: [v]}}\n", FULL
    ),
    "speed, aligned": Form("    to: {to}\n    method: speed\n    retain_scale: 0.01\n"),
    "realera, span": Form("    to: {to}\n    method: realera\n    keys: span\n", FULL),
    "realera, aligned": Form("    to: {to}\n    method: realera\n"),
    "project, last": Form("    to: {to}\n    method: project\n    keys: last\n    hold: keys\n" + NAMED, FULL),
    "project, aligned": Form(
        "    to: {to}\n    method: project\n    tolerance: 0.01\n"
        "preserve: {{corpus: none, prompts: [a triangle, a tree]}}\n"
    ),
    "guard, aligned": Form("    to: {to}\n    method: guard\n"),
}
TITLE = (
    "| edit | plain | other names | RECE's attack | exact attack | recoverable | other objects | colour | style | "
    "empty prompt's drift | rank | kB | s |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def text(lab: Lab, concept: str, form: Form) -> str:
    """The manifest of one form; weapons and characters are not preserved by name, as somebody may want them erased."""
    rest = [name for name in OBJECTS if name not in (concept, *WEAPONS, *CHARACTERS)]
    return HEAD.format(model=lab.model, concept=concept) + form.lines.format(to=TARGETS[concept], rest=", ".join(rest))


def attacked(lab: Lab, concept: str, solution: Solution, count: int) -> tuple[float, float, float]:
    """`recoverable`, and the shares of pictures painted from RECE's embedding and the exact minimiser that show it."""
    gram, cross = certificate.sums(solution)
    (found,) = certify(solution.problem.systems["text"], gram, cross)
    changed = edited(solution)
    shares = []
    for tries in (certificate.derived(solution, gram, cross), found.attacks):
        seen = world.seen(lab.detector, certificate.pictures(lab, tries, count, changed))["object"]
        shares.append(float(np.mean([one == concept for one in seen])))
    return found.recoverable, shares[0], shares[1]


def size(solution: Solution) -> float:
    """The delta's factors in kB, float32."""
    edit = solution.edits["text"]
    return 4e-3 * sum(part.size for part in (*edit.left, *edit.right))


def show(name: str, row: Row, attacks: tuple[float, float, float] | None, cost: tuple[float, float] | None) -> str:
    """One line of the table."""
    far, derived, exact = (f"{one:.3f}" for one in attacks) if attacks else ("", "", "")
    drift = f"{row.effect.unconditional_drift:.2f}" if row.effect else ""
    kb, seconds = (f"{cost[0]:.0f}", f"{cost[1]:.2f}") if cost else ("", "")
    figures = [f"{row.plain:.3f}", f"{row.synonym:.3f}", derived, exact, far, f"{row.kept:.3f}"]
    rest = [f"{row.attributes[what]:.3f}" for what in ("colour", "style")]
    return "| " + " | ".join([name, *figures, *rest, drift, str(row.rank or ""), kb, seconds]) + " |"


def line(lab: Lab, concept: str, name: str, form: Form, count: int, each: int) -> str:
    """Solve, attack, paint, judge one form; a refusal is a row as well."""
    begin = time.perf_counter()
    try:
        solution = lab.solve(text(lab, concept, form), form.tolerance)
    except EditcError as error:
        return f"| {name} | {error.diagnostics[0].code}: {error.diagnostics[0].message} |" + " |" * 11
    cost = size(solution), time.perf_counter() - begin
    return show(
        name, measure(lab, concept, solution, count, each), attacked(lab, concept, solution, max(1, count // 2)), cost
    )


def main() -> None:
    """Read the command line, measure, print the table as Markdown."""
    parser = argparse.ArgumentParser(description="Every method on objects of the demo model.")
    parser.add_argument("--objects", default="circle,fish")
    parser.add_argument("--forms", default="", help="only forms whose name has this in it")
    parser.add_argument(
        "--count", type=int, default=50, help="plain prompts; half by other names, half for each attack"
    )
    parser.add_argument("--each", type=int, default=5, help="prompts for each other object")
    parser.add_argument("--model", default="editc:demo")
    given = parser.parse_args()
    lab = open_lab(given.model, seed=40_000)
    print(TITLE, flush=True)
    for concept in given.objects.split(","):
        if not given.forms:
            print(
                show(f"{concept}: no edit", measure(lab, concept, None, given.count, given.each), None, None),
                flush=True,
            )
        for name, form in FORMS.items():
            if given.forms in name:
                print(line(lab, concept, f"{concept}: {name}", form, given.count, given.each), flush=True)


if __name__ == "__main__":
    main()
