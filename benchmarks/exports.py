"""Sizes of exports, and what half precision costs: the table of docs/measurements/exports.md.

`python -m benchmarks.exports` prints it, `--write` puts it into the page. The demo delta is built; that of Stable
Diffusion 1.5 is random, over its 32 cross-attention matrices in their true shapes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from editc import api
from editc.core.delta import Delta
from editc.formats.delta.container import to_bytes
from editc.formats.exports.format import DTYPES, Job
from editc.formats.exports.read import read_delta
from editc.formats.exports.write import export
from editc.formats.models.model import Model, open_model

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measurements" / "exports.md"
FROM, TO = "<!-- python -m benchmarks.exports --write -->", "<!-- end -->"
MANIFEST = "editc: 1\nmodel: editc:demo\nedits:\n  - erase: circle\n    to: square\n"
RANKS = (1, 16)


def cases(folder: Path) -> Iterator[tuple[str, Delta, Model]]:
    """What a row says, its delta and its model."""
    import consumer_models as pico
    import tiny

    (folder / "m.yaml").write_text(MANIFEST)
    built = api.build(folder / "m.yaml", folder / "built")
    assert built is not None
    delta = read_delta(built.files[0])
    rank = next(iter(delta.factors.values())).left[0].shape[1]
    yield f"demo, rank {rank}", delta, open_model("editc:demo")
    model = open_model(tiny.sd1_true_shape(folder / "sd1"))
    for rank in RANKS:
        yield f"SD 1.5, rank {rank}", pico.delta(model, "sd1", pico.sites(model, "sd1"), "shared", (rank,)), model


def table(folder: Path) -> Iterator[str]:
    """Bytes a row, then the relative errors of the same exports."""
    yield "| | delta | " + " | ".join(f"kohya, {word}" for word in DTYPES) + " | diff |"
    yield "|---" * (len(DTYPES) + 3) + "|"
    lost = []
    for number, (says, delta, model) in enumerate(cases(folder)):
        made = [
            export(Job(delta, model, folder / f"{number}.{word}", dtype), "kohya", tried=False).written
            for word, dtype in DTYPES.items()
        ]
        made.append(export(Job(delta, model, folder / f"{number}.diff"), "diff", tried=False).written)
        sizes = [len(to_bytes(delta)), *(one.files[0].stat().st_size for one in made)]
        yield f"| {says} | " + " | ".join(f"{size:,}" for size in sizes) + " |"
        lost.append(f"| lost, {says} | | " + " | ".join(f"{one.rounding:.1e}" for one in made[:-1]) + " | |")
    yield from lost


def main() -> None:
    """Print the table, or put it between the marks of the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/measurements/exports.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        text = "\n".join(table(Path(place)))
    if not given.write:
        print(text)
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(FROM)
    after = rest.partition(TO)[2]
    PAGE.write_text(f"{before}{FROM}\n{text}\n{TO}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
