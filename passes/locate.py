"""What locate does for all kinds of models: recognise the family, and check roles, patterns and dtypes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from editc.core.delta import Site
from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.ports import Context, Weights
from editc.core.text import count
from editc.passes.unsupported import (
    UNSUPPORTED,
    UNSUPPORTED_LANGUAGE,
    adapter_or_wrapper,
    describe_unsupported,
    model_type_of,
    reason_to_refuse,
)

EDITED_DTYPES = ("F64", "F32", "F16", "BF16")
"""Safetensors dtypes of matrices that can be edited exactly."""
OTHER_KIND: Mapping[str, tuple[str, str]] = {
    "language": ("a language model", "name a language model under `model`"),
    "image": ("an image model", "name an image model under `model`, or write `fact`, `redirect` or `ablate`"),
}
"""Kind of model that the edits are for -> its name in a message, and the help where the model is of another kind."""


def family_of(families: Sequence[Family], manifest: Manifest, ctx: Context) -> Family:
    """Return the model's family, with the model's own contexts where it brings some.

    Raises E201 and E206 as `recognise` does, and E206 where the edits are for another kind of model.
    """
    family = ctx.family or recognise(families, ctx.weights, manifest.model, ctx.settings)
    refuse_other_kind(manifest, family)
    return ctx.with_own_contexts(family)


def recognise(
    families: Sequence[Family], weights: Weights, model: str, settings: Mapping[str, Any] = MappingProxyType({})
) -> Family:
    """Return the family that fits the model's parameter names and settings best.

    `settings` is the config.json of a language model. Raises E206 where it is known why the model cannot be edited,
    else E201 where no family fits.
    """
    names = weights.names()
    refused = _reason_by_names(names) or reason_to_refuse(settings)
    found = None if refused else best_fit(families, weights, settings)
    if found is None:
        raise _unrecognised(families, weights, model, settings)
    return found


def _unrecognised(families: Sequence[Family], weights: Weights, model: str, settings: Mapping[str, Any]) -> EditcError:
    """Make the E206 or E201 of a model that `recognise` refuses."""
    from editc.families.single_files import find_single_file

    names = weights.names()
    if single := find_single_file(names):
        return fail("E206", f"this is {single.title}", place=model, help=single.help)
    if reason := _reason_by_names(names):
        return _unsupported_model(reason, [family for family in families if family.models == "image"], model)
    language = [family for family in families if family.models == "language"]
    if why := reason_to_refuse(settings):
        return _unsupported_model(why, language, model)
    if around := adapter_or_wrapper(names):
        return fail("E206", f"this is {around[0]}", place=model, help=around[1])
    other = describe_unsupported(settings) or next(
        (why for mark, why in UNSUPPORTED_LANGUAGE.items() if _any_matches(names, mark)), ""
    )
    if other:
        return _unsupported_model(other, language, model)
    sought = [f"{family.name} wants `{next(iter(family.patterns.values()))}`" for family in families]
    there = f"the model has {count(len(names), 'tensor')} there"
    first = f"{there}, the first is `{names[0]}`" if names else "it has no tensors"
    hint = "`editc explain FAMILY` describes each family; `editc inspect MODEL` lists the parts of a model"
    return fail("E201", "no family recognises this model", place=model, notes=[*sought, first], help=hint)


def _reason_by_names(names: Sequence[str]) -> str:
    """Say why a model with these parameter names is not edited, whatever family fits. Empty where it may be."""
    return next((why for mark, why in UNSUPPORTED.items() if _any_matches(names, mark)), "")


def best_fit(
    families: Sequence[Family], weights: Weights, settings: Mapping[str, Any] = MappingProxyType({})
) -> Family | None:
    """Return the most specific family that fits: the one with the most patterns. None where no family fits.

    A family fits if parameters match each of its patterns and its marker, and if config.json names one of its model
    types or none.
    """
    names, kind = weights.names(), model_type_of(settings)
    known = [family for family in families if family.models == "image" or not kind or kind in family.model_types]
    found = [family for family in known if _has_sites(family, names) and _has_marker(family, names, weights)]
    return max(found, key=lambda family: len(family.patterns) + len(family.required_parameters), default=None)


def _unsupported_model(what: str, families: Sequence[Family], model: str) -> EditcError:
    """Make the E206 of a model that is not edited. `what` says what it is, `families` which ones are edited."""
    titles = ", ".join(family.title for family in families)
    help_ = f"families that are edited: {titles} (docs/reference/families.md)"
    return fail("E206", f"this is {what}", place=model, help=help_)


def _any_matches(names: Sequence[str], pattern: str) -> bool:
    """Return whether a name matches the pattern."""
    return any(fnmatchcase(name, pattern) for name in names)


def refuse_other_kind(manifest: Manifest, family: Family) -> None:
    """Raise E206 where the edits are for another kind of model than this family's."""
    if manifest.kind != family.models:
        what, help_ = OTHER_KIND[manifest.kind]
        raise fail(
            "E206", f"the edits are for {what}, but the model is {family.title}", place=manifest.model, help=help_
        )


def roles_of(manifest: Manifest, family: Family) -> tuple[str, ...]:
    """Return the roles that the manifest names, or the family's usual ones. Raises E210 for a role that it lacks."""
    for index, role in enumerate(manifest.sites.roles):
        if role not in family.patterns:
            reason = family.refused.get(role, f"its roles are {', '.join(family.patterns)}")
            span = manifest.sites.spans.get(f"roles.{index}", manifest.sites.at("roles"))
            help_ = f"leave `roles` out for {', '.join(family.default_roles)}; see `editc explain {family.name}`"
            message = f"{family.title} has no role `{role}`: {reason}"
            raise EditcError(Diagnostic("E210", message, span, manifest.source, help=help_))
    return manifest.sites.roles or family.default_roles


def _has_sites(family: Family, names: Sequence[str]) -> bool:
    """Return whether each pattern of the family, and each parameter that it requires, matches a name."""
    patterns = (*family.patterns.values(), *family.required_parameters)
    return all(any(fnmatchcase(name, pattern) for name in names) for pattern in patterns)


def _has_marker(family: Family, names: Sequence[str], weights: Weights) -> bool:
    """Return whether the family's marker has as many dimensions as it should; True for a family without a marker."""
    if family.marker is None:
        return True
    pattern, dimensions = family.marker
    first = next((name for name in names if fnmatchcase(name, pattern)), None)
    return first is not None and len(weights.shape(first)) == dimensions


def is_wanted(manifest: Manifest, site: Site) -> bool:
    """Return whether `sites.include` matches a site and `sites.exclude` does not."""
    choice = manifest.sites
    return any(fnmatchcase(site.name, p) for p in choice.include) and not any(
        fnmatchcase(site.name, p) for p in choice.exclude
    )


def check_patterns(manifest: Manifest, sites: Sequence[Site]) -> Iterator[Diagnostic]:
    """Yield E202 for each pattern under `sites` of the manifest that matches no site."""
    for side in ("include", "exclude"):
        for index, pattern in enumerate(getattr(manifest.sites, side)):
            if not any(fnmatchcase(site.name, pattern) for site in sites):
                yield Diagnostic(
                    "E202",
                    f"`{pattern}` in sites.{side} matches none of {len(sites)} sites",
                    manifest.sites.spans.get(f"{side}.{index}", manifest.sites.at(side)),
                    manifest.source,
                    help=f"a site looks like `{sites[0].name}`" if sites else "",
                )


def refuse_dtypes(sites: Sequence[Site]) -> None:
    """Raise E204 for the first site whose dtype cannot be edited exactly."""
    for site in sites:
        if site.dtype not in EDITED_DTYPES:
            raise fail(
                "E204",
                f"`{site.name}` is stored as {site.dtype}, which editc cannot edit exactly",
                place=site.name,
                help="build against the unquantised checkpoint (F32, F16 or BF16) and quantise afterwards",
            )


def explain_choice(family: Family, site: Site, what: str) -> str:
    """Say why a site was chosen. `what` describes a matrix of its role, with `{}` in place of the role."""
    return f"{what.format(site.role)} of {family.title}, by name `{family.patterns[site.role]}`"
