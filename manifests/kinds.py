"""What manifests for image and for language models have of their own: how edits are read, and which rules hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.manifests import check, language_edits
from editc.manifests.attached import AttachedFiles
from editc.manifests.edits import kinds_of, read_edits
from editc.manifests.faults import Faults
from editc.manifests.fields import ReadBlock
from editc.manifests.files import adapters_exist
from editc.manifests.tree import Node

KindName: TypeAlias = Literal["image", "language"]


@dataclass(frozen=True)
class ManifestKind:
    """The manifests for one kind of model."""

    name: KindName
    """What `Manifest.kind` says."""
    read: Callable[[Node | None, ReadBlock, AttachedFiles, Faults], Mapping[str, Any]]
    """The manifest's fields that this kind alone has, `edits` among them, from the node of `edits` and the block of the
    whole manifest; what cannot be read is put into the faults."""
    check: Callable[[Manifest], tuple[Diagnostic, ...]]
    """All errors and warnings of the rules over a whole manifest."""


def _read_image(edits: Node | None, block: ReadBlock, attached: AttachedFiles, faults: Faults) -> Mapping[str, Any]:
    requests = read_edits(edits, faults)
    if attached.folder is not None:
        adapters_exist(requests, attached.folder, faults)
    return {"edits": requests}


def _check_language(manifest: Manifest) -> tuple[Diagnostic, ...]:
    from editc.manifests.language_check import check_language

    return check_language(manifest)


IMAGE = ManifestKind("image", _read_image, check.check)
LANGUAGE = ManifestKind("language", language_edits.read_language, _check_language)
KINDS: Mapping[str, ManifestKind] = {kind.name: kind for kind in (IMAGE, LANGUAGE)}


def guess(root: Node) -> KindName | None:
    """The kind of model that the manifest can be for, by its words alone; None where only the model can say: of its
    edits all are `erase`, and nothing in it has a meaning for one kind alone."""
    if language_edits.is_language(root):
        return "language"
    return None if kinds_of(root) == {"erase"} else "image"
