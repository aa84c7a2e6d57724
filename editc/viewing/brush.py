"""A model with a delta beside it, which answers prompts twice: before and after the edit. It runs in a process of its
own (`studio`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from editc.core.diagnostics import EditcError, fail
from editc.core.image_check import ImageCheck
from editc.core.ports import Progress
from editc.formats.exports.read import read_delta
from editc.formats.models.model import open_model
from editc.opening.recorded import recorded_manifest

PICTURE_SIDE = 1024
"""The longest side of a picture that is sent to the page, in pixels."""
TOKENS = 60
"""Tokens with which a language model continues a prompt. Chosen by hand: two or three sentences."""


@dataclass(frozen=True)
class Asked:
    """What the reader of a page asks for."""

    prompt: str
    """The prompt."""
    seed: int = 0
    """The seed of the noise. A language model uses none."""


Part: TypeAlias = Mapping[str, str]
"""One half of an answer: `part` is `before` or `after`; `image` is a data URI, or `text` a text."""
Brush: TypeAlias = Callable[[Asked, Progress], Iterator[Part]]
"""Answers a prompt: yields the half before the edit, then the half after it."""


def open_brush(delta: str, model: str) -> Brush:
    """Load a model into memory, to answer with and without the delta. Raises what opening the model raises."""
    read, opened = read_delta(Path(delta)), open_model(model)
    return OPENERS[opened.layout](read, opened, _check_of(read, Path(delta)))


def _check_of(delta: Any, path: Path) -> ImageCheck:
    """The steps and the guidance with which the build painted; the defaults where the delta does not say."""
    with suppress(EditcError):
        return recorded_manifest(delta, path).images or ImageCheck()
    return ImageCheck()


def _try_on(model: Any, delta: Any) -> None:
    """Refuse a delta that does not fit the model, or is in it already, before anything is asked. Raises E512, and what
    loading raises."""
    from editc.live.load import load

    loaded = load(model, [delta])
    changed = loaded.tensors
    loaded.unload()
    if not changed:
        help_text = "give the unedited base with `--model`, to see it before and after"
        raise fail("E512", "the model contains this edit already", help=help_text)


def _open_painter(delta: Any, model: Any, check: ImageCheck) -> Brush:
    """A pipeline that paints."""
    from editc.backends import painter
    from editc.live.load import load
    from editc.opening.target import component_of
    from editc.report.bars import data_uri

    opened = painter.load(model.path, component_of(model), check.steps, check.guidance)
    _try_on(opened.pipeline, delta)

    def paint(asked: Asked, progress: Progress) -> Iterator[Part]:
        brush = replace(opened, progress=lambda stage, items: progress("painting before the edit", items))
        before = brush.paint([asked.prompt], [asked.seed])[0]
        yield {"part": "before", "image": data_uri(before, PICTURE_SIDE)}
        brush = replace(opened, progress=lambda stage, items: progress("painting after the edit", items))
        with load(opened.pipeline, [delta]):
            after = brush.paint([asked.prompt], [asked.seed])[0]
        yield {"part": "after", "image": data_uri(after, PICTURE_SIDE)}

    return paint


def _open_network(delta: Any, model: Any, check: ImageCheck) -> Brush:
    """A language model that continues texts."""
    from editc.backends import networks
    from editc.core.prompts import Prompt
    from editc.live.load import load

    network = networks.load(model.path)
    _try_on(network.model, delta)

    def answer(asked: Asked, progress: Progress) -> Iterator[Part]:
        progress("asking before the edit", ())
        yield {"part": "before", "text": network.generate([Prompt(asked.prompt)], TOKENS)[0]}
        progress("asking after the edit", ())
        with load(network.model, [delta]):
            said = network.generate([Prompt(asked.prompt)], TOKENS)[0]
        yield {"part": "after", "text": said}

    return answer


OPENERS: Mapping[str, Callable[[Any, Any, ImageCheck], Brush]] = {"pipeline": _open_painter, "folder": _open_network}
"""Layout of a model on the disk -> what opens it. No other layout is a whole model (`hand.why_absent`)."""
