"""Rules over the whole manifest of an image model, one function each. `language_check` has those of language models.

A rule may see a manifest with fields that could not be read. Such a field has its default, but its place is known. So a
rule that asks whether something was given looks at the places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from editc.core.diagnostics import Diagnostic
from editc.core.image_check import ImageCheck
from editc.core.manifest import Manifest, Request
from editc.core.places import Span
from editc.core.text import fold_name
from editc.manifests.faults import Faults, tick
from editc.manifests.shared_rules import (
    EditedText,
    NamedList,
    keys_have_meaning,
    refuse_options,
    refuse_other_value,
    refuse_preserved,
    refuse_second_edits,
    strengths_are_not_zero,
    warn_repeats,
)

PICTURE_BOUNDS = frozenset({"erased_at_most", "kept_loss_at_most", "share_gap_at_most"})
"""Bounds on what a detector finds on pictures."""
SINGLE_FILES = (".safetensors", ".onnx", ".ckpt", ".bin", ".pt")
"""Endings of models that are one file: they cannot paint. `editc.manifests` may not import the table of formats."""


def check_image(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """All errors and warnings that the rules find."""
    faults = Faults(manifest.source)
    for rule in RULES:
        rule(manifest, faults)
    return tuple(faults.found)


def name_places(edit: Request) -> Iterator[tuple[str, Span | None]]:
    """Every name of an edit's concept, with its place."""
    yield edit.concept, edit.at("concept")
    for i, name in enumerate(edit.also):
        yield name, edit.at(f"also.{i}")


def names_have_one_edit(manifest: Manifest, faults: Faults) -> None:
    """E120, E124: a concept has one edit, and that edit has each of its names once."""
    names = (
        EditedText(edit, fold_name(name), name, span)
        for edit in manifest.image_edits
        for name, span in name_places(edit)
    )
    refuse_second_edits(names, faults)


def preserve_excludes_edits(manifest: Manifest, faults: Faults) -> None:
    """E121, E125: what is edited is not preserved as well."""
    edited: dict[str, Span | None] = {}
    for edit in manifest.image_edits:
        for name, span in name_places(edit):
            edited.setdefault(fold_name(name), span)
    refuse_preserved(edited, manifest.preserve, faults)
    _warn_prompts_name_edits(manifest, edited, faults)


def _warn_prompts_name_edits(manifest: Manifest, edited: dict[str, Span | None], faults: Faults) -> None:
    """E125 for preserved prompts that contain an edited name. `edited` is folded name -> place."""
    if not edited:
        return
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(edited, key=len, reverse=True)))})(?!\w)")
    preserve, help = (
        manifest.preserve,
        "remove the prompt, or word it without this name: it cannot both stay and change",
    )
    for i, prompt in enumerate(preserve.prompts):
        if found := pattern.search(fold_name(prompt)):
            message = f"this preserved prompt names {tick(found[0])}, which is edited"
            faults.warn(
                "E125", message, preserve.at(f"prompts.{i}"), help=help, related=[(edited[found[0]], "edited here")]
            )
    hits = [(prompt, found[0]) for prompt in manifest.preserve_lines if (found := pattern.search(fold_name(prompt)))]
    if hits:
        count = "1 prompt" if len(hits) == 1 else f"{len(hits)} prompts"
        message = (
            f"{count} in the preserved files name{'s' * (len(hits) == 1)} what is edited, such as {tick(hits[0][0])}"
        )
        faults.warn("E125", message, preserve.at("files"), help=help, related=[(edited[hits[0][1]], "edited here")])


def targets_are_not_erased(manifest: Manifest, faults: Faults) -> None:
    """E122, E123: a target is neither the concept itself nor something that another edit erases."""
    erased = {
        fold_name(name): (edit, span)
        for edit in manifest.image_edits
        if edit.kind != "moderate"
        for name, span in name_places(edit)
    }
    for edit in manifest.image_edits:
        own = {fold_name(name) for name in edit.names}
        for name, span in _target_places(edit):
            if fold_name(name) in own:
                help = "name another concept" + ("; leave `to` out for the neutral one" * (edit.kind == "erase"))
                faults.add(
                    "E122",
                    f"the target {tick(name)} is the edited concept itself",
                    span,
                    help=help,
                    related=[(edit.at("concept"), "the concept")],
                )
            elif fold_name(name) in erased:
                related = [(erased[fold_name(name)][1], "erased here")]
                faults.add(
                    "E123",
                    f"the target {tick(name)} is itself erased",
                    span,
                    help="choose a target that no edit erases",
                    related=related,
                )


def _target_places(edit: Request) -> Iterator[tuple[str, Span | None]]:
    """Every target of an edit, with its place."""
    if edit.to is not None:
        yield edit.to, edit.at("to")
    for i, (name, _) in enumerate(edit.toward):
        yield name, edit.at(f"toward.{i}")


def no_repeats(manifest: Manifest, faults: Faults) -> None:
    """E124: no list of the manifest has an item twice. Names are compared without regard to capitals."""
    preserve = manifest.preserve
    lists: tuple[NamedList, ...] = (
        (preserve.concepts, "concepts", preserve.at, fold_name),
        (preserve.prompts, "prompts", preserve.at, str),
        (preserve.files, "files", preserve.at, str),
        (manifest.contexts or (), "contexts", manifest.at, str),
        (manifest.emit, "emit", manifest.at, str),
        (manifest.sites.roles, "roles", manifest.sites.at, str),
        *(([name for name, _ in edit.toward], "toward", edit.at, fold_name) for edit in manifest.image_edits),
        *((edit.contexts or (), "contexts", edit.at, str) for edit in manifest.image_edits),
    )
    warn_repeats(lists, faults)


def one_method(manifest: Manifest, faults: Faults) -> None:
    """E133: all edits are solved together, so they name the same method, key rule and options."""
    edits = manifest.image_edits
    if len({edit.kind == "fuse" for edit in edits}) > 1:
        return
    for name in ("method", "keys", *dict.fromkeys(option for edit in edits for option in edit.options)):
        own = [{"method": edit.method, "keys": edit.keys}.get(name, edit.options.get(name)) for edit in edits]
        given = [(value, edit.at(name)) for value, edit in zip(own, edits, strict=True)]
        refuse_other_value(name, given, "manifest", faults)


def token_weights_count(manifest: Manifest, faults: Faults) -> None:
    """E150, E151: `token_weights` go with `keys: eot`, and at least one weight is not 0."""
    misread = any("keys" in edit.spans and edit.keys is None for edit in manifest.image_edits)
    for edit in manifest.image_edits:
        weights, span = edit.token_weights, edit.at("token_weights")
        if "token_weights" in edit.spans and not misread and (read_by := _rules_with_field("token_weights", manifest)):
            message = f"`token_weights` are for {read_by}, and this manifest uses {tick(f'keys: {manifest.keys}')}"
            faults.add("E150", message, span, help="write `keys: eot` beside them, or remove them")
        if not any((weights.bos, weights.eot, weights.last, weights.keyword)):
            faults.add(
                "E151", "`token_weights` are all 0: no row is left to edit", span, help="give one of them a weight"
            )


def expand_is_for_bare_names(manifest: Manifest, faults: Faults) -> None:
    """E190: `expand` goes with key rules that take bare names. Other key rules have contexts."""
    misread = any("keys" in edit.spans and edit.keys is None for edit in manifest.image_edits)
    for edit in manifest.image_edits:
        if edit.expand is not None and not misread and (read_by := _rules_with_field("expand", manifest)):
            message = f"`expand` is for {read_by}, and this manifest uses {tick(f'keys: {manifest.keys}')}"
            help = "remove it: with this key rule the rows come from the sentences under `contexts`"
            faults.add("E190", message, edit.at("expand"), help=help)


def _rules_with_field(field: str, manifest: Manifest) -> str:
    """The key rules that read this field of an edit, in words. Empty if the manifest's own key rule reads it."""
    from editc.registry.key_rules import KEY_RULES

    if field in KEY_RULES.resolve(manifest.keys).options:
        return ""
    names = [name for name, rule in KEY_RULES.each() if field in rule.options]
    return " and ".join(tick(f"keys: {name}") for name in names)


def options_fit(manifest: Manifest, faults: Faults) -> None:
    """E132: the method itself accepts the options."""
    for edit in () if manifest.fused else manifest.image_edits:
        refuse_options(edit, edit.method or manifest.method, manifest.seed, faults)


def auto_has_a_goal(manifest: Manifest, faults: Faults) -> None:
    """E140: `strength: auto` searches for the least change that meets a bound, so there must be a bound."""
    constraints = manifest.constraints
    for goal in ("erase_residual", "recoverable"):
        if getattr(constraints, goal) is not None or goal in constraints.spans:
            return
    for edit in manifest.image_edits:
        if edit.strength == "auto":
            help = "add `constraints: {erase_residual: 0.2}`, or give a number"
            faults.add("E140", "`strength: auto` has no bound to meet", edit.at("strength"), help=help)


def evidence_is_there(manifest: Manifest, faults: Faults) -> None:
    """E160: `sites: auto` measures what the model predicts, so the model must be able to predict."""
    choice = manifest.sites
    if "auto" in choice.spans and manifest.model.casefold().endswith(SINGLE_FILES):
        message = f"`auto` needs a whole pipeline to measure with, and {tick(manifest.model)} is a single file"
        help = "give `model` a whole pipeline (a folder or a hub id), or choose with `roles`, `include` and `exclude`"
        faults.add("E160", message, choice.at("auto"), help=help, related=[(manifest.at("model"), "the model")])


def pictures_answer(manifest: Manifest, faults: Faults) -> None:
    """E141, E142: each bound on pictures can be answered by pictures."""
    check = manifest.images
    if check is None:
        return
    if manifest.model.casefold().endswith(SINGLE_FILES):
        message = f"no pictures can be made from {tick(manifest.model)}: it is a single file"
        help = "give `model` a whole pipeline (a folder or a hub id), or remove `verify`"
        faults.add("E141", message, check.at(), help=help, related=[(manifest.at("model"), "the model")])
    if (
        "kept_loss_at_most" in check.spans
        and not manifest.preserve.concepts
        and "concepts" not in manifest.preserve.spans
    ):
        message = "`kept_loss_at_most` has nothing to count: no concepts are preserved"
        help = (
            "name some under `preserve: {concepts: [...]}`, or remove the bound: concepts that are not named "
            "are bounded by `bystander_loss`"
        )
        faults.add("E141", message, check.at("kept_loss_at_most"), help=help)
    _bounds_have_detector(manifest, check, faults)
    if (
        "erased_at_most" in check.spans
        and manifest.image_edits
        and all(edit.kind == "moderate" for edit in manifest.image_edits)
    ):
        faults.add(
            "E141",
            "`erased_at_most` has nothing to count: no edit erases",
            check.at("erased_at_most"),
            help="remove the bound",
        )
    measured = any("shares" in edit.spans for edit in manifest.image_edits)
    if "share_gap_at_most" in check.spans and manifest.image_edits and not measured:
        message = "`share_gap_at_most` has nothing to compare: no edit has `shares: measured`"
        help = "write `shares: measured` beside `toward`, or remove the bound"
        faults.add("E141", message, check.at("share_gap_at_most"), help=help)
    if check.detector != "none" and not measured and not PICTURE_BOUNDS & check.spans.keys():
        message = "pictures are counted, but no bound says how many may still show the edited concept"
        faults.warn("E142", message, check.at(), help="add `erased_at_most` or `kept_loss_at_most`")


def attacks_have_detector(manifest: Manifest, faults: Faults) -> None:
    """E147: attacks are judged on pictures, so they need a detector."""
    if not manifest.attacks or (manifest.images is not None and manifest.images.detector != "none"):
        return
    message = "attacks are asked for, and nobody judges whether a concept comes back"
    help = "add `images: {detector: ...}` beside `attacks` (docs/reference/detectors.md)"
    faults.add("E147", message, manifest.at("attacks"), help=help)


def _bounds_have_detector(manifest: Manifest, check: ImageCheck, faults: Faults) -> None:
    """E141: bounds on counts need a detector."""
    for bound in sorted(PICTURE_BOUNDS & check.spans.keys()) if check.detector == "none" else ():
        message = f"{tick(bound)} has nothing to count: `detector: none` judges no pictures"
        related = [(check.spans.get("detector"), "no detector here")]
        help = "name a detector that knows the concepts (docs/reference/detectors.md), or remove the bound"
        faults.add("E141", message, check.at(bound), help=help, related=related)


def default_list_stays(manifest: Manifest, faults: Faults) -> None:
    """E145, a warning: `corpus: none` switches the default list off."""
    preserve = manifest.preserve
    if preserve.corpus == "none":
        named = preserve.concepts or preserve.prompts or preserve.files
        what = "only what this manifest names is preserved" if named else "only the empty prompt is preserved"
        message = f"`corpus: none`: {what}; every other concept may change"
        help = "leave `corpus` out: what you name is added to the model's own prompts, or to everyday ones"
        faults.warn("E145", message, preserve.at("corpus"), help=help)


def rank_holds_names(manifest: Manifest, faults: Faults) -> None:
    """E143, a warning: a rank below the number of edited names cannot hold them all."""
    rank, names = manifest.constraints.rank, sum(len(edit.names) for edit in manifest.image_edits)
    if rank is not None and rank < names:
        message = f"rank {rank} is too low: {names} names are edited, and each needs a rank of at least 1"
        faults.warn(
            "E143", message, manifest.constraints.at("rank"), help=f"allow a rank of {names} or more; 64 is usual"
        )


def shares_are_not_all_zero(manifest: Manifest, faults: Faults) -> None:
    """E144, a warning: shares that are all 0 change nothing."""
    for edit in manifest.image_edits:
        if edit.toward and "shares" not in edit.spans and not any(share for _, share in edit.toward):
            faults.warn(
                "E144", "shares that are all 0 change nothing", edit.at("toward"), help="give one of them a share"
            )


def shares_have_detector(manifest: Manifest, faults: Faults) -> None:
    """E191, E192: `shares: measured` needs a detector, and excludes `strength: auto`, which is another search."""
    for edit in manifest.image_edits:
        unseen = manifest.images.detector == "none" if manifest.images else "images" not in manifest.spans
        if "shares" in edit.spans and unseen:
            message = "`shares: measured` needs a detector, and the manifest names none"
            help = "add `verify: {images: {detector: ...}}`"
            faults.add("E191", message, edit.at("shares"), help=help)
        if "shares" in edit.spans and edit.strength == "auto":
            message = (
                "`shares: measured` and `strength: auto` both search for the strength: an edit can have one of them"
            )
            help = "leave `strength` out"
            faults.add("E192", message, edit.at("strength"), help=help, related=[(edit.at("shares"), "measured")])


def fusions_fit(manifest: Manifest, faults: Faults) -> None:
    """E180, E182, E183: the rules of `fuse_check`, which are imported only where an adapter is fused."""
    if manifest.fused:
        from editc.manifests import fuse_check

        for rule in fuse_check.RULES:
            rule(manifest, faults)


def attributes_fit(manifest: Manifest, faults: Faults) -> None:
    """E153: the rule of `attribute`, which is imported only where an edit has `from`."""
    if any(edit.attribute for edit in manifest.image_edits):
        from editc.manifests.attribute import check_attributes

        check_attributes(manifest, faults)


RULES: tuple[Callable[[Manifest, Faults], None], ...] = (
    names_have_one_edit,
    preserve_excludes_edits,
    targets_are_not_erased,
    no_repeats,
    one_method,
    token_weights_count,
    expand_is_for_bare_names,
    options_fit,
    auto_has_a_goal,
    evidence_is_there,
    pictures_answer,
    default_list_stays,
    rank_holds_names,
    strengths_are_not_zero,
    shares_are_not_all_zero,
    shares_have_detector,
    attacks_have_detector,
    fusions_fit,
    attributes_fit,
    keys_have_meaning,
)
"""The rules, in the order in which they run."""
