"""The picture docs/images/architecture.svg, drawn from the imports of the source files.

`python docs/architecture.py` prints it; with `--write` it is written. A package stands one floor above the highest that
it imports. A line leads from a package to one below it that it imports, unless it imports that one by another too.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "architecture.svg"
FOLDERS = {"editc": "editc", "formats": "editc.formats", "manifests": "editc.manifests", "passes": "editc.passes"}
"""A folder of the repository, and the package that it is installed as."""
DEEP = ("formats", "passes")
"""Packages that are drawn as those inside them."""
DOORS = ("editc", "editc.__main__")
"""Modules that only start the others: they are not drawn."""
WIDTH, HEIGHT, SIDE, ACROSS, BETWEEN = 1120, 40, 20, 14, 34
"""In pixels: the picture's width, a box's height, the margin, and the space beside and below boxes."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Every module of editc, and its syntax tree."""
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inner = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join([package, *(part for part in inner if part != "__init__")]), ast.parse(path.read_bytes())


def imports(tree: ast.Module) -> Iterator[str]:
    """What a module imports of editc, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "editc":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "editc")


def package_of(name: str, packages: frozenset[str]) -> str:
    """The package that is drawn for a module, or for a name in one."""
    parts = name.split(".")
    inner = ".".join(parts[:3])
    deep = len(parts) > 2 and parts[1] in DEEP and inner in packages
    return inner if deep else ".".join(parts[:2])


@cache
def edges() -> Mapping[str, frozenset[str]]:
    """Package -> the packages that it imports."""
    trees = dict(modules())
    packages = frozenset(name.rpartition(".")[0] for name in trees)
    found: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        here = package_of(name, packages)
        found[here] |= {package_of(target, packages) for target in imports(tree)} - {here}
    drawn = set(found) - {*DOORS}
    return {name: frozenset(found[name] & drawn) for name in sorted(drawn)}


def floors(known: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The packages of each floor, the ground floor first."""

    @cache
    def floor(name: str) -> int:
        return max((floor(below) + 1 for below in known[name]), default=0)

    found: list[list[str]] = [[] for _ in range(1 + max(floor(name) for name in known))]
    for name in known:
        found[floor(name)].append(name)
    return found


def direct(known: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    """The imports that lead nowhere that another import of the same package leads."""

    @cache
    def reached(name: str) -> frozenset[str]:
        return known[name].union(*(reached(below) for below in known[name]))

    for name, targets in known.items():
        yield from ((name, one) for one in sorted(targets) if not any(one in reached(other) for other in targets))


def picture() -> str:
    """The whole picture."""
    known = edges()
    rows = floors(known)
    height = 2 * SIDE + len(rows) * HEIGHT + (len(rows) - 1) * BETWEEN
    boxes = {name: place for number, row in enumerate(rows) for name, place in _row(row, len(rows) - 1 - number)}
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            "<title>The packages of editc by floor; a line leads from a package to one that it imports</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *(_line(boxes[one], boxes[other]) for one, other in direct(known)),
            *(_box(name, place) for name, place in boxes.items()),
            "</svg>",
            "",
        ]
    )


def _row(names: list[str], above: int) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Left, top and width of each box of a floor, with so many floors above it."""
    width = min(210, (WIDTH - 2 * SIDE - (len(names) - 1) * ACROSS) // len(names))
    left = (WIDTH - len(names) * width - (len(names) - 1) * ACROSS) // 2
    top = SIDE + above * (HEIGHT + BETWEEN)
    for number, name in enumerate(names):
        yield name, (left + number * (width + ACROSS), top, width)


def _line(one: tuple[int, int, int], other: tuple[int, int, int]) -> str:
    from_, to = one[0] + one[2] // 2, other[0] + other[2] // 2
    top, bottom = one[1] + HEIGHT, other[1]
    bend = (bottom - top) // 2
    path = f"M{from_} {top}C{from_} {top + bend} {to} {bottom - bend} {to} {bottom}"
    return f'<path d="{path}" fill="none" stroke="#9aa7b5" stroke-width="1"/>'


def _box(name: str, place: tuple[int, int, int]) -> str:
    left, top, width = place
    title = name.removeprefix("editc.")
    return (
        f'<g><rect x="{left}" y="{top}" width="{width}" height="{HEIGHT}" rx="6" fill="{_colour(name)}" '
        f'stroke="#5b6875"/><text x="{left + width // 2}" y="{top + HEIGHT // 2 + 5}" font-size="14" '
        f'text-anchor="middle" fill="#16202a">{title}</text></g>'
    )


def _colour(name: str) -> str:
    """One colour for each folder of the repository."""
    top = name.split(".")[1]
    return {"formats": "#d9ecd6", "manifests": "#fbe7c6", "passes": "#d7e5f7"}.get(top, "#eef0f3")


if __name__ == "__main__":
    if "--write" in sys.argv:
        PICTURE.write_text(picture(), encoding="utf-8")
    else:
        print(picture(), end="")
