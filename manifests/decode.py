"""From the text of a manifest to a `Manifest`, or to everything that is wrong with it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from editc.core.diagnostics import Diagnostic, EditcError, fail, sort_by_place
from editc.core.image_check import AttackCheck, BystanderCheck, ImageCheck, SuiteCheck
from editc.core.language_edits import DataSet, OnRows
from editc.core.manifest import Constraints, Manifest, Preserve, Sites
from editc.core.places import Source
from editc.manifests import schema, value_kinds
from editc.manifests.faults import FIRST_KEYS, START, Faults
from editc.manifests.fields import BlockValues, read_strict_block
from editc.manifests.kinds import KINDS, KindName, ManifestKind, NamedFiles, guess_kind
from editc.manifests.tree import Leaf, Node, Pairs, TreeBuilder, UnreadableError

T = TypeVar("T")
MAX_BYTES = 1 << 20
"""The largest manifest that is read. Chosen by hand; long lists of prompts belong into files."""
LANGUAGE_KEYS = ("retain", "corpus", "chat", "after")
"""Keys that only a language model's manifest has. `read_language` reads them together with the edits."""


@dataclass(frozen=True)
class ParsedManifest:
    """The text of a manifest as a tree, before the kind of model is known."""

    source: Source
    """The text and the `--set` overrides."""
    root: Node | None
    """The tree with the overrides in it. None if the text cannot be read or is empty."""
    faults: Faults
    """The faults found so far. Decoding the tree adds more."""

    @property
    def model(self) -> str:
        """The value of `model`. Empty if it is missing or not a text."""
        pairs = self.root.pairs if isinstance(self.root, Pairs) else ()
        return next((value.text for key, value in pairs if key.text == "model" and isinstance(value, Leaf)), "")

    @property
    def kind(self) -> KindName | None:
        """The kind of model, by the words of the manifest. None if only the model's header can tell."""
        return guess_kind(self.root) if self.root is not None else "image"


def parse(source: Source) -> ParsedManifest:
    """The tree of a manifest's text. Never raises: what is wrong is in the faults."""
    faults = Faults(source)
    return ParsedManifest(source, build_tree(source, faults), faults)


def parse_file(path: Path | str, overrides: Iterable[str] = ()) -> ParsedManifest:
    """The tree of a manifest's file, with `--set` overrides. Raises EditcError (E100) if the file cannot be read."""
    return parse(replace(read_source(Path(path)), overrides=tuple(overrides)))


def read_draft(
    parsed: ParsedManifest,
    folder: Path | None,
    kind: KindName | None = None,
    recorded: Mapping[str, Any] = MappingProxyType({}),
    near: tuple[Path, ...] = (),
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """The manifest as far as it could be read, and all errors and warnings in the order of the lines. None if nothing
    could.

    `folder`: where the files that it names are; None: they are not read. `kind`: the kind of model, if the caller knows
    it; None: what the words say, else image. `recorded`: the `extra` of a delta, with the files of a language model's
    manifest. `near`: folders in which data sets are looked for that a delta records by their hash.
    """
    manifest, faults = None, parsed.faults
    if parsed.root is not None:
        own = KINDS[kind or parsed.kind or "image"]
        manifest = _read_manifest(parsed.root, parsed.source, NamedFiles(folder, recorded, near), own, faults)
        faults.found.extend(own.check(manifest))
    return manifest, sort_by_place(faults.found)


def decode(
    source: Source,
    folder: Path | None = None,
    kind: KindName | None = None,
    recorded: Mapping[str, Any] = MappingProxyType({}),
    near: tuple[Path, ...] = (),
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """`read_draft` of a text. The manifest is None if there is an error."""
    return _without_errors(*read_draft(parse(source), folder, kind, recorded, near))


def decode_file(
    path: Path | str, overrides: Iterable[str] = (), kind: KindName | None = None
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """`decode` of a file, with `--set` overrides. Raises EditcError (E100) if the file cannot be read."""
    return _without_errors(*read_draft(parse_file(path, overrides), Path(path).parent, kind))


def load(path: Path | str, overrides: Iterable[str] = ()) -> Manifest:
    """The manifest in a file. Raises EditcError with every error and warning if there is an error."""
    manifest, found = decode_file(path, overrides)
    if manifest is None:
        raise EditcError(*found)
    return manifest


def _without_errors(
    manifest: Manifest | None, found: tuple[Diagnostic, ...]
) -> tuple[Manifest | None, tuple[Diagnostic, ...]]:
    """The manifest is replaced by None if there is an error."""
    return (None if any(one.is_error for one in found) else manifest), found


def digest(
    source: Source,
    files: Mapping[str, Sequence[str]] = MappingProxyType({}),
    corpus: str | None = None,
    data: Iterable[DataSet] = (),
) -> str:
    """The sha256 of a manifest: its text, its overrides, and the files that a language model's manifest names.

    `files` is file name -> lines; `corpus` is the sha256 of the corpus; `data` are the data sets.
    """
    parts = [source.text, *(f"\0--set {override}" for override in source.overrides)]
    parts += ["\0".join(("", name, *lines)) for name, lines in sorted(files.items())]
    parts += [] if corpus is None else [f"\0corpus {corpus}"]
    parts += [f"\0data {one.name} {one.sha256}" for one in data]
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def read_source(path: Path, text: str = "manifest") -> Source:
    """The text of a manifest's file, or of what messages call `text`. Raises E100. A file that is too large is cut;
    `build_tree` reports it."""
    return Source(str(path), _read_file(path, text))


def _read_file(path: Path, text: str) -> str:
    """The characters of a file. Raises E100."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 4)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise fail("E100", f"cannot read the {text}: {why}", place=str(path), help="check the path") from error
    except ValueError as error:
        raise fail("E100", "this is not a path", place=str(path).replace("\0", "\\0")) from error
    try:
        return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        if len(data) > MAX_BYTES:
            return data.decode("utf-8", "replace")
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} of the {text} is not UTF-8 (byte 0x{data[error.start]:02X})"
        raise fail("E100", message, place=str(path), help="save the file as UTF-8 text") from error


def decode_block(
    source: Source, text: str, table: value_kinds.KeyTable, read: Callable[[BlockValues, Faults], T | None]
) -> tuple[T | None, tuple[Diagnostic, ...]]:
    """What `read` makes of a text that is one block of `table`, such as a policy or the plan of a fleet, and everything
    that is wrong with it. None if something is. `text` is what messages call it."""
    faults = Faults(source, text=text)
    root = build_tree(source, faults)
    block = None if root is None else read_strict_block(root, table, faults)
    value = None if block is None else read(block, faults)
    found = sort_by_place(faults.found)
    return (None if found else value), found


def build_tree(source: Source, faults: Faults) -> Node | None:
    """The text as a tree, with overrides. None if it cannot be read or is empty."""
    if len(source.text) > MAX_BYTES or len(source.text.encode("utf-8", "replace")) > MAX_BYTES:
        faults.add(
            "E109",
            f"the {faults.text} is larger than 1 MiB",
            START,
            help="put long lists of prompts into files: preserve.files" if faults.text == "manifest" else "split it",
        )
        return None
    try:
        root = TreeBuilder(source.text, faults).build()
    except UnreadableError:
        return None
    if isinstance(root, Leaf) and root.empty:
        root = None
    if root is None and not source.overrides and not faults.found:
        help = f"begin it with `{FIRST_KEYS[faults.text]}: 1`"
        faults.add("E107", f"the {faults.text} is empty", START, help=help)
        return None
    if not source.overrides:
        return root
    from editc.manifests.overrides import apply_overrides

    return apply_overrides(root, faults)


def _read_manifest(root: Node, source: Source, named: NamedFiles, kind: ManifestKind, faults: Faults) -> Manifest:
    """The manifest from its tree. A field that cannot be read has its default, and the faults say why."""
    block = read_strict_block(root, schema.MANIFEST, faults) or BlockValues()
    own = kind.read_own_fields(block.values.pop("edits", None), block, named, faults)
    values, spans = {name: value for name, value in block.values.items() if name not in LANGUAGE_KEYS}, {**block.spans}
    _check_version(values.pop("editc", None), block, faults)
    verify = values.pop("verify", None)
    images, attacks = _read_images(verify, faults), _read_attacks(verify, faults)
    suite = _read_suite(verify, faults)
    spans |= {name: place for name, place in (verify.spans if verify else {}).items() if name.endswith(":")}
    if attacks:
        spans["attacks"] = attacks[0].spans[""]
    if verify and "worst" in verify.spans:
        spans["worst"] = verify.spans["worst"]
    if images is not None:
        spans["images"] = images.spans[""]
    preserve, corpus = _block_value(Preserve, values.pop("preserve", None)), own.get("corpus")
    if any(getattr(edit, "attribute", None) for edit in own["edits"]):
        from editc.manifests.attribute import preserve_attributes

        preserve = preserve_attributes(preserve, own["edits"])
    return Manifest(
        kind=kind.name,
        source=source,
        digest=digest(source, own.get("files", {}), corpus and corpus.sha256, _data_sets(own["edits"])),
        model=values.pop("model", ""),
        preserve=preserve,
        preserve_lines=_read_preserve_lines(preserve, named.folder, faults),
        sites=_read_sites(values.pop("sites", None)),
        constraints=_block_value(Constraints, values.pop("constraints", None)),
        images=images,
        attacks=attacks,
        suite=suite,
        **_read_worst(verify, faults),
        spans=spans,
        **own,
        **values,
    )


def _data_sets(edits: Iterable[Any]) -> Iterator[DataSet]:
    """The data sets of the edits, in order."""
    trained = (edit for edit in edits if isinstance(edit, OnRows))
    yield from (one for edit in trained for one in (edit.data, edit.retain) if one is not None)


def _block_value(kind: Any, block: BlockValues | None) -> Any:
    """The dataclass `kind` with the values of a block, or with its defaults if there is no block."""
    return kind() if block is None else kind(**block.values, spans=block.spans)


def _read_preserve_lines(preserve: Preserve, folder: Path | None, faults: Faults) -> tuple[str, ...]:
    """The prompts in the files under `preserve.files`. Empty without a folder or without files."""
    if folder is None or not preserve.files:
        return ()
    from editc.manifests.files import read_preserve_files

    return read_preserve_files(preserve, folder, faults)


def _read_sites(block: BlockValues | None) -> Sites:
    """The block `sites`. `layers: auto` is another way to write `auto` with its default share."""
    if block is not None and block.values.get("layers") == value_kinds.AUTO:
        del block.values["layers"]
        block.values.setdefault("auto", schema.AUTO_SHARE)
        block.spans.setdefault("auto", block.spans["layers"])
    return _block_value(Sites, block)  # type: ignore[no-any-return]


def _read_images(verify: BlockValues | None, faults: Faults) -> ImageCheck | None:
    """The block `verify: {images: ...}` with its detector and bystanders. None if there is none."""
    images = None if verify is None else verify.values.get("images")
    if images is None or not images.spans:
        return None
    values = dict(images.values)
    detector = values.pop("detector", None)
    if detector is not None:
        from editc.manifests.detector import read_detector

        values["detector"], values["options"] = read_detector(detector, faults)
    bystanders = _block_value(BystanderCheck, values.pop("bystanders", None))
    return ImageCheck(**values, bystanders=bystanders, spans=images.spans)


def _read_attacks(verify: BlockValues | None, faults: Faults) -> tuple[AttackCheck, ...]:
    """The list `verify: {attacks: ...}`; empty where there is none."""
    node = None if verify is None else verify.values.get("attacks")
    if node is None:
        return ()
    from editc.manifests.attacks import read_attacks

    return read_attacks(node, faults)


def _read_suite(verify: BlockValues | None, faults: Faults) -> SuiteCheck | None:
    """The block `verify: {suite: ...}`, or the name that stands for it. None where there is none."""
    node = None if verify is None else verify.values.get("suite")
    if isinstance(node, Leaf):
        from editc.manifests.scalars import read_scalar

        name = read_scalar(node, value_kinds.Text(), "`suite`", faults)
        return None if name is None else SuiteCheck(data=str(name), spans={"": node.span})
    block = None if node is None else read_strict_block(node, schema.SUITE, faults)
    if block is None or "data" not in block.values:
        return None
    return SuiteCheck(**block.values, spans=block.spans)


def _read_worst(verify: BlockValues | None, faults: Faults) -> Mapping[str, Any]:
    """The fields `worst` and `worst_rounds` of `verify: {worst: ...}`, a number or a block."""
    node = None if verify is None else verify.values.get("worst")
    if isinstance(node, Leaf):
        from editc.manifests.scalars import read_scalar

        count = read_scalar(node, schema.WORST_COUNT, "`worst`", faults)
        return {} if count is None else {"worst": count}
    block = None if node is None else read_strict_block(node, schema.WORST, faults)
    if block is None or "count" not in block.values:
        return {}
    return {"worst": block.values["count"], "worst_rounds": block.values.get("rounds", 0)}


def _check_version(version: int | None, block: BlockValues, faults: Faults) -> None:
    """E110 if the manifest's version is not the one that this editc reads."""
    if version not in (None, schema.VERSION):
        message = f"this is manifest version {version}; this editc reads version {schema.VERSION}"
        help = "write `editc: 1`" if version is not None and version < 1 else "install a newer editc"
        faults.add("E110", message, block.spans.get("editc"), help=help)
