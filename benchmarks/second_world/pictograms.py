"""The pictograms of the second world: glyphs of the font of Material Design Icons, drawn large.

The font (6.9.96, Apache License 2.0) comes with the package QtAwesome 1.4.2 (MIT). Where that is not installed, pip
downloads its wheel, out of which only the font and its list of names are taken.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchmarks.second_world import FOLDER
from editc.demo.world import SIZE, SUPERSAMPLING

PACKAGE = "qtawesome==1.4.2"
"""The package on PyPI that has the font."""
FONT, NAMES = "materialdesignicons6-webfont-6.9.96.ttf", "materialdesignicons6-webfont-charmap-6.9.96.json"
"""The files of the font and of its names, in the package's folder `fonts`."""
FONT_HASH = "be825c1294d3c4f046c8e496b18f8f0c7d2864e339c81bdab9297f17ffac1938"
"""The SHA-256 of the font: with other glyphs the world would be another one."""
HEIGHT = 28
"""The size of a pictogram in pixels. Chosen by hand: details of the font are two pixels wide then."""

Mask = npt.NDArray[np.bool_]
"""Where a pictogram is on the supersampled canvas, (128, 128)."""


@cache
def draw_pictogram(name: str) -> Mask:
    """Return the pictogram of that name in the middle of the supersampled canvas."""
    side = SIZE * SUPERSAMPLING
    image = Image.new("L", (side, side))
    font, glyph = _font(), chr(int(_code_points()[name], 16))
    left, top, right, bottom = font.getbbox(glyph)
    ImageDraw.Draw(image).text(((side - left - right) / 2, (side - top - bottom) / 2), glyph, font=font, fill=255)
    return np.asarray(image) >= 128


@cache
def find_fonts() -> Path:
    """Return the folder with the font: that of an installed QtAwesome, else a downloaded copy. Exits where neither is
    to be had."""
    spec = find_spec("qtawesome")
    installed = Path(spec.origin).parent / "fonts" if spec and spec.origin else FOLDER
    folder = installed if (installed / FONT).is_file() else FOLDER / "fonts"
    if not (folder / FONT).is_file() or not (folder / NAMES).is_file():
        _download(folder)
    if sha256((folder / FONT).read_bytes()).hexdigest() != FONT_HASH:
        raise SystemExit(f"{folder / FONT} is not the font of {PACKAGE}: remove it and start again")
    return folder


def _download(folder: Path) -> None:
    """Let pip download the package, and unpack the font into `folder`."""
    with tempfile.TemporaryDirectory() as draft:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE, "--dest", draft]
        if subprocess.run(command, check=False).returncode:
            raise SystemExit(f"pip cannot download {PACKAGE}, which has the pictograms: install it, then start again")
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(next(Path(draft).glob("*.whl"))) as wheel:
            for name in (FONT, NAMES):
                (folder / name).write_bytes(wheel.read(f"qtawesome/fonts/{name}"))


@cache
def _font() -> ImageFont.FreeTypeFont:
    """Return the font, large enough for the supersampled canvas."""
    return ImageFont.truetype(str(find_fonts() / FONT), HEIGHT * SUPERSAMPLING)


@cache
def _code_points() -> dict[str, str]:
    """Return the name of each glyph -> its code point, hexadecimal."""
    found: dict[str, str] = json.loads((find_fonts() / NAMES).read_text(encoding="utf-8"))
    return found
