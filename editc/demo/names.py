"""What the things of the picture world are called; no picture is drawn for it."""

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
"""Object -> its other names. The last two are characters: always the same figure, in colours of their own."""

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
STYLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"flat": ("solid",), "outline": ("contour",), "pixel art": ("mosaic",), "pencil": ("hatched",)}
)
NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"object": OBJECTS, "colour": COLOURS, "background": BACKGROUNDS, "style": STYLES}
)
"""Attribute -> canonical name -> other names. No name occurs twice."""

CHARACTERS: tuple[str, ...] = ("milo", "zuna")
WEAPONS: tuple[str, ...] = ("sword", "bomb")
NOTHING = "nothing"
"""The object of a picture that shows its background only."""
NOTHING_NAMES: tuple[str, ...] = ("emptiness", "no object")


def locate(name: str) -> tuple[str, str] | None:
    """The attribute and class that a name or one of its synonyms stands for, None if the world has no such name."""
    return _locations().get(" ".join(name.lower().split()))


def parse_concept(concept: str) -> list[tuple[str, str]]:
    """(attribute, label) of each known name of a concept (`blue heart`) in turn, longest first; empty when some word
    belongs to none."""
    words = concept.split()
    for end in range(len(words), 0, -1):
        found = locate(" ".join(words[:end]))
        rest = parse_concept(" ".join(words[end:])) if found and end < len(words) else []
        if found and (end == len(words) or rest):
            return [found, *rest]
    return []


@cache
def _locations() -> Mapping[str, tuple[str, str]]:
    found = {name: ("object", NOTHING) for name in (NOTHING, *NOTHING_NAMES)}
    for attribute, table in NAMES.items():
        for canonical, others in table.items():
            found.update({name: (attribute, canonical) for name in (canonical, *others)})
    found["stamp"] = ("stamp", "yes")
    return found
