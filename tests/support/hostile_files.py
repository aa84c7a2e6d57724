"""Files made to hurt: for every kind of file that editc reads, a good one, and what an attacker makes of it.

`corpus` yields all cases; `hostile_run.run` runs one as the command line would. `python tests/support/hostile_files.py`
prints the figures of docs/explanation/hostile.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hostile_bytes import damages, described, header_lies, tensor_lies
from hostile_deltas import KINDS, adapters, as_delta, forged, good, places, written
from hostile_models import WEIGHTS, as_weights, graphs, indexes, journal_files, journals
from hostile_run import Case, Ended, run, stage

from editc.formats.delta.container import to_bytes


def corpus() -> Iterator[Case]:
    """All cases."""
    with stage() as folder:
        delta = good(folder)
        files = {"delta": to_bytes(delta)} | {kind: written(kind, delta, folder) for kind in KINDS}
        weights = (folder / "m" / WEIGHTS).read_bytes()
        applied_files = journal_files(folder, delta)
    for reader, data in files.items():
        for name, bad in {**damages(data), **header_lies(data), **described(data)}.items():
            if len(bad) < 1_000_000 or reader in ("delta", "kohya"):
                yield Case(reader, name, as_delta(reader, bad, "inspect" if len(name) % 2 else "apply"))
    for kind in KINDS:
        for name, bad in tensor_lies(files[kind]).items():
            yield Case(kind, name, as_delta(kind, bad, "apply"))
    yield from forged(delta)
    yield from places()
    for name, bad in {**damages(weights), **header_lies(weights), **tensor_lies(weights)}.items():
        yield Case("checkpoint", name, as_weights(bad, files["delta"]))
    yield from indexes(files["delta"])
    yield from journals(applied_files)
    yield from adapters()
    yield from graphs()


def main() -> None:
    """The figures, as Markdown."""
    rows: dict[str, list[Ended]] = {}
    with stage() as folder:
        for case in corpus():
            rows.setdefault(case.reader, []).append(run(case, folder))
    print("| files | refused | harmless | slowest | largest peak | codes |\n|---|---|---|---|---|---|")
    for reader, found in [*rows.items(), ("all", [one for group in rows.values() for one in group])]:
        codes = Counter(code for ended in found for code in set(ended.codes))
        said = ", ".join(f"{code} {n}" for code, n in sorted(codes.items()))
        harmless = sum(ended.exit == 0 for ended in found)
        slowest, peak = max(e.seconds for e in found), max(e.peak for e in found) / 1e6
        print(f"| {reader} | {len(found) - harmless} | {harmless} | {slowest:.2f} s | {peak:.0f} MB | {said} |")


if __name__ == "__main__":
    main()
