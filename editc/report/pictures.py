"""Read the pictures of a build back from its report.html, and tell whether they are those that report.json names."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.measurements import Picture
from editc.report.bars import PICTURE_SIDE
from editc.report.record import pixels_digest

PREFIX = "data:image/png;base64,"
"""How the address of a picture in the report begins. No other address is read."""
NUMBERED, SOURCE = ' data-picture="', 'src="'
"""What stands before the number of a picture in the page, and before the address of an image."""
NOTHING: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)
"""The pixels of a picture that is not in the page."""


@dataclass(frozen=True)
class FoundPictures:
    """The pictures of a build, as far as its page has them."""

    pictures: tuple[Picture, ...]
    """One for each entry under `pictures` of report.json, in its order. Without pixels where the page has none."""
    same: int
    """How many have, before and after, the very pixels whose sha256 stands in report.json."""
    reduced: int
    """How many are reduced, so that they cannot be compared."""
    other: int
    """How many are not those that report.json names. They have no pixels here."""

    @property
    def shown(self) -> int:
        """How many have pixels."""
        return self.same + self.reduced


NO_PICTURES = FoundPictures((), 0, 0, 0)
"""Those of a build without pictures."""


def read_pictures(page: str, entries: Sequence[Mapping[str, Any]]) -> FoundPictures:
    """Find the pictures of `entries`, the list `pictures` of report.json, in the text of report.html.

    Anybody may have written the page, so nothing of it but pixels is taken.
    """
    found, counts = _addresses(page), {"same": 0, "reduced": 0, "other": 0}
    pictures = []
    for number, entry in enumerate(entries):
        pixels = [_decode(address) for address in found.get(number, ("", ""))]
        state = _compare(pixels, (entry["before"], entry["after"])) if all(one.size for one in pixels) else "none"
        if state in counts:
            counts[state] += 1
        before, after = pixels if state in ("same", "reduced") else (NOTHING, NOTHING)
        pictures.append(_picture(entry, before, after))
    return FoundPictures(tuple(pictures), **counts)


def _picture(entry: Mapping[str, Any], before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Picture:
    """Make the picture of an entry of report.json."""
    old, new = (None if entry[name] is None else bool(entry[name]) for name in ("shown_before", "shown_after"))
    concept, prompt, seed = str(entry["concept"]), str(entry["prompt"]), int(entry["seed"])
    return Picture(concept, prompt, seed, bool(entry["erased"]), before, after, old, new, bool(entry["attack"]))


def _compare(pixels: Sequence[NDArray[np.uint8]], digests: Sequence[str]) -> str:
    """Return `same` or `other`; `reduced` where the page may hold smaller copies."""
    if [pixels_digest(one) for one in pixels] == list(digests):
        return "same"
    return "reduced" if all(max(one.shape[:2]) == PICTURE_SIDE for one in pixels) else "other"


def _decode(address: str) -> NDArray[np.uint8]:
    """Return the pixels (h, w, 3) at a data URI; NOTHING where it is no PNG of a size that a report has."""
    from PIL import Image

    if not address.startswith(PREFIX):
        return NOTHING
    try:
        with Image.open(BytesIO(b64decode(address[len(PREFIX) :], validate=True)), formats=["PNG"]) as image:
            if max(image.size) > PICTURE_SIDE or image.mode != "RGB":
                return NOTHING
            return np.asarray(image, np.uint8)
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for damaged files
        return NOTHING


def _addresses(page: str) -> Mapping[int, tuple[str, str]]:
    """Return number of a picture -> the addresses of its two images, in time that grows with the page alone.

    The page of a build has no quotes within attributes, so its pieces need no parser.
    """
    found = {}
    for piece in page.split(NUMBERED)[1:]:
        number, images = piece.partition('"')[0], piece.split(SOURCE, 3)[1:3]
        if number.isascii() and number.isdigit() and len(number) < 9 and len(images) == 2:
            found[int(number)] = images[0].partition('"')[0], images[1].partition('"')[0]
    return found
