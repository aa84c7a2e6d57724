"""Read the manifest of `editc head build`: which labels of a classifier are erased, and from which examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from editc.core.diagnostics import EditcError
from editc.core.places import Source, Span
from editc.manifests.decode import parse
from editc.manifests.edits import read_items
from editc.manifests.fields import BlockValues, read_strict_block
from editc.manifests.value_kinds import Edits, InnerBlock, KeyField, KeyTable, Number, OneOf, Text, WholeNumber

FEATURES = "a .safetensors file with `features` (n, d) and `labels` (n,), -1 for any other class"
"""What a file of examples holds."""
_SHARE = Number(0.0, 1.0)
EDIT = KeyTable("edits", (KeyField("erase", Text(), "a label of the model's `id2label`", required=True),))
"""An item of `edits`."""
CONSTRAINTS = KeyTable(
    "constraints",
    (
        KeyField("answered", _SHARE, "maximum: share of the class's examples that are answered with it"),
        KeyField("others_same", _SHARE, "minimum: share of the other examples whose answer stays"),
    ),
)
"""The bounds."""
MANIFEST = KeyTable(
    "manifest",
    (
        KeyField("editc", WholeNumber(1, 1), "the version of the manifest: 1", required=True),
        KeyField("model", Text(), "the folder of a classifier of transformers", required=True),
        KeyField("edits", Edits(), "the labels to erase, such as [{erase: circle}]", required=True),
        KeyField("method", OneOf(("row", "ablate", "leace")), "what is erased beside the label's own row"),
        KeyField("features", Text(), FEATURES),
        KeyField("verify", Text(), f"other examples to measure on: {FEATURES}"),
        KeyField("constraints", InnerBlock(CONSTRAINTS), "bounds; a build that breaks one writes no delta"),
    ),
)
"""The whole manifest."""


@dataclass(frozen=True)
class HeadManifest:
    """A manifest of `editc head build`."""

    source: Source
    """Its text."""
    model: str
    """The model, as written."""
    erased: tuple[str, ...]
    """The labels to erase."""
    method: str
    """One of `passes.heads.methods.METHODS`."""
    features: str | None
    """The file of examples that the method reads. None: there is none."""
    verify: str | None
    """The file of examples that are measured. None: `features`."""
    bounds: Mapping[str, float]
    """The constraints, by name."""
    spans: Mapping[str, Span]
    """Key -> its place; `erase.0` is that of the first label, `constraints.answered` that of a bound."""


def read_head_manifest(source: Source) -> HeadManifest:
    """The manifest in a text. Raises EditcError with every mistake, each with its place."""
    parsed = parse(source)
    faults = parsed.faults
    block = None if parsed.root is None else read_strict_block(parsed.root, MANIFEST, faults)
    block = block or BlockValues()
    edits = [read_strict_block(item, EDIT, faults) for item in read_items(block.values.get("edits"), faults)]
    made = _manifest(source, block, [one for one in edits if one is not None])
    if made.method != "row" and made.features is None and not faults.found:
        message = f"`{made.method}` needs examples"
        faults.add("E104", message, made.spans.get("method"), help=f"add `features: FILE`, {FEATURES}")
    if any(one.is_error for one in faults.found):
        raise EditcError(*faults.found)
    return made


def _manifest(source: Source, block: BlockValues, edits: list[BlockValues]) -> HeadManifest:
    """The manifest as far as it could be read."""
    values: dict[str, Any] = block.values
    named = [(one.values["erase"], one.spans["erase"]) for one in edits if "erase" in one.values]
    bounds = values.get("constraints") or BlockValues()
    spans = {**block.spans, **{f"erase.{i}": span for i, (_, span) in enumerate(named)}}
    spans |= {f"constraints.{name}": span for name, span in bounds.spans.items()}
    labels = tuple(dict.fromkeys(label for label, _ in named))
    method = values.get("method") or "row"
    files = values.get("features"), values.get("verify")
    return HeadManifest(source, values.get("model", ""), labels, method, *files, dict(bounds.values), spans)
