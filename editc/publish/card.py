"""The model card of a published delta, made from its report: what a reader wants to know, in the order in which they
ask it, under metadata that the hub reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from editc.core.delta import Delta
from editc.core.text import count
from editc.publish.card_loading import loading_lines
from editc.publish.parcel import Parcel, export_names, rows
from editc.registry.families import FAMILIES

HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
"""A hub id, as a manifest names its model."""
LIBRARIES = {"image": "diffusers", "language": "transformers"}
"""Kind of model -> the library that the hub shows."""
TASKS = {"image": "text-to-image", "language": "text-generation"}
"""Kind of model -> the task that the hub shows."""
VERDICT = {"works": "Works?", "costs": "Costs?", "robust": "Robust?"}
"""Line of the verdict -> its question, as the report puts it."""


def card_text(parcel: Parcel, licence: str = "") -> str:
    """The card as Markdown. `licence` is an identifier that the hub knows, such as `apache-2.0`; empty: none is
    stated."""
    parts = [_title(parcel), *_what(parcel), *_measured(parcel), *_attacks(parcel), *_loading(parcel), *_limits(parcel)]
    parts += _licence(parcel, licence)
    return f"---\n{_metadata(parcel, licence)}---\n\n" + "\n\n".join(parts) + "\n"


def kind_of(delta: Delta) -> str:
    """`image` or `language`; `image` where the family is not installed."""
    return FAMILIES.models_of(delta.family) if delta.family in FAMILIES.names() else "image"


def base_of(parcel: Parcel) -> str:
    """The model that the report or else the manifest names; empty where it is not known."""
    return str(parcel.report.get("model") or "") or manifest_model(parcel.delta)


def manifest_model(delta: Delta) -> str:
    """The model that a delta's manifest names; empty where it names none."""
    import yaml

    try:
        manifest = yaml.safe_load(delta.manifest)
    except yaml.YAMLError:
        return ""
    return str(manifest.get("model") or "") if isinstance(manifest, dict) else ""


def _metadata(parcel: Parcel, licence: str) -> str:
    """The metadata as YAML."""
    import yaml

    kind, hub = kind_of(parcel.delta), HUB_ID.fullmatch(base_of(parcel))
    exports = rows(parcel.report.get("exports"))
    library = "peft" if any(one.get("format") == "peft" for one in exports) else LIBRARIES.get(kind, "editc")
    data: dict[str, Any] = {"license": licence} if licence else {}
    if hub:
        data |= {"base_model": hub["repo"], "base_model_relation": "adapter"}
    data |= {"library_name": library, "pipeline_tag": TASKS.get(kind, "text-to-image")}
    data["tags"] = [
        "editc",
        "model-editing",
        parcel.delta.family,
        *sorted({_word(edit) for edit in parcel.delta.edits}),
    ]
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _title(parcel: Parcel) -> str:
    """The heading."""
    return f"# {'; '.join(_sentence(edit) for edit in parcel.delta.edits[:2]) or 'A model edit'}"


def _what(parcel: Parcel) -> Iterator[str]:
    """What the delta is, and for which model."""
    delta, base = parcel.delta, base_of(parcel)
    family = parcel.report.get("family")
    title = plain((family.get("title") if isinstance(family, dict) else "") or delta.family)
    yield (
        f"A delta of {count(len(delta.sites), 'matrix')} for {title}, made by {plain(delta.tool)}. It is no model: it "
        "is applied to one, and can be taken out again byte for byte."
    )
    yield "## What does it do?\n\n" + "\n".join(f"* {_sentence(edit)}{_how(edit)}" for edit in delta.edits)
    yield f"## Which model is it for?\n\n{_base(base, len(delta.sites))}"


def _base(base: str, sites: int) -> str:
    """The base model, with its revision where the manifest has one."""
    hub = HUB_ID.fullmatch(base)
    proof = (
        f"The delta holds the sha256 of {'the matrix' if sites == 1 else f'each of the {sites:,} matrices'} before the "
        "edit, and `editc apply` refuses a model that differs."
    )
    if hub and hub["revision"]:
        return f"{plain(hub['repo'])} at revision `{hub['revision']}`. {proof}"
    if hub:
        return f"{plain(hub['repo'])}; the manifest pins no revision. {proof}"
    return f"{plain(PurePath(base).name)}, which is not a model of the hub. {proof}" if base else proof


def _measured(parcel: Parcel) -> Iterator[str]:
    """The verdict, and each claim with its bound."""
    verdict = parcel.report.get("verdict")
    lines = []
    for name, question in VERDICT.items():
        part = verdict.get(name) if isinstance(verdict, dict) else None
        if isinstance(part, dict):
            lines.append(f"**{question}** {plain(part.get('state', ''))}\n\n{_reasons(part)}")
    claims = [_claim_row(claim) for claim in parcel.delta.claims]
    table = "| measurement | of | value | bound |\n|---|---|---|---|\n" + "\n".join(claims)
    yield "\n\n".join(["## What was measured?", *lines, *([table] if claims else ["Nothing."])])
    yield (
        "`editc explain NAME` says what a measurement means. `editc verify DELTA --model BASE` measures all of them "
        "again, from the delta alone."
    )


def _reasons(part: Mapping[str, Any]) -> str:
    """The reasons of a line of the verdict."""
    return "\n".join(f"* {plain(one.get('text', ''))}" for one in rows(part.get("reasons")))


def _claim_row(claim: Mapping[str, Any]) -> str:
    """A claim as a row."""
    bound = claim.get("bound")
    side = "at least" if claim.get("least") else "at most"
    limit = "" if bound is None else f"{side} {_figure(bound)}"
    cells = (code(claim.get("name", "")), code(claim.get("subject", "")), _figure(claim.get("value")), limit)
    return f"| {' | '.join(cells)} |"


def _attacks(parcel: Parcel) -> Iterator[str]:
    """What attacks brought back, beside their controls."""
    found = rows(parcel.report.get("attacks")) or rows(parcel.delta.extra.get("attacks"))
    if not found:
        yield "## Which attacks were tried?\n\nNone beyond the measurements above. Nothing is known about others."
        return
    head = "| attack | concept | pictures that show it | the same attack before the edit |\n|---|---|---|---|\n"
    yield (
        "## Which attacks were tried?\n\n"
        + head
        + "\n".join(
            f"| {plain(one.get('attack', ''))} | {plain(one.get('concept', ''))} | {_figure(one.get('shown'))} of "
            f"{_figure(one.get('of'))} | {_figure(one.get('control'))} of {_figure(one.get('of'))} |"
            for one in found
        )
    )


def _loading(parcel: Parcel) -> Iterator[str]:
    """How to load it in each tool."""
    hub = HUB_ID.fullmatch(base_of(parcel))
    base = hub["repo"] if hub else "BASE"
    formats = {name: str(one.get("format")) for one in rows(parcel.report.get("exports")) for name in export_names(one)}
    lines = loading_lines(parcel.items, formats, base, parcel.role("delta")[0].name)
    yield "\n\n".join(["## How is it loaded?", *lines])
    if parcel.role("signature"):
        yield "It is signed: `editc verify-signature edit --key KEY.pub`, with the public key of whoever published it."


def _limits(parcel: Parcel) -> Iterator[str]:
    """What the reader must not expect."""
    lines = [
        "The measurements hold for the model above, with strength 1. On a fine-tune, at another strength or beside "
        "other adapters, none of them does.",
        "What was not measured is not known. A concept that is gone from the pictures may still be in the weights: see "
        "the last line of the verdict, where there is one.",
        "Whoever has the unedited weights can take the edit out.",
    ]
    yield "## What are its limits?\n\n" + "\n".join(f"* {line}" for line in lines)


def _licence(parcel: Parcel, licence: str) -> Iterator[str]:
    """The licence of the delta, and what it cannot give."""
    stated = f"The files here: {plain(licence)}." if licence else "The publisher states no licence for these files."
    yield f"## Under which licence?\n\n{stated} The licence of the base model applies to the edited model too."
    yield f"`delta_id`: `{parcel.delta.delta_id}`"


def _word(edit: Mapping[str, Any]) -> str:
    """The kind of an edit as a tag."""
    return {"erase": "concept-erasure", "fact": "knowledge-editing"}.get(str(edit.get("kind")), "model-editing-other")


def _sentence(edit: Mapping[str, Any]) -> str:
    """What an edit does, in the words of its manifest."""
    values = {name: plain(edit.get(name) or "") for name in ("kind", "concept", "group", "to", "prompt", "answer")}
    if values["prompt"] and values["answer"]:
        return f"{_capital(values['kind'])}: {values['prompt']} {values['answer']}"
    target = f", to {values['to']}" if values["to"] else ""
    return _capital(f"{values['kind']} {values['concept'] or values['group']}{target}".strip()) or "Weights"


def _capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def _how(edit: Mapping[str, Any]) -> str:
    """The method of an edit, in brackets."""
    return f" (method `{edit['method']}`)" if edit.get("method") else ""


def _figure(value: Any) -> str:
    """A number to four digits; other values as text."""
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else plain(value or "")


def plain(text: Any) -> str:
    """A text that Markdown and HTML leave as it is, on one line."""
    line = " ".join(str(text).split())
    return re.sub(r"([\\`*_\[\]<>#|~&])", r"\\\1", "".join(one if one.isprintable() else "" for one in line))


def code(text: Any) -> str:
    """A text as code in a table; empty for an empty one."""
    line = re.sub(r"[`|]", "'", " ".join(str(text).split()))
    return f"`{line}`" if line else ""
