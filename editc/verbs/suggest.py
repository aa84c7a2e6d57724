"""`editc suggest`: open what a manifest names, find suggestions, and write the proposed manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from editc.core.diagnostics import fail
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Context, Progress
from editc.verbs.proposal import Proposal


def suggest(
    path: Path, dictionary: Path | None = None, write: Path | None = None, progress: Progress | None = None
) -> Proposal:
    """Propose other names, targets and what to preserve for each edit of a manifest, by its text encoder and the
    solver.

    `dictionary` is a file of names to compare with, one a line. `write` is a new file for the proposed manifest. Raises
    EditcError.
    """
    from editc.core.ports import announce
    from editc.manifests.dictionary import read_names
    from editc.passes.images.suggest.suggest import suggest as find
    from editc.verbs import proposal

    manifest, plan, ctx, corpus = _open(path, write, progress)
    announce(progress, "comparing names and trying targets")
    found = find(plan, ctx, corpus, () if dictionary is None else read_names(dictionary))
    proposed = replace(proposal.propose(manifest, found), notes=ctx.notes)
    return proposed if write is None else _write(proposed, write)


def _open(path: Path, write: Path | None, progress: Progress | None) -> tuple[Manifest, Plan, Context, tuple[str, ...]]:
    """Open what suggest needs: manifest, plan, ports, and the default list of preserved prompts.

    Before any work, raises E171 if `write` exists, E206 for a language model, and E341 if adapters are fused.
    """
    from editc.manifests.amend import refuse_existing
    from editc.opening.default_list import default_prompts
    from editc.passes.images.suggest.suggest import refuse_fused
    from editc.verbs.open import require_manifest

    if write is not None:
        refuse_existing(write)
    opened = require_manifest(path)
    if opened.manifest.kind != "image":
        message = "`editc suggest` needs an image model's text encoder, but these edits are for a language model"
        raise fail("E206", message, place=str(path), help="run `editc build`: it reports which edits interfere")
    refuse_fused(opened.manifest)
    opened = replace(opened, manifest=solvable(opened.manifest))
    ctx = opened.kind.open_ports(opened, progress)
    plan = opened.kind.locate_pass()(opened.manifest, ctx)
    return opened.manifest, plan, ctx, default_prompts(opened.model, opened.manifest, ctx)


def solvable(manifest: Manifest) -> Manifest:
    """The manifest without pictures, and with the family's closed form where its method is trained: many targets are
    tried, which takes a solve each."""
    from editc.passes.images.edit_kind import is_trained

    plain = replace(manifest, images=None)
    if not is_trained(manifest):
        return plain
    return replace(plain, edits=tuple(replace(edit, method=None, options={}) for edit in plain.image_edits))


def _write(proposed: Proposal, write: Path) -> Proposal:
    """Write the proposed manifest to a new file."""
    from editc.core.storage.disk import guard_writes, replace_file

    with guard_writes(write):
        write.parent.mkdir(parents=True, exist_ok=True)
        replace_file(write, proposed.text.encode())
    return replace(proposed, files=(write,))
