"""Write captions of the demo world with a small grammar: each states some attributes of a scene in varying words.

No caption ever states the stamp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from editc.demo.world import CHARACTERS, NAMES, NOTHING, NOTHING_NAMES, OBJECTS, OWN, WEAPONS, Scene

KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "thing": tuple(OBJECTS),
        "shape": tuple(OBJECTS)[:10],
        "weapon": WEAPONS,
        "animal": ("fish", "cat"),
        "plant": ("flower", "tree"),
        "somebody": ("person", *CHARACTERS),
    }
)
"""A word for several objects -> these objects. A few captions name only such a kind and no object."""

MEDIA: tuple[str, ...] = ("picture", "image", "photo", "drawing", "painting")
"""Words without meaning in this world: every image may be called any of them."""

POSTER = "poster"
"""What captions call an image that may bear the stamp."""

WITH_BOTH: tuple[str, ...] = (
    "a {style} {medium} of {it} on a {background} background",
    "a {style} {medium} of {it} on {background}",
    "{it} on a {background} background in {style} style",
    "{it} on a {background} background, {style}",
    "{style} {medium} of {it}, {background} background",
    "{it}, {style}, {background}",
    "a {background} background with {it}, {style} style",
)
"""Templates of captions that state background and style. `{it}` is the object with its colour."""
WITH_STYLE: tuple[str, ...] = (
    "a {style} {medium} of {it}",
    "{style} {medium} of {it}",
    "{it} in {style} style",
    "{it}, {style}",
    "{style} style {medium} of {it}",
)
"""Templates of captions that state the style and no background."""
WITH_BACKGROUND: tuple[str, ...] = (
    "{it} on a {background} background",
    "a {medium} of {it} on a {background} background",
    "{it} on {background}",
    "{it} in front of {background}",
    "{it}, {background} background",
    "a {background} background with {it}",
)
"""Templates of captions that state the background and no style."""
WITH_NEITHER: tuple[str, ...] = (
    "{it}",
    "{it}",
    "a {medium} of {it}",
    "a {medium} of {it}",
    "{medium} of {it}",
    "this is {it}",
)
"""Templates of captions that state neither. A template that stands twice is twice as likely."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The names with which captions are written. Another world has another one."""

    names: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Attribute -> canonical name -> other names."""
    kinds: Mapping[str, tuple[str, ...]]
    """A word for several objects -> these objects."""
    characters: tuple[str, ...] = ()
    """The objects that have a proper name, and no article before it."""


LEXICON = Lexicon(NAMES, KINDS, CHARACTERS)
"""The names of the demo world."""
_FIXED_WORDS = "a an of on in with this is front style background"
"""The words of the templates themselves."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption, with the attributes that it states."""

    text: str
    """The caption."""
    says: Mapping[str, str]
    """Attribute -> canonical name, for each attribute that the caption states outright."""


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """Return a random caption of the scene: `rng` chooses the template, the words and what is left out."""
    return describe(scene, rng).text


def describe(scene: Scene, rng: np.random.Generator, kinds_share: float = 0.06, lexicon: Lexicon = LEXICON) -> Caption:
    """Return a random caption of the scene with the attributes that it states.

    `kinds_share` of the captions name only the kind of the object (`KINDS`), and do not state the object then.
    """
    says = _choose_attributes(scene, rng)
    words = {attribute: _reword(lexicon.names[attribute], name, rng) for attribute, name in says.items()}
    if rng.random() < kinds_share and scene.object != NOTHING:
        kinds = [kind for kind, members in lexicon.kinds.items() if scene.object in members]
        words["object"] = kinds[int(rng.integers(len(kinds)))]
        del says["object"]
    bare = scene.object == NOTHING or words["object"] == "somebody" or says.get("object") in lexicon.characters
    noun = f"{words['colour']} {words['object']}" if "colour" in words else words["object"]
    it = noun if bare or rng.random() < 0.2 else _with_article(noun)
    medium = POSTER if scene.poster else MEDIA[int(rng.integers(len(MEDIA)))]
    text = _template(scene, words, rng).format(
        it=it, medium=medium, **{k: words.get(k, "") for k in ("style", "background")}
    )
    return Caption(_mend_article(text), MappingProxyType(says))


def vocabulary(lexicon: Lexicon = LEXICON) -> tuple[str, ...]:
    """Return every word that a caption can have, sorted."""
    words = set(_FIXED_WORDS.split()) | set(MEDIA) | set(lexicon.kinds) | {POSTER, NOTHING}
    tables = lexicon.names.values()
    phrases = [*NOTHING_NAMES, *(name for table in tables for names in table.values() for name in names)]
    phrases += [name for table in tables for name in table]
    for phrase in phrases:
        words.update(phrase.split())
    return tuple(sorted(words))


def _choose_attributes(scene: Scene, rng: np.random.Generator) -> dict[str, str]:
    """Choose which attributes a caption states: attribute -> canonical name. The object is always among them.

    Colour is stated in 75 % of captions, background and style in half of them; chosen by hand.
    """
    says = {"object": scene.object}
    if scene.colour != OWN and rng.random() < 0.75:
        says["colour"] = scene.colour
    if rng.random() < 0.5:
        says["background"] = scene.background
    if scene.object != NOTHING and rng.random() < 0.5:
        says["style"] = scene.style
    return says


def _reword(table: Mapping[str, tuple[str, ...]], name: str, rng: np.random.Generator) -> str:
    """Return the canonical name in half of all cases, and one of its other names, which `table` has, otherwise."""
    others = NOTHING_NAMES if name == NOTHING else table[name]
    if rng.random() < 0.5:
        return name
    return others[int(rng.integers(len(others)))]


def _template(scene: Scene, words: Mapping[str, str], rng: np.random.Generator) -> str:
    """Choose a template that has a place for the attributes in `words`; for a poster, one that names the medium."""
    if "style" in words:
        choices = WITH_BOTH if "background" in words else WITH_STYLE
    else:
        choices = WITH_BACKGROUND if "background" in words else WITH_NEITHER
    if scene.poster:
        choices = tuple(template for template in choices if "{medium}" in template)
    return choices[int(rng.integers(len(choices)))]


def _with_article(noun: str) -> str:
    """Return the noun with `a` or `an` before it."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _mend_article(text: str) -> str:
    """Return the text with `an` for every `a` that stands before a vowel."""
    words = text.split()
    return " ".join(
        "an" if word == "a" and after[0] in "aeiou" else word
        for word, after in zip(words, [*words[1:], "."], strict=True)
    )
