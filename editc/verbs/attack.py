"""`editc attack`: run attacks on a finished delta, whatever its own manifest asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from editc.core.diagnostics import Diagnostic, fail
from editc.core.image_check import AttackCheck, ImageCheck
from editc.core.manifest import Manifest
from editc.core.measurements import Claim
from editc.core.ports import Progress, announce
from editc.formats.apply.plan import plan_apply
from editc.formats.delta.parts import is_linked
from editc.formats.diff.diff import refuse_to_verify
from editc.formats.exports.read import read_delta
from editc.formats.models.model import open_model
from editc.manifests.attacks import parse_attacks
from editc.manifests.detector import parse_detector
from editc.opening.default_list import default_prompts
from editc.opening.recorded import recorded_manifest
from editc.verbs.open import kind_of, open_decoded
from editc.verbs.recheck import derive_recorded, recorded_solution
from editc.verbs.results import Attacked


def attack(
    path: Path,
    model: str,
    attacks: str = "quick",
    detector: str = "",
    allow_finetune: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Attacked:
    """Run `attacks`, written as in a manifest, on the delta at `path` in `model`.

    `detector` judges the pictures in place of the delta's own; `seed` stands for the manifest's, so that an attack is
    tried again with other random numbers. Raises E512 (the edit is in the model already), E514 (a
    delta that has no attacks: of a language model, of a link, of two checkpoints), E147 (nobody judges) and what
    opening the model raises.
    """
    wanted = parse_attacks(attacks)
    delta, opened = read_delta(path), open_model(model)
    plan = plan_apply([delta], opened, allow_finetune)
    if plan.status == "already":
        help_text = "give the unedited base; the attacks put the edit in themselves"
        raise fail("E512", "the model contains this edit already", place=opened.place, help=help_text)
    refuse_to_verify(delta)
    if is_linked(delta):
        help_text = "attack each delta that it was linked from"
        raise fail("E514", "this delta links several", place=str(path), help=help_text)
    manifest = _attacked_manifest(recorded_manifest(delta, path), path, detector, wanted)
    manifest = manifest if seed is None else replace(manifest, seed=seed)
    kind = kind_of(manifest)
    ctx = kind.open_ports(open_decoded(manifest, opened), progress)
    announce(progress, "derive")
    problem = derive_recorded(delta, manifest, opened.place, default_prompts(opened, manifest, ctx), ctx)
    announce(progress, "attack")
    results, claims, warnings = kind.attack(recorded_solution(delta, problem), ctx)
    failures = tuple(_broken(claim) for claim in claims if not claim.holds)
    return Attacked(delta, plan.tier, results, claims, failures, warnings, ctx.detector_identity)


def _attacked_manifest(manifest: Manifest, path: Path, detector: str, attacks: tuple[AttackCheck, ...]) -> Manifest:
    """The delta's manifest with these attacks, and with the detector that judges them. E514 for a language model, E147
    where nobody judges."""
    if manifest.kind != "image":
        help_text = "attacks are for image models; `editc verify` asks a language model again"
        raise fail("E514", "this delta edits a language model", place=str(path), help=help_text)
    check = manifest.images or ImageCheck()
    if detector:
        name, options = parse_detector(detector)
        check = replace(check, detector=name, options=options)
    elif manifest.images is not None:
        check = replace(check, options=replace(check.options, foreign=True))
    if check.detector == "none":
        help_text = "name a detector: `--detector '{clip: FOLDER}'` (docs/reference/detectors.md)"
        raise fail("E147", "nobody judges whether a concept comes back", place=str(path), help=help_text)
    return replace(manifest, images=check, attacks=attacks)


def _broken(claim: Claim) -> Diagnostic:
    """E501 of a bound that was asked for on the command line."""
    message = f"{claim.name} of `{claim.subject}` is {claim.value:.2g}, above {claim.bound:.2g}"
    return Diagnostic("E501", message, help="erase harder, by a method that trains against attacks")
