"""Classes taken out of a tiny ViT by each method: `python -m benchmarks.heads` prints a table, in about a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

COUNT = 40
"""Pictures of each label for the method, and as many others to measure on."""
FIGURES = ("answered", "others_right", "told_apart")
"""Each is printed before and after."""


def examples(root: Path, name: str, seed: int, hidden: tuple[str, ...]) -> str:
    """A file of examples, of which those of `hidden` labels have none; returns its name."""
    import tiny_classifiers as tiny

    from editc.heads.features import write_features

    write_features(str(root / "vit"), tiny.written(root / name, COUNT, seed, hidden), root / f"{name}.safetensors")
    return f"{name}.safetensors"


def rows(root: Path) -> Iterator[str]:
    """The rows of the table."""
    import tiny_classifiers as tiny

    from editc.heads.build import build_head
    from editc.passes.heads.methods import METHODS

    held = examples(root, "held", 2, ())
    for label in tiny.LABELS[:3]:
        own = examples(root, label, 1, tuple(one for one in tiny.LABELS if one != label))
        for method in METHODS:
            head = f"editc: 1\nmodel: vit\nedits: [{{erase: {label}}}]\nmethod: {method}\n"
            (root / "m.yaml").write_text(f"{head}features: {own}\nverify: {held}\n")
            found = {claim.name: claim.value for claim in build_head(root / "m.yaml", root / "out").claims}
            cells = (f"{found[f'{name}_before']:.3f}, {found[name]:.3f}" for name in FIGURES)
            yield f"| {label} | `{method}` | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    import tiny_classifiers as tiny

    with tempfile.TemporaryDirectory() as folder:
        tiny.saved("vit", Path(folder) / "vit")
        print(f"| erased | method | {' | '.join(FIGURES)} |\n|---|---|---|---|---|")
        for row in rows(Path(folder)):
            print(row)


if __name__ == "__main__":
    main()
