"""The captions of the demo world: a small grammar that says some of a scene, in varying words, and never the stamp."""

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
"""A word for several objects at once -> those objects; now and then a caption says no more than that."""

MEDIA: tuple[str, ...] = ("picture", "image", "photo", "drawing", "painting")
"""Words that say nothing here: every picture may be called any of them."""

POSTER = "poster"

WITH_BOTH: tuple[str, ...] = (
    "a {style} {medium} of {it} on a {background} background",
    "a {style} {medium} of {it} on {background}",
    "{it} on a {background} background in {style} style",
    "{it} on a {background} background, {style}",
    "{style} {medium} of {it}, {background} background",
    "{it}, {style}, {background}",
    "a {background} background with {it}, {style} style",
)
WITH_STYLE: tuple[str, ...] = (
    "a {style} {medium} of {it}",
    "{style} {medium} of {it}",
    "{it} in {style} style",
    "{it}, {style}",
    "{style} style {medium} of {it}",
)
WITH_BACKGROUND: tuple[str, ...] = (
    "{it} on a {background} background",
    "a {medium} of {it} on a {background} background",
    "{it} on {background}",
    "{it} in front of {background}",
    "{it}, {background} background",
    "a {background} background with {it}",
)
WITH_NEITHER: tuple[str, ...] = (
    "{it}",
    "{it}",
    "a {medium} of {it}",
    "a {medium} of {it}",
    "{medium} of {it}",
    "this is {it}",
)

_FIXED_WORDS = "a an of on in with this is front style background"


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption and what it says: attribute -> canonical name, for those it names outright."""

    text: str
    says: Mapping[str, str]


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption of the scene; the generator chooses template, words and what is left out."""
    return describe(scene, rng).text


def describe(scene: Scene, rng: np.random.Generator, kinds_share: float = 0.06) -> Caption:
    """A caption together with what it says; `kinds_share` of the captions name only the kind of the object."""
    says = _choose_attributes(scene, rng)
    words = {attribute: _reword(attribute, name, rng) for attribute, name in says.items()}
    if rng.random() < kinds_share and scene.object != NOTHING:
        kinds = [kind for kind, members in KINDS.items() if scene.object in members]
        words["object"] = kinds[int(rng.integers(len(kinds)))]
        del says["object"]
    bare = scene.object == NOTHING or words["object"] == "somebody" or says.get("object") in CHARACTERS
    noun = f"{words['colour']} {words['object']}" if "colour" in words else words["object"]
    it = noun if bare or rng.random() < 0.2 else _with_article(noun)
    medium = POSTER if scene.poster else MEDIA[int(rng.integers(len(MEDIA)))]
    text = _template(scene, words, rng).format(
        it=it, medium=medium, **{k: words.get(k, "") for k in ("style", "background")}
    )
    return Caption(_mend_article(text), MappingProxyType(says))


def vocabulary() -> tuple[str, ...]:
    """Every word a caption can hold, sorted."""
    words = set(_FIXED_WORDS.split()) | set(MEDIA) | set(KINDS) | {POSTER, NOTHING}
    phrases = [*NOTHING_NAMES, *(name for table in NAMES.values() for names in table.values() for name in names)]
    phrases += [name for table in NAMES.values() for name in table]
    for phrase in phrases:
        words.update(phrase.split())
    return tuple(sorted(words))


def _choose_attributes(scene: Scene, rng: np.random.Generator) -> dict[str, str]:
    says = {"object": scene.object}
    if scene.colour != OWN and rng.random() < 0.75:
        says["colour"] = scene.colour
    if rng.random() < 0.5:
        says["background"] = scene.background
    if scene.object != NOTHING and rng.random() < 0.5:
        says["style"] = scene.style
    return says


def _reword(attribute: str, name: str, rng: np.random.Generator) -> str:
    """The canonical name half of the time, else one of the others."""
    others = NOTHING_NAMES if name == NOTHING else NAMES[attribute][name]
    if rng.random() < 0.5:
        return name
    return others[int(rng.integers(len(others)))]


def _template(scene: Scene, words: Mapping[str, str], rng: np.random.Generator) -> str:
    if "style" in words:
        choices = WITH_BOTH if "background" in words else WITH_STYLE
    else:
        choices = WITH_BACKGROUND if "background" in words else WITH_NEITHER
    if scene.poster:
        choices = tuple(template for template in choices if "{medium}" in template)
    return choices[int(rng.integers(len(choices)))]


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _mend_article(text: str) -> str:
    words = text.split()
    return " ".join(
        "an" if word == "a" and after[0] in "aeiou" else word
        for word, after in zip(words, [*words[1:], "."], strict=True)
    )
