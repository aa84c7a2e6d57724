"""Names of everything in the second world. This module draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from editc.demo.captions import Lexicon
from editc.demo.names import BACKGROUNDS, COLOURS

PICTOGRAMS: Mapping[str, Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "animal": {
            "cat": ("cat", "kitty"),
            "dog": ("dog", "hound"),
            "rabbit": ("rabbit-variant", "bunny"),
            "mouse": ("rodent", "rat"),
            "horse": ("horse", "stallion"),
            "unicorn": ("unicorn", "pegasus"),
            "donkey": ("donkey", "mule"),
            "cow": ("cow", "ox"),
            "sheep": ("sheep", "lamb"),
            "pig": ("pig", "hog"),
            "elephant": ("elephant", "mammoth"),
            "panda": ("panda", "raccoon"),
            "koala": ("koala", "marsupial"),
            "teddy": ("teddy-bear", "plush"),
            "kangaroo": ("kangaroo", "wallaby"),
            "turtle": ("turtle", "terrapin"),
            "snake": ("snake", "serpent"),
            "snail": ("snail", "slug"),
            "ladybug": ("ladybug", "beetle"),
            "butterfly": ("butterfly", "moth"),
            "spider": ("spider", "tarantula"),
            "bird": ("bird", "sparrow"),
            "duck": ("duck", "mallard"),
            "owl": ("owl", "owlet"),
            "penguin": ("penguin", "auk"),
            "dolphin": ("dolphin", "porpoise"),
            "shark": ("shark", "mako"),
            "jellyfish": ("jellyfish", "medusa"),
        },
        "vehicle": {
            "car": ("car", "automobile"),
            "sedan": ("car-side", "saloon"),
            "convertible": ("car-convertible", "roadster"),
            "pickup": ("car-pickup", "ute"),
            "taxi": ("taxi", "cab"),
            "van": ("van-utility", "minivan"),
            "bus": ("bus", "coach"),
            "decker": ("bus-double-decker", "omnibus"),
            "truck": ("truck", "lorry"),
            "dumper": ("dump-truck", "tipper"),
            "tanker": ("tanker-truck", "bowser"),
            "ambulance": ("ambulance", "rescue"),
            "tractor": ("tractor", "plough"),
            "forklift": ("forklift", "stacker"),
            "excavator": ("excavator", "digger"),
            "train": ("train", "locomotive"),
            "tram": ("tram", "streetcar"),
            "bicycle": ("bicycle", "bike"),
            "moped": ("moped", "vespa"),
            "airplane": ("airplane", "jet"),
            "helicopter": ("helicopter", "chopper"),
            "rocket": ("rocket", "missile"),
            "balloon": ("airballoon", "airship"),
            "sailboat": ("sail-boat", "yacht"),
            "ferry": ("ferry", "liner"),
        },
        "face": {
            "smiley": ("emoticon-happy", "grinner"),
            "dude": ("emoticon-cool", "hipster"),
            "devil": ("emoticon-devil", "demon"),
            "man": ("face-man", "guy"),
            "woman": ("face-woman", "lady"),
            "pirate": ("pirate", "corsair"),
            "ninja": ("ninja", "shinobi"),
            "robot": ("robot", "android"),
            "alien": ("alien", "martian"),
            "ghost": ("ghost", "spook"),
            "skull": ("skull", "cranium"),
        },
        "building": {
            "house": ("home", "cottage"),
            "castle": ("castle", "fortress"),
            "church": ("church", "chapel"),
            "mosque": ("mosque", "masjid"),
            "barn": ("barn", "stable"),
            "factory": ("factory", "mill"),
            "warehouse": ("warehouse", "depot"),
            "hospital": ("hospital-building", "clinic"),
            "tower": ("office-building", "skyscraper"),
            "temple": ("temple-buddhist", "pagoda"),
            "bank": ("bank", "museum"),
        },
        "plant": {
            "tree": ("tree", "oak"),
            "pine": ("pine-tree", "fir"),
            "palm": ("palm-tree", "coconut"),
            "flower": ("flower", "daisy"),
            "tulip": ("flower-tulip", "lily"),
            "poppy": ("flower-poppy", "peony"),
            "sprout": ("sprout", "seedling"),
            "mushroom": ("mushroom", "toadstool"),
            "clover": ("clover", "shamrock"),
            "leaf": ("leaf", "frond"),
            "maple": ("leaf-maple", "sycamore"),
            "apple": ("food-apple", "pippin"),
            "pear": ("fruit-pear", "quince"),
        },
        "tool": {
            "hammer": ("hammer", "mallet"),
            "axe": ("axe", "hatchet"),
            "saw": ("hand-saw", "ripsaw"),
            "wrench": ("wrench", "spanner"),
            "shovel": ("shovel", "spade"),
            "pickaxe": ("pickaxe", "mattock"),
            "knife": ("knife", "dagger"),
            "sword": ("sword", "sabre"),
            "pistol": ("pistol", "gun"),
            "bomb": ("bomb", "grenade"),
        },
        "ware": {
            "guitar": ("guitar-acoustic", "ukulele"),
            "violin": ("violin", "fiddle"),
            "mug": ("coffee", "beaker"),
            "goblet": ("glass-wine", "chalice"),
            "bottle": ("bottle-wine", "flask"),
            "lamp": ("lamp", "lantern"),
        },
    }
)
"""Kind -> object -> (its pictogram in the font of Material Design Icons, its other name)."""
OBJECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: (other,) for kind in PICTOGRAMS.values() for name, (_, other) in kind.items()}
)
"""Object -> its other names."""
STYLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"flat": ("solid",), "striped": ("banded",), "sticker": ("decal",), "raised": ("shadowed",)}
)
"""Style -> its other names."""
LEXICON = Lexicon(
    {"object": OBJECTS, "colour": COLOURS, "background": BACKGROUNDS, "style": STYLES},
    {**{kind: tuple(members) for kind, members in PICTOGRAMS.items()}, "thing": tuple(OBJECTS)},
)
"""The names with which captions of this world are written."""
