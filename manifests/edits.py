"""Read the list `edits`: the kind of each item, and the edits of image models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from editc.core.image_check import ShareSearch, TokenWeights
from editc.core.manifest import Request
from editc.core.places import Scalar, Span
from editc.manifests import image_schema
from editc.manifests.faults import Faults, list_words, tick
from editc.manifests.fields import BlockValues, read_block
from editc.manifests.language_schema import KINDS
from editc.manifests.scalars import report_wrong_type
from editc.manifests.tree import Items, Leaf, Node, Pairs
from editc.registry.table import nearest


@dataclass(frozen=True)
class _ImageDraft:
    """An edit whose options are not read yet, because another edit may name the method that they belong to."""

    kind: str
    """The key that makes it an edit, such as `erase`."""
    block: BlockValues
    """The keys of the edit that could be read."""


def read_edits(node: Node | None, faults: Faults) -> tuple[Request, ...]:
    """Every edit of an image model that could be read. The faults say what is wrong with the others."""
    drafts = [draft for draft in (_draft(item, faults) for item in read_items(node, faults)) if draft is not None]
    solved = [draft.block for draft in drafts if draft.kind != "fuse"]
    joint = next((block.values["method"] for block in solved if "method" in block.values), None)
    method_unreadable = joint is None and any("method" in block.spans for block in solved)
    requests = [_request(draft, joint, method_unreadable, faults) for draft in drafts]
    return _with_method_rule(tuple(request for request in requests if request is not None))


def _with_method_rule(requests: tuple[Request, ...]) -> tuple[Request, ...]:
    """The edits with the key rule of their method, unless one of them names a rule."""
    if any("keys" in request.spans for request in requests):
        return requests
    method = next((request.method for request in requests if request.method and request.kind != "fuse"), None)
    if method is None:
        return requests
    from editc.registry.methods import METHODS

    rule = getattr(METHODS.resolve(method), "keys", None)
    return tuple(replace(request, keys=rule) for request in requests) if rule else requests


def read_items(node: Node | None, faults: Faults) -> tuple[Node, ...]:
    """The items of the list `edits`. Empty if it is not a list."""
    if node is None or (isinstance(node, Leaf) and node.broken):
        return ()
    if not isinstance(node, Items):
        report_wrong_type(
            node, "`edits`", "a list", faults, help="begin every edit with `- `, such as `- erase: circle`"
        )
        return ()
    if not node.items:
        faults.add(
            "E107", "`edits` is an empty list", node.span, help="name at least one edit, such as `- erase: circle`"
        )
    return node.items


def _draft(item: Node, faults: Faults) -> _ImageDraft | None:
    """One edit without its options. None if its kind or block cannot be read."""
    kind = read_kind(item, faults)
    if kind is None:
        return None
    block = read_block(item, image_schema.EDITS[kind], faults)
    return None if block is None else _ImageDraft(kind, block)


def read_kind(item: Node, faults: Faults) -> str | None:
    """The kind of edit that an item is: the one key that names a kind. None and a fault if there is none, or more than
    one."""
    if not isinstance(item, Pairs):
        if not (isinstance(item, Leaf) and item.broken):
            help = (
                f"write `- erase: {item.text}`" if isinstance(item, Leaf) and item.text and len(item.text) < 40 else ""
            )
            report_wrong_type(item, "an edit", f"a block with {list_words(KINDS)}", faults, help=help)
        return None
    keys = [key for key, _ in item.pairs if key.text in KINDS]
    if len(keys) == 1:
        return keys[0].text
    if keys:
        message = f"an edit is one of {list_words(KINDS)}, this is {list_words((key.text for key in keys), 'and')}"
        faults.add(
            "E112",
            message,
            keys[1].span,
            help="begin a new item with `- `",
            related=[(keys[0].span, "first kind here")],
        )
        return None
    if not item.broken:
        _report_no_kind(item, faults)
    return None


def named_kinds(root: Node) -> set[str]:
    """The kinds of all edits of a whole manifest that name exactly one."""
    edits = next((value for key, value in root.pairs if key.text == "edits"), None) if isinstance(root, Pairs) else None
    items = [item for item in edits.items if isinstance(item, Pairs)] if isinstance(edits, Items) else []
    named = [[key.text for key, _ in item.pairs if key.text in KINDS] for item in items]
    return {kinds[0] for kinds in named if len(kinds) == 1}


def _report_no_kind(item: Pairs, faults: Faults) -> None:
    """E112 for an item that names no kind."""
    near = next(((key, found) for key, _ in item.pairs if (found := nearest(key.text, tuple(KINDS)))), None)
    span = near[0].span if near else item.span
    help = f"did you mean {tick(near[1])}?" if near else "begin it with `- erase: CONCEPT`"
    faults.add("E112", f"an edit needs one of {list_words(KINDS)}", span, help=help)


def _request(draft: _ImageDraft, joint: str | None, method_unreadable: bool, faults: Faults) -> Request | None:
    """The edit of a draft. None if its concept, or the file of a `fuse`, could not be read.

    `joint` is the method that another edit names. `method_unreadable`: some edit names an unknown method, so it cannot
    be decided which keys are options.
    """
    block, kind = draft.block, draft.kind
    inner = block.values.get(kind)
    values, spans = dict(block.values), dict(block.spans)
    if kind != "erase":
        values.pop(kind, None)
        values |= inner.values if isinstance(inner, BlockValues) else {}
        spans = {**(inner.spans if isinstance(inner, BlockValues) else {}), **spans}
    if isinstance(weights := values.get("token_weights"), BlockValues):
        values["token_weights"] = TokenWeights(**weights.values, spans=weights.spans)
    if isinstance(shares := values.get("shares"), BlockValues):
        values["shares"] = ShareSearch(**shares.values, spans=shares.spans)
    if kind == "fuse" and "adapter" in values:
        values.setdefault("concept", values["adapter"])
        spans.setdefault("concept", spans["adapter"])
    if kind == "erase" and {"thing", "phrases"} & spans.keys():
        from editc.manifests.attribute import read_attribute

        values = read_attribute(values, spans, faults)
    options = _options(draft, joint, method_unreadable, spans, faults) if block.unknown else {}
    if "concept" not in values or (kind == "fuse" and "adapter" not in values):
        return None
    return Request(kind=kind, options=options, spans=spans, **values)  # type: ignore[arg-type]


def _options(
    draft: _ImageDraft, joint: str | None, method_unreadable: bool, spans: dict[str, Span], faults: Faults
) -> Mapping[str, Scalar]:
    """The options of an edit, from the keys that its table does not have. The other arguments are those of
    `_request`."""
    from editc.manifests.options import read_options

    own = draft.block.values.get("method")
    unread = "method" in draft.block.spans and own is None
    return read_options(draft.block.unknown, draft.kind, own or joint, unread or method_unreadable, spans, faults)
