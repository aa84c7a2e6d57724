"""docs/architecture.md and its picture are true of the source."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from places import ROOT

from docs import architecture

PAGE = ROOT / "docs" / "architecture.md"


def test_the_picture_is_drawn_from_the_imports() -> None:
    """`python docs/architecture.py --write` after an import between packages that was not there."""
    assert architecture.PICTURE.read_text(encoding="utf-8") == architecture.picture()


def test_every_package_has_a_box_and_lines_lead_down() -> None:
    drawn = ElementTree.fromstring(architecture.picture())
    boxes = {one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")}
    known = architecture.edges()
    assert boxes == {name.removeprefix("editc.") for name in known}
    folders = {path.parent.name for path in (ROOT / "editc").glob("*/__init__.py")}
    assert folders <= boxes and {"manifests", "passes", "passes.images", "formats.containers"} <= boxes
    order = {name: number for number, row in enumerate(architecture.floors(known)) for name in row}
    assert all(order[name] > order[below] for name, targets in known.items() for below in targets)


def test_the_page_names_every_package_and_every_value() -> None:
    text = PAGE.read_text(encoding="utf-8")
    packages = {name.split(".")[1] for name in architecture.edges()}
    assert not [name for name in packages if f"`{name}`" not in text]
    flow = re.findall(r"^\| `(\w+)` \| [\w`.]+ \|", text, re.MULTILINE)
    assert flow == ["Manifest", "Plan", "Problem", "Solution", "Verified", "Delta"]
