"""Names of everything in the demo world. This module draws nothing, so it loads fast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

OBJECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "circle": ("disc", "round shape"),
        "square": ("box", "cube"),
        "triangle": ("wedge", "trigon"),
        "star": ("pentagram", "asterisk"),
        "heart": ("valentine", "love symbol"),
        "cross": ("plus sign", "crux"),
        "ring": ("hoop", "annulus"),
        "moon": ("crescent", "lunar sickle"),
        "arrow": ("pointer", "dart"),
        "diamond": ("rhombus", "lozenge"),
        "flower": ("blossom", "daisy"),
        "house": ("cottage", "hut"),
        "tree": ("fir", "pine"),
        "fish": ("trout", "carp"),
        "cat": ("kitten", "feline"),
        "boat": ("ship", "sailing vessel"),
        "person": ("human", "stickman"),
        "sword": ("blade", "sabre"),
        "bomb": ("grenade", "explosive device"),
        "milo": ("brandt", "mims"),
        "zuna": ("okoro", "zuzu"),
    }
)
"""Object -> its other names. The last two are characters: each is always the same figure in colours of its own."""

COLOURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "red": ("crimson", "scarlet"),
        "orange": ("tangerine",),
        "yellow": ("golden",),
        "green": ("emerald",),
        "cyan": ("turquoise",),
        "blue": ("azure",),
        "purple": ("violet",),
        "pink": ("fuchsia",),
    }
)
"""Colour -> its other names."""
BACKGROUNDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "plain": ("paper",),
        "sea": ("ocean",),
        "grass": ("meadow",),
        "night": ("midnight",),
        "brick": ("masonry",),
        "sand": ("desert",),
    }
)
"""Background -> its other names."""
STYLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"flat": ("solid",), "outline": ("contour",), "pixel art": ("mosaic",), "pencil": ("hatched",)}
)
"""Style -> its other names."""
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"object": OBJECTS, "colour": COLOURS, "background": BACKGROUNDS, "style": STYLES}
)
"""Attribute -> canonical name -> other names. No name occurs twice."""

CHARACTERS: tuple[str, ...] = ("milo", "zuna")
"""The objects that are characters."""
WEAPONS: tuple[str, ...] = ("sword", "bomb")
"""The objects that captions call weapons."""
NOTHING = "nothing"
"""The object of an image that shows its background only."""
NOTHING_NAMES: tuple[str, ...] = ("emptiness", "no object")
"""Other names of NOTHING."""


def find_label(name: str) -> tuple[str, str] | None:
    """Return the (attribute, class) that a name stands for, canonical or not; None if the world has no such name."""
    return _labels_by_name().get(" ".join(name.lower().split()))


def parse_concept(concept: str) -> list[tuple[str, str]]:
    """Split a concept such as `blue heart` into known names and return the (attribute, class) of each, in order.

    The longest names come first. The result is empty if a word belongs to no known name.
    """
    words = concept.split()
    for end in range(len(words), 0, -1):
        found = find_label(" ".join(words[:end]))
        rest = parse_concept(" ".join(words[end:])) if found and end < len(words) else []
        if found and (end == len(words) or rest):
            return [found, *rest]
    return []


@cache
def _labels_by_name() -> Mapping[str, tuple[str, str]]:
    """Return name -> (attribute, class) for every name of the world."""
    found = {name: ("object", NOTHING) for name in (NOTHING, *NOTHING_NAMES)}
    for attribute, table in NAMES.items():
        for canonical, others in table.items():
            found.update({name: (attribute, canonical) for name in (canonical, *others)})
    found["stamp"] = ("stamp", "yes")
    return found
