"""Pictures for verify: paint the same prompts and seeds before and after an edit, and ask a detector what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.image_check import ImageCheck
from editc.core.manifest import Manifest, Request
from editc.core.measurements import Claim, Picture, Report
from editc.core.plan import Plan
from editc.core.ports import Context, Detector
from editc.passes.images.painting.base_pictures import paint_base

FEWEST_PRESERVED = 4
"""Pictures of a preserved concept at least. Chosen by hand: fewer cannot tell a loss from chance."""


@dataclass(frozen=True)
class PictureTask:
    """One picture to paint, before and after the edit."""

    request: int | None
    """The index of its edit in the manifest; None for a concept that is not edited."""
    erased: bool
    """True where the concept should be gone after the edit."""
    concept: str
    """The concept that the prompt names, by its first name."""
    prompt: str
    """The text that the model is given. Empty in the template of `picture_series`."""
    seed: int
    """The seed of the noise, before and after the edit. In the template of `picture_series`: the manifest's seed."""
    concepts: tuple[str, ...]
    """The concepts to ask the detector about; () without a detector."""


@dataclass(frozen=True)
class PicturePair:
    """The two pictures of a task, and what they show."""

    task: PictureTask
    """The task."""
    before: NDArray[np.uint8]
    """(h, w, 3), 0 to 255: painted by the base."""
    after: NDArray[np.uint8]
    """(h, w, 3), 0 to 255: painted by the edited model."""
    shown_before: NDArray[np.bool_]
    """(k,): whether `before` shows each concept of the task."""
    shown_after: NDArray[np.bool_]
    """(k,): whether `after` shows each concept of the task."""


def plan_pictures(plan: Plan, detector: Detector | None) -> tuple[PictureTask, ...]:
    """Return what to paint for this manifest: each request, then each preserved concept that the detector knows.

    Names and contexts take turns. Seeds follow from the manifest's seed, the concept and the number of the picture, so
    that another edit in the manifest does not change these pictures. Without a detector every preserved concept is
    painted, and nothing is judged. Raises E504 where the detector does not know an edited concept.
    """
    manifest = plan.manifest
    if manifest.images is None:
        return ()
    if detector is not None:
        refuse_unknown(manifest, detector)
    many = manifest.images.prompts_per_concept
    few = max(FEWEST_PRESERVED, many // 2)
    taken: list[PictureTask] = []
    for index, request in enumerate(manifest.image_edits):
        first = PictureTask(
            index, request.kind != "moderate", request.concept, "", manifest.seed, _concepts_to_judge(request)
        )
        taken += picture_series(first, request.names, plan.contexts(request), many)
    for concept in dict.fromkeys(manifest.preserve.concepts):
        if detector is None or detector.knows(concept):
            taken += picture_series(
                PictureTask(None, False, concept, "", manifest.seed, (concept,)), (concept,), plan.contexts(), few
            )
    return tuple(taken) if detector is not None else tuple(replace(one, concepts=()) for one in taken)


def refuse_unknown(manifest: Manifest, detector: Detector) -> None:
    """Raise E504 for each concept of the edits that the detector does not know."""
    if found := unknown_concepts(manifest, detector.knows):
        raise EditcError(*found)


def unknown_concepts(manifest: Manifest, knows: Callable[[str], bool]) -> tuple[Diagnostic, ...]:
    """Return E504 for each concept of the edits that a detector does not know. `knows` is told the concept, whatever
    its label is."""
    return tuple(_unknown_concept(manifest, *place) for place in detector_concepts(manifest) if not knows(place[2]))


def paint_pairs(
    todo: Sequence[PictureTask], changed: Mapping[str, Array], ctx: Context, batch: int, phase: str = "paint"
) -> tuple[PicturePair, ...]:
    """Paint every task before and after the edit, with equal seeds, `batch` pictures at a time.

    `changed` maps parameter names to edited weights. `phase` is the name in progress output.
    """
    chunks: Iterable[Any] = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    steps: Iterable[Any] = ctx.progress(phase, chunks) if ctx.progress else chunks
    return tuple(one for chunk in steps for one in _paint_before_after(chunk, changed, ctx))


def claims(manifest: Manifest, pairs: Sequence[PicturePair]) -> tuple[Claim, ...]:
    """Return what the judged pictures say; () where nothing was judged.

    For each erased concept, `erased` and its control `shown_before`. For each moderated one, `toward_before` and
    `toward_after` of each share, and `toward_gap` where it gives `shares`. For preserved concepts, `kept_loss`.
    """
    asked = manifest.images
    if asked is None or not any(one.task.concepts for one in pairs):
        return ()
    found: list[Claim] = []
    for index, request in enumerate(manifest.image_edits):
        before, after = _shown_shares([one for one in pairs if one.task.request == index])
        if request.kind == "moderate":
            found += (*_share_claims(request, before, after), *_gap_claims(request, asked, after))
            continue
        place = asked.at("erased_at_most")
        found.append(Claim("erased", float(after[0]), asked.erased_at_most, request.concept, place, "share"))
        found.append(Claim("shown_before", float(before[0]), subject=request.concept, unit="share"))
    return (*found, *_loss_claims(manifest, [one for one in pairs if one.task.request is None]))


def report_pictures(pairs: Sequence[PicturePair]) -> tuple[Picture, ...]:
    """Return the pictures in the form of the report.

    The mark says whether the concept is shown: for a moderated one, any concept of `toward`; None where nobody judged.
    """
    return tuple(
        Picture(
            one.task.concept,
            one.task.prompt,
            one.task.seed,
            one.task.erased,
            one.before,
            one.after,
            bool(one.shown_before.any()) if one.task.concepts else None,
            bool(one.shown_after.any()) if one.task.concepts else None,
        )
        for one in pairs
    )


def warn_seldom_shown(manifest: Manifest, report: Report) -> Iterator[Diagnostic]:
    """Yield E505 for each erased concept that the base shows in less than half of its pictures."""
    controls = {claim.subject: claim.value for claim in report.claims if claim.name == "shown_before"}
    for request in manifest.image_edits:
        share = controls.get(request.concept, 1.0)
        if share < 0.5:
            yield Diagnostic(
                "E505",
                f"the model showed `{request.concept}` in only {share:.0%} of the pictures before the edit, so that "
                "its absence after the edit proves little",
                request.at("concept"),
                manifest.source,
                help="give `contexts` in which the model does show it, or a detector that recognises it",
                severity="warning",
            )


def warn_unmeasured_bounds(manifest: Manifest, report: Report) -> Iterator[Diagnostic]:
    """Yield E506 for each bound on pictures that no picture measured."""
    asked = manifest.images
    answered = {claim.name for claim in report.claims if claim.bound is not None}
    bounds = ("erased", "erased_at_most"), ("kept_loss", "kept_loss_at_most"), ("toward_gap", "share_gap_at_most")
    for name, bound in bounds:
        if asked is not None and getattr(asked, bound) is not None and name not in answered:
            yield Diagnostic(
                "E506",
                f"{bound} was not measured: there are no pictures to measure it on",
                asked.at(bound),
                manifest.source,
                help="it needs a model that can paint and a detector; `kept_loss_at_most` also needs a preserved "
                "concept that the detector knows",
                severity="warning",
            )


def _concepts_to_judge(request: Request) -> tuple[str, ...]:
    """Return the concepts that a request's pictures are judged for: those of `toward`, or the concept itself."""
    return tuple(name for name, _ in request.toward) if request.kind == "moderate" else (request.concept,)


def detector_concepts(manifest: Manifest) -> Iterator[tuple[Request, str, str]]:
    """Yield every concept that the detector must know, after its request and the field of the manifest that names
    it."""
    for request in manifest.image_edits:
        field = "toward" if request.kind == "moderate" else "label" if request.label else "concept"
        yield from ((request, field, concept) for concept in _concepts_to_judge(request))


def _unknown_concept(manifest: Manifest, request: Request, field: str, concept: str) -> Diagnostic:
    """Make the E504 of one concept."""
    detector = "" if manifest.images is None else manifest.images.detector
    return Diagnostic(
        "E504",
        f"the detector {detector} does not know `{request.label or concept}`",
        request.at(field),
        manifest.source,
        help="give the detector's name for it as `label`, choose another detector, or leave `verify.images` out",
    )


def picture_series(
    first: PictureTask, names: Sequence[str], contexts: Sequence[str], count: int, purpose: str = ""
) -> Iterator[PictureTask]:
    """Yield `count` tasks like `first`, or one for each name if there are more names: a context with all names, then
    the next context.

    `purpose` changes the seeds, so that what was found on some pictures can be verified on others.
    """
    for number in range(max(count, len(names))):
        context = contexts[number // len(names) % len(contexts)] if contexts else "{}"
        prompt = context.replace("{}", names[number % len(names)])
        yield replace(first, prompt=prompt, seed=_seed(first.seed, first.concept + purpose, number))


def _seed(seed: int, concept: str, number: int) -> int:
    """Return 31 bits of a hash. Concepts do not share noise, and all machines draw the same."""
    return int.from_bytes(sha256(f"{seed}\n{concept}\n{number}".encode()).digest()[:4], "big") >> 1


def _paint_before_after(
    chunk: Sequence[PictureTask], changed: Mapping[str, Array], ctx: Context
) -> Iterator[PicturePair]:
    """Paint and judge one batch."""
    assert ctx.painter is not None
    prompts, seeds = [task.prompt for task in chunk], [task.seed for task in chunk]
    before, after = paint_base(prompts, seeds, ctx), ctx.painter.paint(prompts, seeds, changed)
    shown = [judge_pictures(chunk, pictures, ctx.detector) for pictures in (before, after)]
    for index, task in enumerate(chunk):
        yield PicturePair(task, before[index], after[index], shown[0][index], shown[1][index])


def judge_pictures(
    chunk: Sequence[PictureTask], pictures: NDArray[np.uint8], detector: Detector | None
) -> list[NDArray[np.bool_]]:
    """Return, for each picture (n, h, w, 3), whether it shows each concept of its task, (k,).

    The detector is asked once for each concept. Without a detector every result is empty.
    """
    if detector is None:
        return [np.zeros(0, bool) for _ in chunk]
    names = dict.fromkeys(name for task in chunk for name in task.concepts)
    answers = {name: detector.shows(name, pictures) for name in names}
    return [np.array([answers[name][index] for name in task.concepts], dtype=bool) for index, task in enumerate(chunk)]


def _shown_shares(pairs: Sequence[PicturePair]) -> tuple[Array, Array]:
    """Return the share of pictures that show each judged concept, (k,), before and after."""
    before = np.mean([one.shown_before for one in pairs], axis=0)
    return np.asarray(before), np.asarray(np.mean([one.shown_after for one in pairs], axis=0))


def _share_claims(request: Request, before: Array, after: Array) -> Iterator[Claim]:
    """Yield the shares of a moderated concept, before and after, for each concept of `toward`."""
    for (name, _), old, new in zip(request.toward, before, after, strict=True):
        yield Claim("toward_before", float(old), subject=f"{request.concept}: {name}", unit="share")
        yield Claim("toward_after", float(new), subject=f"{request.concept}: {name}", unit="share")


def _gap_claims(request: Request, asked: ImageCheck, after: Array) -> Iterator[Claim]:
    """Yield the largest distance from a wanted share, where the request gives `shares`."""
    if request.shares is not None:
        gap = max(abs(share - float(new)) for (_, share), new in zip(request.toward, after, strict=True))
        place = asked.at("share_gap_at_most")
        yield Claim("toward_gap", round(gap, 12), asked.share_gap_at_most, request.concept, place, "share")


def _loss_claims(manifest: Manifest, preserved: Sequence[PicturePair]) -> Iterator[Claim]:
    """Yield the share lost over all preserved concepts together, which has the bound, then that of each concept."""
    asked = manifest.images
    if asked is None or not preserved:
        return
    yield Claim(
        "kept_loss", _loss(preserved), asked.kept_loss_at_most, span=asked.at("kept_loss_at_most"), unit="share"
    )
    for concept in dict.fromkeys(one.task.concept for one in preserved):
        yield Claim(
            "kept_loss", _loss([one for one in preserved if one.task.concept == concept]), subject=concept, unit="share"
        )


def _loss(pairs: Sequence[PicturePair]) -> float:
    """Return the share of pictures that show their concept before, minus the share after."""
    before, after = _shown_shares(pairs)
    return float(before[0] - after[0])
