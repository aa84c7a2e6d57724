"""Divide the edits of a language model into stages, and choose each stage's method, layers and matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from editc.core import text
from editc.core.delta import Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.family import Family
from editc.core.language_edits import LanguageEdit, Learn, Redirect
from editc.core.manifest import Manifest
from editc.core.measurements import Depth
from editc.core.places import Scalar
from editc.core.plan import Plan, Stage
from editc.core.ports import Context
from editc.passes.language.locate.depth import measure_depth
from editc.passes.locate import is_wanted
from editc.passes.methods import EditsAtDepth
from editc.passes.sites import is_expert, layer_of
from editc.registry.methods import DEFAULT_TRAINED, METHODS


def plan_stages(manifest: Manifest, family: Family, every: Sequence[Site], ctx: Context) -> tuple[Stage, ...]:
    """The stages of a manifest in the order in which they are solved: facts, then redirections and erasures, then
    ablations. What is forgotten or learned is one stage alone. Each has the numbers of its sites in `every`.

    Raises E211 (the manifest names a layer that the model does not have), E212 (a method cannot use the chosen
    matrices), E203 (no matrix is left), and what `depth.measure_depth` raises.
    """
    count = 1 + max(layer_of(site.name) for site in every)
    _refuse_layers(manifest, count)
    return tuple(
        _stage(kind, numbers, manifest, family, every, (count, ctx)) for kind, numbers in _edits_by_stage(manifest)
    )


def stages_of_delta(manifest: Manifest, family: Family, sites: int) -> tuple[Stage, ...]:
    """The stages of a delta that is only measured again. Each has all `sites` sites, because a measurement does not ask
    which stage changed which."""
    every = tuple(range(sites))
    return tuple(
        Stage(kind, method_of(manifest, kind, family), numbers, every)  # type: ignore[arg-type]
        for kind, numbers in _edits_by_stage(manifest)
    )


def drop_unused_sites(plan: Plan) -> Plan:
    """The plan without the sites that no stage changes, its stages renumbered."""
    used = sorted({index for stage in plan.stages for index in stage.sites})
    at = {index: new for new, index in enumerate(used)}
    stages = tuple(replace(one, sites=tuple(at[index] for index in one.sites)) for one in plan.stages)
    return replace(plan, sites=tuple(plan.sites[index] for index in used), stages=stages)


def method_of(manifest: Manifest, kind: str, family: Family) -> str:
    """The method that the edits of a stage name, or the default. A single fact takes the family's default, mostly
    `rome`, which edits one matrix; several facts take `memit`, which spreads them over layers. Redirections and
    erasures take `rocr`, ablations `ablate`, sets of rows DEFAULT_TRAINED."""
    edits = [edit for edit in manifest.language_edits if _stage_kind(edit) == kind]
    named = next((edit.method for edit in edits if edit.method is not None), None)
    own = {"fact": family.default_method if len(edits) == 1 else "memit", "redirect": "rocr", "ablate": "ablate"}
    return named or (own | DEFAULT_TRAINED)[kind]


def default_layers(method: str, works_on: str, count: int) -> tuple[int, ...]:
    """The layers that a method edits if the manifest names none, for a model of `count` layers.

    * One matrix (rome, emmet): a sixth of the way up, as published: layer 5 of the 28 to 32 layers of 7B models.
    * Several (memit, alphaedit, rocr, transplant): that layer and the two before it. The published layers 4 to 8 reach
      higher, where keys of similar subjects are closer to each other: on SmolLM2 0.43 to 0.54 of an edit of a country
      is seen at other countries in layers 6 to 8, and 0.32 to 0.34 in layers 3 to 5 (docs/measurements/facts.md).
    * A method with a `depth` of its own (lunar, rmu-ridge, ultraedit): there instead of a sixth of the way up.
    * Matrices that write to the residual stream (ablate, leace), and columns (concept-vectors): all layers.
    * Methods that are trained: all layers, or those that the method itself names.
    """
    if works_on == "rows":
        named: tuple[int, ...] = METHODS.resolve(method).usual_layers(count)
        return named
    if works_on in ("columns", "writer"):
        return tuple(range(count))
    found = METHODS.resolve(method)
    last = min(round(count * (found.depth if isinstance(found, EditsAtDepth) else 1 / 6)), count - 1)
    return (last,) if is_single(method) else tuple(range(max(last - 2, min(last, 1)), last + 1))


def stage_option(plan: Plan, stage: Stage, name: str) -> Scalar | None:
    """An option that the edits of a stage give their method; None if none of them gives it."""
    given = [plan.manifest.language_edits[i].options for i in stage.edits]
    return next((options[name] for options in given if name in options), None)


def _stage(
    kind: str,
    numbers: tuple[int, ...],
    manifest: Manifest,
    family: Family,
    every: Sequence[Site],
    within: tuple[int, Context],
) -> Stage:
    """The stage of the edits `numbers` with its sites, by layer. `within`: the number of layers, and the context.

    Raises E203, E212, and what `depth.measure_depth` raises.
    """
    method = method_of(manifest, kind, family)
    works_on = METHODS.resolve(method).works_on
    usual = default_layers(method, works_on, within[0])
    if kind == "learn":
        usual = _layers_of_slices(manifest, numbers, within[0])
    depth = _depth_of_stage(manifest, numbers, works_on, len(usual), within[1])
    layers = manifest.sites.layers or (usual if depth is None else depth.window)
    roles = manifest.sites.roles or _default_roles(family, method, works_on)
    sites = [i for i, site in enumerate(every) if site.role in roles and layer_of(site.name) in layers]
    sites = [i for i in sites if is_wanted(manifest, every[i])]
    if not sites:
        raise _no_site_left(manifest, family, roles, layers)
    _refuse_method(method, works_on, [every[i] for i in sites], manifest, family)
    order = sorted(sites, key=lambda i: (layer_of(every[i].name), every[i].role, every[i].name))
    return Stage(kind, method, numbers, tuple(order), depth)  # type: ignore[arg-type]


def _layers_of_slices(manifest: Manifest, numbers: Sequence[int], count: int) -> tuple[int, ...]:
    """The layers that learn the slices of a stage's edits, in a model of `count` layers. Raises E211 where a model has
    fewer layers than a file has slices."""
    edits = [edit for i in numbers if isinstance(edit := manifest.language_edits[i], Learn)]
    small = next((edit for edit in edits if edit.of > count), None)
    if small is not None:
        message = f"the model has {count} layers, and each of {small.of} slices needs one of its own"
        raise EditcError(Diagnostic("E211", message, small.at("learn.of"), manifest.source, help="take fewer slices"))
    return tuple(sorted({layer for edit in edits for layer in edit.layers(count)}))


def _depth_of_stage(
    manifest: Manifest, numbers: Sequence[int], works_on: str, count: int, ctx: Context
) -> Depth | None:
    """The measured depth of a stage's edits. None unless the manifest says `sites: auto` and a model runs. None for
    columns, which are looked for in every layer anyway, and for what is trained."""
    if manifest.sites.auto is None or ctx.network is None or works_on in ("columns", "rows"):
        return None
    return measure_depth(manifest, [manifest.language_edits[i] for i in numbers], ctx.network, count, ctx.progress)


def _default_roles(family: Family, method: str, works_on: str) -> tuple[str, ...]:
    """The roles that a stage edits by default. Directions are removed from the attention's output, where the model
    gathers them; removing them from the MLP's too harms a small model far more. Training changes what its method names,
    but no expert, which learns only from the tokens that the router sends it."""
    if works_on == "rows":
        roles = METHODS.resolve(method).roles
        return tuple(role for role, name in family.patterns.items() if role in roles and not is_expert(name))
    own = {"writer": "attention", "columns": "mlp"}.get(works_on, "")
    return (own,) if own in family.patterns else family.default_roles


def _edits_by_stage(manifest: Manifest) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Each stage's kind with the numbers of its edits, in the order of the stages; empty stages are left out."""
    for kind in ("fact", "redirect", "ablate", "forget", "learn"):
        numbers = tuple(i for i, edit in enumerate(manifest.language_edits) if _stage_kind(edit) == kind)
        if numbers:
            yield kind, numbers


def _stage_kind(edit: LanguageEdit) -> str:
    """The kind of the stage that solves an edit: an erasure is solved with the redirections."""
    return "redirect" if isinstance(edit, Redirect) else edit.kind


def _refuse_layers(manifest: Manifest, layers: int) -> None:
    """Raise E211 if the manifest names a layer that a model of `layers` layers does not have."""
    beyond = [layer for layer in manifest.sites.layers if layer >= layers]
    if beyond:
        message = f"the model has {text.count(layers, 'layer')}, 0 to {layers - 1}, and no layer {beyond[0]}"
        span = manifest.sites.at("layers")
        help_ = "leave `layers` out for the usual ones"
        raise EditcError(Diagnostic("E211", message, span, manifest.source, help=help_))


def _refuse_method(method: str, works_on: str, sites: Sequence[Site], manifest: Manifest, family: Family) -> None:
    """Raise E212 if a method cannot use the chosen sites. A method for one matrix needs exactly one, an MLP's; and
    neither such a method nor one that trains can edit an expert, which reads only what the router sends it."""
    many = len(sites) > 1 and is_single(method)
    wrong = is_single(method) and any(site.role != "mlp" for site in sites)
    routed = (works_on in ("gradients", "rows") or is_single(method)) and any(is_expert(one.name) for one in sites)
    if not (many or wrong or routed):
        return
    span, help_ = manifest.sites.at("layers") or manifest.sites.at(), "take `memit`, which spreads it over layers"
    if routed:
        message = f"`{method}` cannot edit an expert, which adds only a part of what its layer adds"
        help_ = "leave `roles` out: editc then edits this family's attention; or take `memit`, which can edit experts"
    elif many:
        message = f"`{method}` edits one matrix, and {len(sites)} are chosen"
        help_ = f"name one layer, or {help_}"
    else:
        message = f"`{method}` edits the last matrix of an MLP, and `{sites[0].name}` of {family.title} is not one"
    raise EditcError(Diagnostic("E212", message, span, manifest.source, help=help_))


def _no_site_left(manifest: Manifest, family: Family, roles: Sequence[str], layers: Sequence[int]) -> EditcError:
    """E203: no site has these roles and layers and passes `include` and `exclude`."""
    span = manifest.sites.at("exclude") or manifest.sites.at("include") or manifest.sites.at("layers")
    which = f"{layers[0]} to {layers[-1]}" if len(layers) > 1 else str(layers[0])
    message = f"no site is left: of {family.title}, {' and '.join(roles)} in the layers {which}"
    return EditcError(Diagnostic("E203", message, span, manifest.source, help="widen `include` or `layers`"))


def is_single(method: str) -> bool:
    """True for a method that writes the whole edit into one matrix."""
    return bool(METHODS.resolve(method).single)


def works_on(stage: Stage) -> str:
    """What the stage's method works on: `memory`, `gradients`, `writer`, `columns` or `rows` (see
    `passes.methods.LanguageMethod`)."""
    return str(METHODS.resolve(stage.method).works_on)
