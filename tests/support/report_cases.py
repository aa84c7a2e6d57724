"""A painted build whose report is read, pictures for it, and a parser that finds what its page holds."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
from verify_cases import Brush, Eye, World, constraints, context, exact, images, kept, manifest

from editc.core.manifest import Request
from editc.core.measurements import Picture
from editc.core.solution import Verified
from editc.passes.images.verify.verify import Verify
from editc.report import record as report

EYE = Eye({"circle": 1.0, "square": 1.0}, {"circle": 0.25, "square": 1.0})
BOUNDS = {"erase_residual": 0.2, "preserve_drift": 0.1}
EVIL = "<script>alert('1')</script>\"'><img src=x onerror=y>"


def built(*edits: Request, strength: float = 0.5, **fields: Any) -> Verified:
    """A painted build that breaks both BOUNDS, unless the fields say otherwise."""
    given = {
        "constraints": constraints(**BOUNDS),
        "images": images(prompts_per_concept=8),
        "preserve": kept("square"),
    }
    asked = manifest(*edits, **{**given, **fields})
    return Verify()(exact(World().problem(asked), strength), context(Brush(), EYE))


def html(of: Verified) -> str:
    return report.as_html(of, report.as_json(of))


def with_pictures(of: Verified, *pictures: Picture) -> Verified:
    return replace(of, report=replace(of.report, pictures=pictures))


def picture(
    concept: str = "circle", erased: bool = True, saw: tuple[bool, bool] = (True, False), side: int = 4
) -> Picture:
    pixels = np.random.default_rng(side).integers(0, 255, (side, side, 3)).astype(np.uint8)
    return Picture(concept, f"a {concept}", 7, erased, pixels, 255 - pixels, *saw)


class Structure(HTMLParser):
    """Fails on tags that do not match; collects tags and the attributes that could load something."""

    VOID = frozenset({"meta", "img", "br", "wbr", "link", "input", "rect", "line", "col"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"<{tag} {name}>"
            self.links += [(name, value or "")] if name in ("src", "href", "srcset", "action", "data") else []
            self.ids += [value or ""] if name == "id" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag
