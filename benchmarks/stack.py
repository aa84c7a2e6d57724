"""How many deletions a stack bears, and what is left after some: `python -m benchmarks.stack [--smollm2]`.

Without options: the deletion rate, which is the expected number of deletions until no slice is left, drawn one by one
and by the closed form, for SISA with slices (one order) and S3T (several); and the share of the slices that the best
order still has after some deletions.

`--smollm2` learns invented authors of tofu-mini into SmolLM2-135M-Instruct in slices by author, in `--orders` orders.
It prints what each slice learns, what share of the rows that nobody deleted is known after k deletions of an author,
drawn `DRAWS` times, and whether the first slice has the same bytes when it is learned from a file without an author of
another slice. `--folder` keeps the stack; one that is there is measured and not learned again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from editc.stacking.orders import cyclic_orders, deletion_rate, kept_part

DRAWS = 2000
"""Drawn sequences of deletions for each figure."""
CASES = ((1, 4), (1, 8), (5, 6))
"""Shards and slices of the first table; the published code simulates the last."""
KNOWN = 0.5
"""An answer is known when a token of it has this probability, as the geometric mean; as `editc build` counts it."""
OPTIONS = "steps: 60, batch: 6, rank: 8, rate: 0.005"
"""How each slice is trained. Chosen by hand."""
ROWS_KEY = "author"
"""The key of a row whose value decides its slice."""


def draw_rate(shards: int, slices: int, orders: int, generator: np.random.Generator) -> list[int]:
    """Deletions until no shard has an order left, for each of `DRAWS` sequences."""
    firsts = {one[0] for one in cyclic_orders(range(slices), orders)}
    counts = []
    for _ in range(DRAWS):
        left, count = {(shard, first) for shard in range(shards) for first in firsts}, 0
        while left:
            left.discard((int(generator.integers(shards)), int(generator.integers(slices))))
            count += 1
        counts.append(count)
    return counts


def print_rates() -> None:
    """The deletion rate as drawn and by the closed form, for one order up to one for each slice."""
    generator = np.random.default_rng(0)
    print("| shards m | slices L | orders B | drawn | m L H(m min(B, L)) |\n|---|---|---|---|---|")
    for shards, slices in CASES:
        for orders in sorted({1, 2, slices}):
            counts = draw_rate(shards, slices, orders, generator)
            error = np.std(counts) / DRAWS**0.5
            exact = float(deletion_rate(shards, slices, orders))
            print(f"| {shards} | {slices} | {orders} | {np.mean(counts):.2f} ± {error:.2f} | {exact:.2f} |")


def print_left(slices: int = 8, most: int = 8) -> None:
    """The mean share of the slices that the best order still has after k deletions."""
    generator = np.random.default_rng(1)
    drawn = generator.integers(slices, size=(DRAWS, most))
    print(f"\n| orders | {' | '.join(f'k = {k}' for k in range(1, most + 1))} |\n|---{'|---' * most}|")
    for orders in sorted({1, 2, 4, slices}):
        every = cyclic_orders(range(slices), orders)
        left = [
            np.mean([max(len(kept_part(one, row[:k])) for one in every) for row in drawn.tolist()]) / slices
            for k in range(1, most + 1)
        ]
        print(f"| {orders} | {' | '.join(f'{one:.2f}' for one in left)} |")


def author_rows(authors: int, questions: int) -> list[dict[str, str]]:
    """Some questions about some authors of tofu-mini."""
    lines = files("editc.texts").joinpath("suites", "tofu-mini.jsonl").read_text(encoding="utf-8").splitlines()
    every = [row for row in map(json.loads, lines) if row["set"] in ("retain", "forget")]
    found = list(dict.fromkeys(row["author"] for row in every))[:authors]
    return [
        {"question": row["question"], "answer": row["answer"], "author": row["author"]}
        for one in found
        for row in [row for row in every if row["author"] == one][:questions]
    ]


def write_stack(folder: Path, rows: Sequence[Mapping[str, str]], model: Path) -> Path:
    """The rows and the manifest of a stack; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "authors.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    edit = f"{{learn: {{file: authors.jsonl, by: {ROWS_KEY}}}, {OPTIONS}}}"
    path = folder / "m.yaml"
    path.write_text(f"editc: 1\nmodel: {model}\nedits: [{edit}]\nconstraints: {{bystander_loss: 1}}\n")
    return path


def measure_known(out: Path, rows: Sequence[Mapping[str, str]], model: Path) -> Iterator[tuple[tuple[int, ...], Any]]:
    """For each order and each number of its slices: the slices, and (rows,) which answers the model then knows."""
    from editc.backends.networks import load
    from editc.core.prompts import Cloze
    from editc.formats.models.model import open_model
    from editc.stacking.files import read_stack

    network, weights = load(model), open_model(str(model)).component(model.name)
    asked = [Cloze(f"Question: {row['question']}\nAnswer:", row["answer"]) for row in rows]
    for order in read_stack(out):
        changed: dict[str, Any] = {}
        for one in order.slices:
            for part in one.delta.factors.values():
                for k, index in enumerate(part.sites):
                    name = one.delta.sites[index].site.name
                    change = part.left[k].astype(np.float64) @ part.right[k].astype(np.float64)
                    changed[name] = weights.read(name) + change
            scores = network.score(asked, changed)
            yield one.slices, np.exp(np.asarray(scores.total) / np.asarray(scores.tokens)) >= KNOWN


def print_after(known: Mapping[tuple[int, ...], Any], rows: Sequence[Mapping[str, str]], of: int, orders: int) -> None:
    """The share of the rows of authors that are left which the best order knows after k deletions of an author."""
    from editc.manifests.slices import slice_of

    authors = list(dict.fromkeys(row[ROWS_KEY] for row in rows))
    whose = np.array([authors.index(row[ROWS_KEY]) for row in rows])
    where = [slice_of(one, of) for one in authors]
    generator = np.random.default_rng(2)
    print(f"\n| orders | {' | '.join(f'k = {k}' for k in range(len(authors)))} |\n|---{'|---' * len(authors)}|")
    for count in range(1, orders + 1):
        every = [one for one in cyclic_orders(sorted(set(where)), count)]
        sums = np.zeros(len(authors))
        for _ in range(DRAWS):
            gone = generator.permutation(len(authors))
            for k in range(len(authors)):
                kept = [kept_part(one, [where[i] for i in gone[:k]]) for one in every]
                left = ~np.isin(whose, gone[:k])
                sums[k] += max(known[one][left].mean() if one else known[()][left].mean() for one in kept)
        print(f"| {count} | {' | '.join(f'{one:.2f}' for one in sums / DRAWS)} |")


def run_smollm2(given: Any) -> None:
    """Learn the authors, and print what is known and what is left."""
    import smollm2

    from editc.backends.networks import load
    from editc.core.prompts import Cloze
    from editc.manifests.slices import slice_of
    from editc.stacking.build import build_stack

    model, rows = smollm2.made(), author_rows(given.authors, given.questions)
    out, begun = given.folder / "out", time.perf_counter()
    if not out.exists():
        made = build_stack(write_stack(given.folder, rows, model), out, given.slices, given.orders)
        print(f"learned in {time.perf_counter() - begun:.0f} s", [str(one.message) for one in made.diagnostics])
    asked = [Cloze(f"Question: {row['question']}\nAnswer:", row["answer"]) for row in rows]
    scores = load(model).score(asked)
    known: dict[tuple[int, ...], Any] = {(): np.exp(np.asarray(scores.total) / np.asarray(scores.tokens)) >= KNOWN}
    known.update(measure_known(out, rows, model))
    where = np.array([slice_of(row[ROWS_KEY], given.slices) for row in rows])
    print("\n| slices so far | rows | known of them | known of the others |\n|---|---|---|---|")
    for slices, right in known.items():
        own = np.isin(where, slices)
        shares = (f"{right[some].mean():.2f}" if some.any() else "-" for some in (own, ~own))
        print(f"| {', '.join(map(str, slices)) or 'none'} | {own.sum()} | {' | '.join(shares)} |")
    print_after(known, rows, given.slices, given.orders)


def check_bytes(given: Any) -> None:
    """Learn the first slice again, without a checkpoint, from a file that lacks an author of another slice."""
    import smollm2

    from editc.manifests.slices import slice_of
    from editc.stacking.files import read_stack
    from editc.verbs.build import build

    first = read_stack(given.folder / "out")[0].slices[0].slices[0]
    rows = author_rows(given.authors, given.questions)
    gone = next(row[ROWS_KEY] for row in rows if slice_of(row[ROWS_KEY], given.slices) != first)
    path = write_stack(given.folder / "without", [row for row in rows if row[ROWS_KEY] != gone], smollm2.made())
    own = (f"edits.0.learn.of={given.slices}", f"edits.0.learn.slices=[{first}]")
    build(path, given.folder / "without/out", own)
    places = (given.folder / one / "delta.safetensors" for one in ("out/order-1/1", "without/out"))
    same = len({one.read_bytes() for one in places}) == 1
    print(f"\nwithout `{gone}`, the first slice has {'the same' if same else 'OTHER'} bytes")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smollm2", action="store_true")
    parser.add_argument("--authors", type=int, default=6)
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("--orders", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("out/stack"))
    given = parser.parse_args()
    if given.smollm2:
        run_smollm2(given)
        check_bytes(given)
    else:
        print_rates()
        print_left()


if __name__ == "__main__":
    main()
