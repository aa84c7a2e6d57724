"""Read the edits of a language model, and the other keys that only its manifest has."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from editc.core.language_edits import Ablation, DataSet, Fact, Forget, LanguageEdit, Learn, PromptAnswer, Redirect
from editc.core.places import Span
from editc.core.text import occurrences
from editc.manifests import language_schema as tables
from editc.manifests.attached import AttachedFiles
from editc.manifests.edits import read_items, read_kind
from editc.manifests.faults import Faults, list_words, tick
from editc.manifests.fields import BlockValues, read_block
from editc.manifests.options import EditSyntax, read_options
from editc.manifests.slices import Slices
from editc.manifests.tree import Node
from editc.registry.methods import METHODS
from editc.registry.options import options


def methods_of(kind: str) -> tuple[str, ...]:
    """The methods that solve this kind of edit, in the order of the registry."""
    return tuple(name for name in METHODS.in_order("language") if kind in _solves(name))


def _solves(method: str) -> tuple[str, ...]:
    """The kinds of edits that a method solves."""
    kinds: tuple[str, ...] = getattr(METHODS.resolve(method), "solves", ())
    return kinds


def leads_of(method: str | None) -> tuple[str, ...]:
    """Where a method can lead a concept (`passes.methods.LeadsElsewhere`). None: the default method, which can lead
    anywhere. A method that does not say leads to another concept."""
    if method is None:
        return ("anchor", "noise", "refusal")
    found: tuple[str, ...] = getattr(METHODS.resolve(method), "leads", ("anchor",))
    return found


_REDIRECT_ADVICE = "to name a concept in its place write `redirect: {from: ..., to: ...}`"
"""Help for `from` or `to` in the wrong place."""
LANGUAGE_SYNTAX = EditSyntax(
    tables.EDITS,
    {**tables.INNER, "erase": tables.EDITS["erase"]},
    methods_of,
    {"from": _REDIRECT_ADVICE, "to": _REDIRECT_ADVICE},
)
"""Where the keys of a language model's edits stand."""
_IMAGE_KEYS = ("scale", "keys", "token_weights", "expand", "shares")
"""Keys of an image model's edits that have no meaning here."""

_ATTRIBUTE_KEYS = ("from", "phrases")
"""Keys of an image model's `erase` that take an attribute out of a thing."""


@dataclass(frozen=True)
class _LanguageDraft:
    """An edit whose options are not read yet, because another edit may name the method that they belong to."""

    kind: str
    """The key that makes it an edit, such as `fact`."""
    block: BlockValues
    """The keys of the edit that could be read."""


@dataclass
class _JointMethod:
    """The method of edits that are solved together."""

    method: str | None = None
    """The first method that one of them names. None: none is named."""
    unreadable: bool = False
    """True if one of them names a method that cannot be read."""


def read_language(edits: Node | None, block: BlockValues, attached: AttachedFiles, faults: Faults) -> Mapping[str, Any]:
    """The fields that only a language model's manifest has. `block` is the block of the whole manifest."""
    drafts = [draft for draft in _drafts(read_items(edits, faults), faults) if draft is not None]
    shared = _joint_methods(drafts)
    made = [_read_edit(draft, shared[tables.TOGETHER[draft.kind]], attached, faults) for draft in drafts]
    attached.fill(block, faults)
    values: dict[str, Any] = {name: block.values[name] for name in ("chat", "retain", "after") if name in block.values}
    corpus = attached.corpus(block.values.get("corpus"), block.spans.get("corpus"), faults)
    every = tuple(edit for edit in made if edit is not None)
    return {"edits": every, "corpus": corpus, "files": dict(attached.files), **values}


def _drafts(items: tuple[Node, ...], faults: Faults) -> Iterator[_LanguageDraft | None]:
    """The edits without their options. E184 for a kind of edit that only image models have."""
    kinds = [read_kind(item, faults) for item in items]
    first = next((item for item, kind in zip(items, kinds, strict=True) if kind in tables.LANGUAGE_ONLY), None)
    for item, kind in zip(items, kinds, strict=True):
        if kind in tables.IMAGE_ONLY:
            message = f"{tick(str(kind))} edits an image model, and this manifest is for a language model"
            help = "write `redirect: {from: ..., to: ...}`" if kind == "replace" else "make two manifests of it"
            related = [] if first is None else [(first.span, "a language model's")]
            faults.add("E184", message, item.span, help=help, related=related)
        elif kind is not None:
            block = read_block(item, tables.EDITS[kind], faults)
            yield None if block is None else _LanguageDraft(kind, _with_own_method(kind, block, faults))


def _with_own_method(kind: str, block: BlockValues, faults: Faults) -> BlockValues:
    """The block without its method if that solves other kinds of edits (E187)."""
    method = block.values.get("method")
    if method is not None and kind not in _solves(method):
        message = f"{tick(method)} is a method for {list_words(_solves(method), 'and')}, and this is {tick(kind)}"
        faults.add("E187", message, block.spans["method"], help=f"methods here: {list_words(methods_of(kind), 'and')}")
        del block.values["method"]
    return block


def _joint_methods(drafts: Sequence[_LanguageDraft]) -> Mapping[str, _JointMethod]:
    """For each kind in `TOGETHER.values()`, the method that its edits share."""
    found = {kind: _JointMethod() for kind in tables.TOGETHER.values()}
    for draft in drafts:
        one, given = found[tables.TOGETHER[draft.kind]], draft.block
        one.method = one.method or given.values.get("method")
        one.unreadable |= "method" in given.spans and "method" not in given.values
    return found


def _read_edit(
    draft: _LanguageDraft, shared: _JointMethod, attached: AttachedFiles, faults: Faults
) -> LanguageEdit | None:
    """The edit of a draft. None if something that it needs is missing."""
    kind, block = draft.kind, draft.block
    if kind == "forget":
        return _read_forget(draft, shared, attached, faults)
    if kind == "learn":
        return _read_learn(draft, shared, attached, faults)
    inner = block if kind == "erase" else block.values.pop(kind, None)
    if not isinstance(inner, BlockValues):
        inner = BlockValues()
    attached.fill(inner, faults)
    values, spans = {**block.values, **inner.values}, {**inner.spans, **block.spans}
    options = _read_options(draft, shared, spans, faults)
    if kind == "fact":
        return _read_fact(values, spans, options, faults)
    if kind == "ablate":
        sets = {"present": (), "absent": ()}  # for prompts in files that are not read
        complete = "concept" in values and sets.keys() <= spans.keys()
        return Ablation(options=options, spans=spans, **{**sets, **values}) if complete else None
    if "concept" not in values:
        return None
    if "to" not in spans and kind == "erase":
        values.setdefault("toward", next((one for one in leads_of(shared.method) if one != "anchor"), "noise"))
    return Redirect(kind=kind, options=options, spans=spans, **values)  # type: ignore[arg-type]


def _read_forget(draft: _LanguageDraft, shared: _JointMethod, attached: AttachedFiles, faults: Faults) -> Forget | None:
    """The edit `forget` with its rows. None if its file is not named or cannot be read."""
    values, spans = dict(draft.block.values), dict(draft.block.spans)
    options = _read_options(draft, shared, spans, faults)
    sets = {name: _read_set(values.pop(name, None), name, spans, attached, faults) for name in ("forget", "retain")}
    inner = draft.block.values.get("forget")
    named = inner.values.get("concept") if isinstance(inner, BlockValues) else None
    data = sets["forget"]
    if data is None:
        return None
    return Forget(concept=named or data.file, data=data, retain=sets["retain"], options=options, spans=spans, **values)


def _read_learn(draft: _LanguageDraft, shared: _JointMethod, attached: AttachedFiles, faults: Faults) -> Learn | None:
    """The edit `learn` with the rows of its slices. None if its file is not named or cannot be read, or if its slices
    are none of the file."""
    values, spans = dict(draft.block.values), dict(draft.block.spans)
    options = _read_options(draft, shared, spans, faults)
    inner = values.pop("learn", None)
    if not isinstance(inner, BlockValues) or "file" not in inner.values:
        return None
    spans.update({f"learn.{key}": span for key, span in inner.spans.items() if key})
    spans.setdefault("concept", spans.get("learn.concept", spans["learn.file"]))
    named = dict(inner.values)
    file, of, by = named["file"], named.get("of", 1), named.get("by")
    slices = named.get("slices", (1,))
    if not _slices_fit(slices, of, spans, faults):
        return None
    sets = [
        attached.data_set(file, spans["learn.file"], faults, Slices(some, of, by)) if some else None
        for some in (slices[-1:], slices[:-1])
    ]
    if sets[0] is None:
        return None
    values |= {"data": sets[0], "retain": sets[1], "slices": slices, "of": of, "by": by}
    return Learn(concept=named.get("concept") or sets[0].name, options=options, spans=spans, **values)


def _slices_fit(slices: Sequence[int], of: int, spans: Mapping[str, Span], faults: Faults) -> bool:
    """True if the slices are of the file, each once. E104 where a file has several and none is named, E106 for one
    beyond the last, E124 for one that is named twice."""
    if of > 1 and "learn.slices" not in spans:
        message = f"`of` divides the file into {of} slices, and `slices` does not say which is learned"
        help = "`editc stack build` learns them one after another; or add `slices: [1]`"
        faults.add("E104", message, spans["learn.of"], help=help)
        return False
    if high := [i for i, one in enumerate(slices) if one > of]:
        message, place = f"there is no slice {slices[high[0]]}: `of` is {of}", spans.get(f"learn.slices.{high[0]}")
        faults.add("E106", message, place, help=f"slices are numbered from 1 to {of}")
        return False
    twice = [i for i, one in enumerate(slices) if one in slices[:i]]
    if twice:
        message = f"slice {slices[twice[0]]} is named twice"
        faults.add("E124", message, spans.get(f"learn.slices.{twice[0]}"), help="remove one of the two")
    return not twice


def _read_set(inner: Any, name: str, spans: dict[str, Span], attached: AttachedFiles, faults: Faults) -> DataSet | None:
    """The data set of the block `forget` or `retain`; None if there is none. Adds the places of its keys to `spans`, as
    `forget.file`."""
    if not isinstance(inner, BlockValues):
        return None
    spans.update({f"{name}.{key}": span for key, span in inner.spans.items() if key})
    spans.setdefault("concept", spans.get("forget.concept", spans.get("forget.file", spans[""])))
    file = inner.values.get("file")
    return None if file is None else attached.data_set(file, inner.spans.get("file"), faults)


def _read_options(
    draft: _LanguageDraft, shared: _JointMethod, spans: dict[str, Span], faults: Faults
) -> Mapping[str, Any]:
    """The options of an edit. E185 for keys that only an image model's edits have; other unknown keys are misspelt."""
    known = {option.name for method in methods_of(draft.kind) for option in options(method)}
    rest = []
    for key, node in draft.block.unknown:
        image_only = key.text in _IMAGE_KEYS or (draft.kind == "erase" and key.text in _ATTRIBUTE_KEYS)
        if image_only and key.text not in known:
            message = f"{tick(key.text)} has no meaning for a language model"
            faults.add("E185", message, key.span, help="remove it")
        else:
            rest.append((key, node))
    own = draft.block.values.get("method")
    return read_options(
        rest, draft.kind, own or shared.method, shared.unreadable and own is None, spans, faults, LANGUAGE_SYNTAX
    )


def _read_fact(
    values: dict[str, Any], spans: dict[str, Span], options: Mapping[str, Any], faults: Faults
) -> Fact | None:
    """The fact, with the subject put into its prompts. None if something that it needs is missing."""
    prompt, subject = values.pop("prompt", None), values.get("subject")
    if prompt is None or subject is None:
        return None
    template = _read_template(prompt, subject, spans, faults)
    if template is None or "answer" not in values:
        return None
    if "paraphrases" in values:
        values["paraphrases"] = tuple(text.replace("{}", subject) for text in values["paraphrases"])
    if "implied" in values:
        values["implied"] = tuple(
            PromptAnswer(one.prompt.replace("{}", subject), one.answer) for one in values["implied"]
        )
    return Fact(template=template, options=options, spans={**spans, "template": spans["prompt"]}, **values)


def _read_template(prompt: str, subject: str, spans: Mapping[str, Span], faults: Faults) -> str | None:
    """The prompt with `{}` in place of the subject. None and E186 if the subject is missing, or stands there more than
    once."""
    related = [(spans["prompt"], "the prompt")]
    slots = prompt.count("{}")
    if "{}" in subject or slots > 1:
        span, others = (spans["subject"], related) if "{}" in subject else (spans["prompt"], [])
        message = (
            "the subject itself contains `{}`, which stands for it in the prompt"
            if others
            else f"`{{}}` stands {slots} times in the prompt"
        )
        faults.add("E186", message, span, help="write `{}` once, in the prompt", related=others)
        return None
    if slots:
        return prompt
    starts = list(occurrences(prompt, subject))
    if len(starts) == 1:
        return f"{prompt[: starts[0]]}{{}}{prompt[starts[0] + len(subject) :]}"
    if starts:
        message = f"the prompt contains the subject {tick(subject)} {len(starts)} times"
        help = "write `{}` in the prompt where the subject is meant"
    else:
        message, help = f"the prompt does not contain the subject {tick(subject)}", _subject_hint(prompt, subject)
    faults.add("E186", message, spans["subject"], help=help, related=related)
    return None


def _subject_hint(prompt: str, subject: str) -> str:
    """Help for a subject that the prompt does not have: capitals, accents, or part of a longer word."""
    start = prompt.casefold().find(subject.casefold())
    found = prompt[start : start + len(subject)]
    if start >= 0 and found.casefold() == subject.casefold() and found != subject:
        return f"the prompt has {tick(found)}: write the same capitals"
    one, other = (unicodedata.normalize("NFC", text) for text in (subject, prompt))
    if start < 0 and one in other:
        return "they spell an accent differently, as one character and as two: copy the subject from the prompt"
    if start >= 0:
        return "there it is part of a longer word: name the whole word"
    return "write the subject as the prompt has it, or `{}` in the prompt"
