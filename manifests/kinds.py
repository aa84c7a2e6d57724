"""What manifests for image and for language models have of their own: how edits are read, and which rules hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.manifests import image_check, image_schema, language_schema, schema, value_kinds
from editc.manifests.attached import AttachedFiles
from editc.manifests.edits import named_kinds, read_edits
from editc.manifests.faults import Faults
from editc.manifests.fields import BlockValues
from editc.manifests.files import check_adapters_exist
from editc.manifests.tree import Items, Leaf, Node, Pairs
from editc.registry.methods import METHODS

KindName: TypeAlias = Literal["image", "language"]


@dataclass(frozen=True)
class ManifestKind:
    """The manifests for one kind of model."""

    name: KindName
    """What `Manifest.kind` says."""
    read_own_fields: Callable[[Node | None, BlockValues, AttachedFiles, Faults], Mapping[str, Any]]
    """The manifest's fields that this kind alone has, `edits` among them, from the node of `edits` and the block of the
    whole manifest; what cannot be read is put into the faults."""
    check: Callable[[Manifest], tuple[Diagnostic, ...]]
    """All errors and warnings of the rules over a whole manifest."""


def _read_image(edits: Node | None, block: BlockValues, attached: AttachedFiles, faults: Faults) -> Mapping[str, Any]:
    requests = read_edits(edits, faults)
    if attached.folder is not None:
        check_adapters_exist(requests, attached.folder, faults)
    return {"edits": requests}


def _read_language(
    edits: Node | None, block: BlockValues, attached: AttachedFiles, faults: Faults
) -> Mapping[str, Any]:
    from editc.manifests.language_edits import read_language

    return read_language(edits, block, attached, faults)


def _check_language(manifest: Manifest) -> tuple[Diagnostic, ...]:
    from editc.manifests.language_check import check_language

    return check_language(manifest)


IMAGE = ManifestKind("image", _read_image, image_check.check_image)
LANGUAGE = ManifestKind("language", _read_language, _check_language)
KINDS: Mapping[str, ManifestKind] = {kind.name: kind for kind in (IMAGE, LANGUAGE)}


def guess_kind(root: Node) -> KindName | None:
    """The kind of model that the manifest can be for, by its words alone; None where only the model can say: of its
    edits all are `erase`, and nothing in it has a meaning for one kind alone."""
    if _is_language(root):
        return "language"
    return None if named_kinds(root) == {"erase"} else "image"


def _is_language(root: Node) -> bool:
    """True for a manifest that only a language model can answer: by its kinds of edits, else by keys and methods that
    have no meaning for an image model."""
    top = _keys(root)
    edits = top.get("edits")
    items = [_keys(item) for item in edits.items] if isinstance(edits, Items) else []
    if any(kind in item for item in items for kind in language_schema.LANGUAGE_ONLY):
        return True
    if any(kind in item for item in items for kind in language_schema.IMAGE_ONLY):
        return False
    if any(METHODS.models_of(_text_of(item.get("method"))) == "image" for item in items):
        return False
    erase = language_schema.EDITS["erase"]
    own = [field.name for field in erase.fields if image_schema.ERASE.field(field.name) is None]
    return (
        any(name in item for item in items for name in own)
        or any(METHODS.models_of(_text_of(item.get("method"))) == "language" for item in items)
        or any(_language_keys(top, schema.MANIFEST))
        or any(_language_keys(_keys(top.get("sites")), schema.SITES))
        or any(_language_keys(_keys(top.get("constraints")), schema.CONSTRAINTS))
    )


def _keys(node: Node | None) -> Mapping[str, Node]:
    return {key.text: value for key, value in node.pairs} if isinstance(node, Pairs) else {}


def _text_of(node: Node | None) -> str:
    return node.text if isinstance(node, Leaf) else ""


def _language_keys(given: Mapping[str, Node], table: value_kinds.KeyTable) -> Iterator[str]:
    return (field.name for field in table.fields if field.only == "language" and field.name in given)
