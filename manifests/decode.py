"""From the text of a manifest to a `Manifest`, or to everything that is wrong with it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from editc.core.diagnostics import Diagnostic, EditcError, by_place, fail
from editc.core.manifest import (
    BystanderCheck,
    Choice,
    Constraints,
    Language,
    Manifest,
    PictureCheck,
    Preserve,
    Source,
)
from editc.manifests import schema
from editc.manifests.attached import Attached
from editc.manifests.check import check
from editc.manifests.detector import read_detector
from editc.manifests.edits import read_edits
from editc.manifests.faults import START, Faults
from editc.manifests.fields import Block, read_closed
from editc.manifests.files import adapters_exist, read_kept
from editc.manifests.language.check import check_language
from editc.manifests.language.decode import is_language, read_language
from editc.manifests.overrides import apply_overrides, with_overrides
from editc.manifests.prompts import AUTO
from editc.manifests.tree import Builder, Leaf, Node, UnreadableError

MAX_BYTES = 1 << 20


def decode(
    source: Source,
    folder: Path | None = None,
    language: bool = False,
    recorded: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """The manifest, or None if there is an error; and all errors and warnings, in the order of the lines.

    `folder` is where the files that it names are looked for; without one they are not read. `language`: the model is a
    language model, which a manifest of `erase` alone does not say. `recorded` is the `extra` of a delta, with the files
    of a language model's manifest.
    """
    manifest, found = draft(source, folder, language, recorded)
    return (None if any(one.is_error for one in found) else manifest), found


def draft(
    source: Source,
    folder: Path | None = None,
    language: bool = False,
    recorded: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """As `decode`, and with errors what could be read of the manifest; None where nothing could."""
    faults = Faults(source)
    manifest = None
    root = _tree(source, faults)
    if root is not None:
        attached = Attached(folder, recorded) if language or is_language(root) else None
        manifest = _manifest(root, source, folder, attached, faults)
        spoken = manifest.language
        faults.found.extend(check(manifest) if spoken is None else check_language(manifest, spoken))
    return manifest, by_place(faults.found)


def read_draft(
    path: Path | str, overrides: Iterable[str] = (), language: bool = False
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """`draft` of a file, with `--set` overrides. Raises EditcError (E100) if the file itself cannot be read."""
    source = apply_overrides(Source(str(path), _text(Path(path))), overrides)
    return draft(source, Path(path).parent, language)


def read(
    path: Path | str, overrides: Iterable[str] = (), language: bool = False
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """`decode` of a file, with `--set` overrides. Raises EditcError (E100) if the file itself cannot be read."""
    manifest, found = read_draft(path, overrides, language)
    return (None if any(one.is_error for one in found) else manifest), found


def load(path: Path | str, overrides: Iterable[str] = ()) -> Manifest:
    """The manifest in a file. Raises EditcError with every error and warning if there is an error."""
    manifest, found = read(path, overrides)
    if manifest is None:
        raise EditcError(*found)
    return manifest


def digest(source: Source, language: Language | None = None) -> str:
    """sha256 over the text, over the overrides where there are any, and over the files that `language` names."""
    parts = [source.text, *(f"\0--set {override}" for override in source.overrides)]
    if language is not None:
        parts += ["\0".join(("", name, *lines)) for name, lines in sorted(language.files.items())]
        parts += [] if language.corpus is None else [f"\0corpus {language.corpus.sha256}"]
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 4)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise fail("E100", f"cannot read the manifest: {why}", place=str(path), help="check the path") from error
    except ValueError as error:
        raise fail("E100", "this is not a path", place=str(path).replace("\0", "\\0")) from error
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) > MAX_BYTES:
            return data.decode("utf-8", "replace")
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} of the manifest is not UTF-8 (byte 0x{data[error.start]:02X})"
        raise fail("E100", message, place=str(path), help="save the file as UTF-8 text") from error


def _tree(source: Source, faults: Faults) -> Node | None:
    """The text as a tree, with overrides; None if it cannot be read or holds nothing."""
    if len(source.text) > MAX_BYTES or len(source.text.encode("utf-8", "replace")) > MAX_BYTES:
        faults.add(
            "E109",
            "the manifest is larger than 1 MiB",
            START,
            help="put long lists of prompts into files: preserve.files",
        )
        return None
    try:
        root = Builder(source.text, faults).build()
    except UnreadableError:
        return None
    if isinstance(root, Leaf) and root.empty:
        root = None
    if root is None and not source.overrides and not faults.found:
        faults.add("E107", "the manifest is empty", START, help="begin it with `editc: 1`")
        return None
    return with_overrides(root, faults)


def _manifest(root: Node, source: Source, folder: Path | None, attached: Attached | None, faults: Faults) -> Manifest:
    """What could be read; fields that could not be have their defaults, and the faults say so. `attached`: the files of
    a language model's manifest."""
    block = read_closed(root, schema.MANIFEST, faults) or Block()
    edits = block.values.pop("edits", None)
    language = None if attached is None else read_language(edits, block, attached, faults)
    values, spans = dict(block.values), dict(block.spans)
    for name in ("retain", "corpus", "chat", "after"):
        values.pop(name, None)
    _version(values.pop("editc", None), block, faults)
    pictures = _pictures(values.pop("verify", None), faults)
    if pictures is not None:
        spans["pictures"] = pictures.spans[""]
    requests = read_edits(edits, faults) if language is None else ()
    if folder is not None:
        adapters_exist(requests, folder, faults)
    preserve = _build(Preserve, values.pop("preserve", None))
    return Manifest(
        source=source,
        digest=digest(source, language),
        model=values.pop("model", ""),
        edits=requests,
        preserve=preserve,
        kept=() if folder is None else read_kept(preserve, folder, faults),
        choice=_choice(values.pop("choice", None)),
        constraints=_build(Constraints, values.pop("constraints", None)),
        pictures=pictures,
        language=language,
        spans=spans,
        **values,
    )


def _build(kind: Any, block: Block | None) -> Any:
    return kind() if block is None else kind(**block.values, spans=block.spans)


def _choice(block: Block | None) -> Choice:
    """`layers: auto` says of layers what `auto` says of matrices."""
    if block is not None and block.values.get("layers") == AUTO:
        del block.values["layers"]
        block.values.setdefault("auto", schema.AUTO_SHARE)
        block.spans.setdefault("auto", block.spans["layers"])
    return _build(Choice, block)  # type: ignore[no-any-return]


def _pictures(verify: Block | None, faults: Faults) -> PictureCheck | None:
    images = None if verify is None else verify.values.get("pictures")
    if images is None or not images.spans:
        return None
    values = dict(images.values)
    detector = values.pop("detector", None)
    if detector is not None:
        values["detector"], values["options"] = read_detector(detector, faults)
    bystanders = _build(BystanderCheck, values.pop("bystanders", None))
    return PictureCheck(**values, bystanders=bystanders, spans=images.spans)


def _version(version: int | None, block: Block, faults: Faults) -> None:
    if version not in (None, schema.VERSION):
        message = f"this is manifest version {version}; this editc reads version {schema.VERSION}"
        help = "write `editc: 1`" if version is not None and version < 1 else "install a newer editc"
        faults.add("E110", message, block.spans.get("editc"), help=help)
