"""A thousand changes of a signed delta and of what lies beside it: is one accepted that says something else?

    python -m benchmarks.tamper [COUNT]

prints a table for docs/measurements/signing.md. It exits 1 if a change is accepted that says something else, ends in a
traceback, or takes a second or more of processor time.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from tampering import TARGETS, Outcome, make_scene, tamper

COUNT = 1000
"""How many changes are tried by default: seeds 0 to COUNT - 1."""
LIMIT = 1.0
"""The most processor time that one may take, in seconds."""
NAMES = {
    "delta": "delta.safetensors",
    "bundle": "delta.safetensors.sig",
    "folder": "model.sig",
    "statements": "delta.safetensors.intoto.jsonl",
    "policy": "editc-policy.yaml",
    "bom": "delta.safetensors.cdx.json",
    "card": "README.md",
    "layout": "OCI layout",
}
"""Target -> the file in the table."""


def try_changes(count: int) -> list[Outcome]:
    """What came of each change."""
    with tempfile.TemporaryDirectory() as place:
        one, two = make_scene(Path(place) / "one"), make_scene(Path(place) / "two", "stranger", "dense")
        return [tamper(one, two, seed) for seed in range(count)]


def table(found: list[Outcome]) -> str:
    """A row for each target: changes, how many were refused, accepted or wrong, the slowest, and the codes."""
    lines = ["| file | changes | refused | accepted, means the same | wrong | slowest, CPU s | codes |"]
    lines += ["|---|---|---|---|---|---|---|"]
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in found:
        rows[outcome.target].append(outcome)
    for target in TARGETS:
        mine = rows[target]
        codes = Counter(one.codes[0] for one in mine if one.codes)
        kinds = ", ".join(f"{code} {number}" for code, number in codes.most_common(6))
        counts = [len(mine), sum(bool(one.codes) for one in mine), sum(not one.codes and not one.wrong for one in mine)]
        counts.append(sum(bool(one.wrong) for one in mine))
        slowest = max((one.seconds for one in mine), default=0.0)
        lines.append(f"| `{NAMES[target]}` | {' | '.join(map(str, counts))} | {slowest:.3f} | {kinds} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, then everything that is wrong."""
    found = try_changes(int(sys.argv[1]) if len(sys.argv) > 1 else COUNT)
    print(table(found))
    wrong = [(seed, one) for seed, one in enumerate(found) if one.wrong or one.seconds >= LIMIT]
    for seed, one in wrong:
        print(f"seed {seed}, {one.target}, {one.rule}: {one.wrong or f'{one.seconds:.2f} s'}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
