"""What differs between manifests for image models and for language models: how edits are read, and which rules hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from editc.core.diagnostics import Diagnostic
from editc.core.manifest import Manifest
from editc.manifests import image_check, image_schema, language_schema, schema, value_kinds
from editc.manifests.edits import named_kinds, read_edits
from editc.manifests.faults import Faults
from editc.manifests.fields import BlockValues
from editc.manifests.tree import Items, Leaf, Node, Pairs

KindName: TypeAlias = Literal["image", "language"]
"""The name of a kind of model."""


@dataclass(frozen=True)
class NamedFiles:
    """Where the files are that a manifest names."""

    folder: Path | None
    """The folder that their names are relative to. None: files on disk are not read."""
    recorded: Mapping[str, Any]
    """The `extra` of a delta, with the files of a language model's manifest. They are used in place of those on
    disk."""
    near: tuple[Path, ...] = ()
    """Folders in which data sets are looked for that a delta records by their hash."""


@dataclass(frozen=True)
class ManifestKind:
    """Manifests for one kind of model."""

    name: KindName
    """The value of `Manifest.kind`."""
    read_own_fields: Callable[[Node | None, BlockValues, NamedFiles, Faults], Mapping[str, Any]]
    """Gives the fields of a manifest that only this kind has, `edits` among them. Takes the node of `edits`, the block
    of the whole manifest, and where its files are. What cannot be read is added to the faults."""
    check: Callable[[Manifest], tuple[Diagnostic, ...]]
    """All errors and warnings of the rules over a whole manifest."""


def _read_image(edits: Node | None, block: BlockValues, named: NamedFiles, faults: Faults) -> Mapping[str, Any]:
    """The fields that only an image model's manifest has. E181 for an adapter that is not a file."""
    requests = read_edits(edits, faults)
    if named.folder is not None and any(edit.adapter for edit in requests):
        from editc.manifests.files import check_adapters_exist

        check_adapters_exist(requests, named.folder, faults)
    return {"edits": requests}


def _read_language(edits: Node | None, block: BlockValues, named: NamedFiles, faults: Faults) -> Mapping[str, Any]:
    """Read a language model's manifest. The code is imported only when it is needed."""
    from editc.manifests.attached import AttachedFiles
    from editc.manifests.language_edits import read_language

    return read_language(edits, block, AttachedFiles(named.folder, named.recorded, named.near), faults)


def _check_language(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """Check a language model's manifest. The rules are imported only when they are needed."""
    from editc.manifests.language_check import check_language

    return check_language(manifest)


IMAGE = ManifestKind("image", _read_image, image_check.check_image)
"""Manifests for image models."""
LANGUAGE = ManifestKind("language", _read_language, _check_language)
"""Manifests for language models."""
KINDS: Mapping[str, ManifestKind] = {kind.name: kind for kind in (IMAGE, LANGUAGE)}
"""Name of a kind -> the kind."""


def guess_kind(root: Node) -> KindName | None:
    """The kind of model that a manifest is for, by its words alone. None if only the model can tell.

    That is so if all edits are `erase` and no other word has a meaning for one kind alone.
    """
    if _is_language(root):
        return "language"
    return None if named_kinds(root) == {"erase"} else "image"


def _is_language(root: Node) -> bool:
    """True if only a language model can answer the manifest.

    The kinds of edits decide; if they do not, keys and methods that only one kind of model has.
    """
    top = _keys(root)
    edits = top.get("edits")
    items = [_keys(item) for item in edits.items] if isinstance(edits, Items) else []
    if any(kind in item for item in items for kind in language_schema.LANGUAGE_ONLY):
        return True
    if any(kind in item for item in items for kind in language_schema.IMAGE_ONLY):
        return False
    methods = {_models_of_method(_text_of(item["method"])) for item in items if "method" in item}
    if "image" in methods:
        return False
    erase = language_schema.EDITS["erase"]
    own = [field.name for field in erase.fields if image_schema.ERASE.field(field.name) is None]
    return (
        any(name in item for item in items for name in own)
        or "language" in methods
        or any(_language_keys(top, schema.MANIFEST))
        or any(_language_keys(_keys(top.get("verify")), schema.VERIFY))
        or any(_language_keys(_keys(top.get("sites")), schema.SITES))
        or any(_language_keys(_keys(top.get("constraints")), schema.CONSTRAINTS))
    )


def _models_of_method(name: str) -> str:
    """The kind of model that a method is for. Empty for an unknown name."""
    from editc.registry.methods import METHODS

    return METHODS.models_of(name)


def _keys(node: Node | None) -> Mapping[str, Node]:
    """The keys of a block with their values. Empty for another node."""
    return {key.text: value for key, value in node.pairs} if isinstance(node, Pairs) else {}


def _text_of(node: Node | None) -> str:
    """The text of a scalar. Empty for another node."""
    return node.text if isinstance(node, Leaf) else ""


def _language_keys(given: Mapping[str, Node], table: value_kinds.KeyTable) -> Iterator[str]:
    """Keys of `table` that are given and that only language models have."""
    return (field.name for field in table.fields if field.only == "language" and field.name in given)
