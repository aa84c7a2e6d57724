"""Bystanders: concepts that the manifest does not name, painted before and after the edit to see whether they are lost.

Candidates are what the detector can judge, or everyday things where it can judge any word. Near bystanders are, in
turn, the candidate that the text encoder reads most like what is edited, and the one that the edit moves most. Far
bystanders are drawn from the rest. Their pictures have seeds of their own. A concept that lost a picture is painted
again, twice as often, and all its pictures count, because a single picture can change by chance. A concept that the
base shows in less than half of its pictures is left out: it cannot be said to be lost.

Concepts that are preserved by name have the same bound, so that naming one does not make its loss easier. Their
pictures are those that verify paints of them anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, zip_longest

import numpy as np

from editc.core.delta import Array
from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.core.measurements import Bystander, Claim, Report
from editc.core.plan import Plan
from editc.core.ports import Context, Encoder
from editc.core.solution import Solution
from editc.core.text import mentions
from editc.passes import stored
from editc.passes.images.keys.name_signals import Signals, output_size
from editc.passes.images.painting import pictures
from editc.passes.images.painting.pictures import PicturePair, PictureTask
from editc.passes.images.verify.everyday import THINGS

LARGEST_LOSS = 1 / 6
"""The default bound: any bystander may lose at most one picture in six. Chosen by hand; docs/explanation/bystanders.md
says what it can detect."""
AGAIN = 2
"""A bystander that lost a picture is painted again, twice as often. Six pictures alone would fail 7 of 100
harmless builds with twelve bystanders (docs/explanation/bystanders.md)."""
LEAST_SHOWN = 0.5
"""A concept that the base shows in a smaller share of its pictures cannot be said to be lost. Chosen by hand."""
SAME_THING = 0.85
"""A candidate with this cosine or more to an edited name is another name of it and not a bystander. On the demo model,
other names of an object score 0.94 or more, and other objects at most 0.82."""
CONTEXTS = 4
"""Contexts in which names are compared. Chosen by hand."""
MOST_CANDIDATES = 300
"""Candidates at most, evenly picked from what a detector lists, because each is encoded in every context. Chosen by
hand."""


@dataclass(frozen=True)
class ChosenBystander:
    """A concept to paint as a bystander."""

    name: str
    """The name."""
    kind: str
    """`near` what is edited, `far` from it, or `kept`: preserved by name."""


@dataclass(frozen=True)
class BystanderChooser:
    """Chooses the bystanders of one solution."""

    solution: Solution
    """The solution."""
    ctx: Context
    """The ports."""
    others: Sequence[str] = ()
    """Names that the other deltas of a link edit. This edit is not to blame for their loss."""

    @property
    def plan(self) -> Plan:
        """The plan that the solution belongs to."""
        return self.solution.problem.plan

    def choose(self, further: int = 0) -> tuple[ChosenBystander, ...]:
        """Return the bystanders, near ones first; () where no pictures are painted and judged. `further` far ones are
        added to those that the manifest asks for."""
        asked, encoder = self.plan.manifest.images, self.ctx.encoder
        if asked is None or self.ctx.detector is None or self.ctx.painter is None:
            return ()
        candidates = self._candidates()
        if encoder is None or not candidates:
            most = asked.bystanders.near + asked.bystanders.far + further
            return tuple(ChosenBystander(name, "far") for name in candidates[:most])
        signals = self._signals(encoder, candidates)
        orders = (self._by_likeness(signals, candidates), self._by_movement(signals, candidates))
        ranked = list(dict.fromkeys(name for name in chain(*zip_longest(*orders)) if name))
        near = ranked[: asked.bystanders.near]
        rest = sorted((name for name in orders[0] if name not in near), key=self._random_key)
        far = rest[: asked.bystanders.far + further]
        return (*(ChosenBystander(name, "near") for name in near), *(ChosenBystander(name, "far") for name in far))

    def _candidates(self) -> list[str]:
        """Return the candidates: concepts of the detector that mention nothing of the manifest, and the reverse."""
        detector = self.ctx.detector
        assert detector is not None
        listed = detector.concepts() or [name for name in THINGS if detector.knows(name)]
        known = pick_evenly(listed, MOST_CANDIDATES)
        named = [*manifest_names(self.plan.manifest), *self.others]
        return [one for one in dict.fromkeys(known) if not any(mentions(one, n) or mentions(n, one) for n in named)]

    def _signals(self, encoder: Encoder, candidates: Sequence[str]) -> Signals:
        """Encode the candidates, the edited names and the targets."""
        names = [*candidates, *self._edited_names(), *self._target_names()]
        return Signals.of(encoder, names, pick_evenly(self.plan.family.contexts, CONTEXTS))

    def _edited_names(self) -> list[str]:
        """Return the names of all edits, without file names of adapters, and `others`."""
        edits = self.plan.manifest.image_edits
        return [*(name for edit in edits for name in edit.names if name != edit.adapter), *self.others]

    def _target_names(self) -> list[str]:
        """Return the targets that the manifest names."""
        return [name for edit in self.plan.manifest.image_edits for name in (edit.to or "", *dict(edit.toward)) if name]

    def _by_likeness(self, signals: Signals, candidates: Sequence[str]) -> list[str]:
        """Sort the candidates by likeness to an edited name or a target, most alike first.

        Other names of what is edited are left out.
        """
        cosines, at = signals.cosines(), {name: index for index, name in enumerate(signals.names)}
        edited, every = (
            [at[n] for n in self._edited_names()],
            [at[n] for n in (*self._edited_names(), *self._target_names())],
        )
        most = {n: float(cosines[at[n], edited].max(initial=-1.0)) for n in candidates}
        left = [name for name in candidates if most[name] < SAME_THING]
        return sorted(left, key=lambda name: (-float(cosines[at[name], every].max(initial=-1.0)), name))

    def _by_movement(self, signals: Signals, candidates: Sequence[str]) -> list[str]:
        """Sort the same candidates by how far the edit moves them, |D x| / |W (x - mean)|, furthest first.

        Norms run over the sites that read the text, with D = W' - W. Returns [] where no such site changes.
        """
        change, gram = self._grams(signals.rows.shape[-1])
        if not change.any():
            return []
        moved, whole = output_size(signals.rows, change), output_size(signals.rows - signals.mean, gram)
        far = np.divide(moved, whole, out=np.zeros_like(moved), where=whole > 0).max(axis=1)
        by_name = dict(zip(signals.names, far.tolist(), strict=True))
        alike = set(self._by_likeness(signals, candidates))
        return sorted((name for name in candidates if name in alike), key=lambda name: (-by_name[name], name))

    def _grams(self, width: int) -> tuple[Array, Array]:
        """Return sum D^T D and sum W^T W, (width, width) each, over the sites; D = W' - W with W' as stored."""
        change, gram = np.zeros((width, width)), np.zeros((width, width))
        for group, edit in self.solution.edits.items():
            sites = self.plan.sites_of(group)
            system = self.solution.problem.systems[group]
            if not system.preserved.empty.size or sites[0].shape[1] != width:
                continue
            for index, (site, W) in enumerate(zip(sites, system.weights, strict=True)):
                D = stored.stored_weight(np.asarray(W), edit, index, site) - W
                change += D.T @ D
                gram += W.T @ W
        return change, gram

    def _random_key(self, name: str) -> bytes:
        """Return a sort key that makes the order random, but the same on all machines."""
        return sha256(f"{self.plan.manifest.seed}\n{name}".encode()).digest()


def manifest_names(manifest: Manifest) -> Iterator[str]:
    """Yield every concept in a manifest: edited names, targets, and concepts preserved by name."""
    for edit in manifest.image_edits:
        yield from (name for name in (*edit.names, edit.to or "", edit.label or "", *dict(edit.toward)) if name)
    yield from manifest.preserve.concepts


def measure_bystanders(
    chooser: BystanderChooser, changed: Mapping[str, Array], batch: int, pairs: Sequence[PicturePair] = ()
) -> tuple[Bystander, ...]:
    """Paint every bystander before and after the edit; return what each lost, the largest loss first.

    Concepts preserved by name are taken from `pairs`, which verify has painted already.
    """
    chosen, asked = chooser.choose(), chooser.plan.manifest.images
    preserved = [one for one in pairs if one.task.request is None and one.task.concepts]
    if asked is None or not (chosen or preserved):
        return ()
    count = asked.bystanders.pictures
    first = (*_paint(chooser, chosen, changed, batch, (0, count)), *preserved)
    chosen = (
        *chosen,
        *(ChosenBystander(name, "kept") for name in dict.fromkeys(one.task.concept for one in preserved)),
    )
    doubted = [one for one in chosen if _count_lost(first, one) > 0]
    again = _paint(chooser, doubted, changed, batch, (count, AGAIN * count)) if doubted else ()
    every = (_measure_one(one, [*first, *again]) for one in chosen)
    return tuple(sorted((one for one in every if one.before >= LEAST_SHOWN), key=lambda one: (-loss(one), one.name)))


def claims(manifest: Manifest, found: Sequence[Bystander]) -> Iterator[Claim]:
    """Yield `bystander_loss`, the share that the worst bystander lost; nothing where none was measured."""
    for worst in found[:1]:
        asked, given = manifest.constraints.bystander_loss, manifest.constraints.spans.get("bystander_loss")
        place = given or manifest.image_edits[0].at("to")
        yield Claim("bystander_loss", loss(worst), LARGEST_LOSS if asked is None else asked, worst.name, place, "share")


def warn_unmeasured(manifest: Manifest, report: Report) -> Iterator[Diagnostic]:
    """Yield E506 where the manifest bounds the loss of bystanders and none was measured."""
    bounds = manifest.constraints
    if bounds.bystander_loss is not None and not report.bystanders:
        yield Diagnostic(
            "E506",
            "bystander_loss was not measured: there are no pictures of concepts that the manifest does not name",
            bounds.at("bystander_loss"),
            manifest.source,
            help="name a detector under `verify: {images: ...}`, and leave room for `bystanders` there",
            severity="warning",
        )


def loss(one: Bystander) -> float:
    """Return the share of pictures lost as a quotient of counts, so that 3 of 18 is exactly one in six."""
    return round(one.of * one.before - one.of * one.after) / one.of


def pick_evenly(contexts: Sequence[str], most: int, start: int = 0) -> list[str]:
    """Return at most `most` of the items, evenly picked, from index `start` on, going round at the end."""
    step = max(1, len(contexts) // most)
    return [contexts[(start + step * number) % len(contexts)] for number in range(min(most, len(contexts)))]


def _paint(
    chooser: BystanderChooser,
    chosen: Sequence[ChosenBystander],
    changed: Mapping[str, Array],
    batch: int,
    part: tuple[int, int],
) -> tuple[PicturePair, ...]:
    """Paint pictures of each bystander: `part` has the number of its first picture and how many to paint."""
    plan, (start, count) = chooser.plan, part
    tasks: list[PictureTask] = []
    for one in chosen:
        first = PictureTask(None, False, one.name, "", plan.manifest.seed, (one.name,))
        contexts = pick_evenly(_contexts(plan, one), count, start)
        tasks += pictures.picture_series(first, (one.name,), contexts, count, f" as a bystander from {start}")
    return pictures.paint_pairs(tasks, changed, chooser.ctx, batch, "bystanders")


def _contexts(plan: Plan, one: ChosenBystander) -> Sequence[str]:
    """Return the contexts of a bystander.

    A concept preserved by name has those of the manifest; others those of the model that mention nothing of it.
    """
    if one.kind == "kept":
        return plan.contexts()
    named = [*manifest_names(plan.manifest)]
    return [one for one in plan.family.contexts if not any(mentions(one, name) for name in named)] or ["{}"]


def _count_lost(pairs: Sequence[PicturePair], one: ChosenBystander) -> int:
    """Return how many fewer pictures show a bystander after the edit than before."""
    mine = [p for p in pairs if p.task.concept == one.name]
    return sum(int(p.shown_before.any()) - int(p.shown_after.any()) for p in mine)


def _measure_one(one: ChosenBystander, pairs: Sequence[PicturePair]) -> Bystander:
    """Return the shares of a bystander's pictures that show it, before and after."""
    mine = [p for p in pairs if p.task.concept == one.name]
    before = float(np.mean([p.shown_before.any() for p in mine]))
    after = float(np.mean([p.shown_after.any() for p in mine]))
    return Bystander(one.name, one.kind, before, after, len(mine))
