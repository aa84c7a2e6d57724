"""Locate: which matrices an edit changes, found in the checkpoint's header alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import ClassVar

from editc.diagnostics import Diagnostic, EditcError, fail
from editc.ir import Family, Plan, Site
from editc.ports import Context, Weights
from editc.request import Manifest

EDITED_DTYPES = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class Locate:
    """Manifest -> Plan: every cross-attention projection of a role asked for, less what include and exclude drop."""

    families: Sequence[Family]
    name: ClassVar[str] = "locate"

    def __call__(self, manifest: Manifest, ctx: Context) -> Plan:
        """Raises E201 to E204, E206."""
        family = recognise(self.families, ctx.weights, manifest.model)
        every = tuple(_sites(family, ctx.weights, manifest.choice.roles))
        faults = tuple(_fruitless(manifest, every))
        sites = tuple(site for site in every if _wanted(manifest, site))
        if faults:
            raise EditcError(*faults)
        if not sites:
            raise EditcError(_none_left(manifest, family, len(every)))
        _refuse_dtypes(sites)
        return Plan(manifest, family, manifest.model, sites, {s.name: _why(family, s) for s in sites})


def recognise(families: Sequence[Family], weights: Weights, model: str) -> Family:
    """The family whose parameter names, marker and kind of layers these are; E206 for a known stranger, else E201."""
    names = weights.names()
    stranger = next((title for mark, title in STRANGERS.items() if any(mark in name for name in names)), None)
    if stranger:
        titles = ", ".join(family.title for family in families)
        message = f"this is {stranger}, which this version of editc does not edit"
        raise fail("E206", message, place=model, help=f"families: {titles}")
    for family in families:
        if _has_sites(family, names) and _marked(family, names, weights):
            return family
    sought = [f"{family.name} wants `{family.patterns['k']}`" for family in families]
    first = f"the model has {len(names)} tensors there, the first is `{names[0]}`" if names else "it has no tensors"
    hint = "`editc explain FAMILY` says what each family is; `editc inspect MODEL` lists the tensors"
    raise fail("E201", "no family recognises this model", place=model, notes=[*sought, first], help=hint)


STRANGERS: Mapping[str, str] = {
    "add_embedding.linear_1": "Stable Diffusion XL",
    "single_transformer_blocks.": "FLUX",
    "context_embedder.": "Stable Diffusion 3",
    "model.layers.": "a language model",
    "model.diffusion_model.": "a single-file checkpoint that is not of Stable Diffusion 1, 2 or XL",
}


def _has_sites(family: Family, names: Sequence[str]) -> bool:
    return all(any(fnmatchcase(name, pattern) for name in names) for pattern in family.patterns.values())


def _marked(family: Family, names: Sequence[str], weights: Weights) -> bool:
    if family.marker is None:
        return True
    pattern, dimensions = family.marker
    first = next((name for name in names if fnmatchcase(name, pattern)), None)
    return first is not None and len(weights.shape(first)) == dimensions


def _sites(family: Family, weights: Weights, roles: Sequence[str]) -> Iterator[Site]:
    for name in weights.names():
        for role, pattern in family.patterns.items():
            shape = weights.shape(name)
            if role in roles and fnmatchcase(name, pattern) and len(shape) == 2:
                yield Site(family.component, name, (shape[0], shape[1]), weights.dtype(name), role)


def _wanted(manifest: Manifest, site: Site) -> bool:
    choice = manifest.choice
    return any(fnmatchcase(site.name, p) for p in choice.include) and not any(
        fnmatchcase(site.name, p) for p in choice.exclude
    )


def _fruitless(manifest: Manifest, sites: Sequence[Site]) -> Iterator[Diagnostic]:
    for side in ("include", "exclude"):
        for index, pattern in enumerate(getattr(manifest.choice, side)):
            if not any(fnmatchcase(site.name, pattern) for site in sites):
                yield Diagnostic(
                    "E202",
                    f"`{pattern}` in sites.{side} matches none of {len(sites)} sites",
                    manifest.choice.spans.get(f"{side}.{index}", manifest.choice.at(side)),
                    manifest.source,
                    help=f"a site looks like `{sites[0].name}`" if sites else "",
                )


def _none_left(manifest: Manifest, family: Family, found: int) -> Diagnostic:
    span = manifest.choice.at("exclude") or manifest.choice.at("include") or manifest.choice.at("roles")
    return Diagnostic(
        "E203",
        f"no site is left: {found} of {family.title} have a role asked for, and include and exclude drop them all",
        span,
        manifest.source,
        help="widen `include`, narrow `exclude`, or name roles of " + ", ".join(family.patterns),
    )


def _refuse_dtypes(sites: Sequence[Site]) -> None:
    for site in sites:
        if site.dtype not in EDITED_DTYPES:
            raise fail(
                "E204",
                f"`{site.name}` is stored as {site.dtype}, which cannot be edited exactly",
                place=site.name,
                help="build against the unquantised checkpoint (F32, F16 or BF16) and quantise afterwards",
            )


def _why(family: Family, site: Site) -> str:
    return f"cross-attention {site.role} projection of {family.title}, by name `{family.patterns[site.role]}`"
