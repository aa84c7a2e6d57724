"""The edit kind of trained methods: their sites, their problem, and the training as the solve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any

import numpy as np

from editc.core.delta import Array, Site
from editc.core.diagnostics import Diagnostic, EditcError
from editc.core.family import Family
from editc.core.manifest import Manifest
from editc.core.plan import Plan
from editc.core.ports import Context, Diffusion, Progress, announce
from editc.core.problem import PreservedRows, Problem, System
from editc.core.site_bytes import matrix_shape
from editc.core.solution import Solution, Training
from editc.passes.images.keys.derive_rows import DeriveRows
from editc.passes.images.method import method_of, name_of_method
from editc.passes.images.rows.preserved_rows import preserved_prompts
from editc.passes.images.schemes.scheme import TrainedMethod
from editc.passes.images.schemes.subject import Subject
from editc.passes.images.train.bounds import Watch, refuse_standstill, watch_bounds, watched_bounds
from editc.passes.images.train.composed import composed_prompts
from editc.passes.images.train.edits import edits_of
from editc.passes.images.train.loop import train
from editc.passes.images.train.starts import find_free, solve_start
from editc.passes.images.train.subjects import make_subjects
from editc.passes.images.train.text_encoder import with_last_block
from editc.passes.images.train.unmeasured import find_unmeasurable
from editc.passes.locate import check_patterns, is_wanted
from editc.passes.sites import sites_of
from editc.passes.stored import SiteWeights
from editc.passes.training.checkpoint import Checkpoints
from editc.passes.training.factors import Factors, attach_factors
from editc.passes.training.loop import Progressed, make_optimizer, save_period
from editc.passes.training.scheme import Scheme


@dataclass(frozen=True)
class Train:
    """The `EditKind` of trained methods."""

    def locate(self, manifest: Manifest, family: Family, ctx: Context) -> Plan:
        """Return the plan with every matrix of the method's layers that `include` and `exclude` leave, and with those
        that the closed-form edit changes from which the training starts.

        Raises E245 (a family without layers to train), E202 (a pattern matches nothing), E203 (no site is left) and
        E247 (a bound or an attack that such an edit has no figure for).
        """
        family = with_last_block(family, ctx.weights.names())
        plan = Plan(manifest, family, manifest.model, (), {})
        method = _trained_method(plan)
        every = tuple(_sites(family, ctx, kinds_of(method.layers, family)))
        if not every:
            raise EditcError(_nothing_to_train(plan, method.layers))
        if faults := tuple(check_patterns(manifest, every)):
            raise EditcError(*faults)
        trained = {site.name: site for site in every if is_wanted(manifest, site)}
        if not trained:
            raise EditcError(_none_left(plan, len(every)))
        start = method.scheme().start
        first = sites_of(family, ctx.weights, family.default_roles) if start else ()
        sites = trained | {site.name: site for site in first if site.name not in trained}
        why = {name: f"trained: {_kind_of(family, name)}" if name in trained else f"solved: {start}" for name in sites}
        found = replace(plan, sites=tuple(sites[name] for name in sorted(sites)), evidence=why)
        if faults := tuple(find_unmeasurable(found)):
            raise EditcError(*faults)
        return found

    def derive(self, plan: Plan, ctx: Context, prompts: Sequence[str]) -> Problem:
        """Return the problem. Sites that read the text preserve rows as usual; the others have none, and preserve
        prompts. Raises E247 as `locate` does: `editc attack` asks for other attacks than the manifest."""
        if faults := tuple(find_unmeasurable(plan)):
            raise EditcError(*faults)
        systems: dict[str, System] = {}
        reading = tuple(site for site in plan.sites if plan.family.reads_text(site.group))
        found = DeriveRows(prompts)(replace(plan, sites=reading), ctx) if reading else None
        preserved = _preserved_prompts(plan, prompts)
        for group in dict.fromkeys(site.group for site in plan.sites):
            known = found.systems.get(group) if found else None
            systems[group] = known or _without_text(ctx, plan.sites_of(group), preserved)
        assert ctx.encoder is not None
        corpus = found.corpus if found else f"{len(preserved)} prompts"
        return Problem(plan, systems, ctx.encoder.fingerprint(), corpus, found.leaks if found else ())

    def solve(self, problem: Problem, ctx: Context) -> Solution:
        """Train, and return the factors as low-rank edits. Raises E246 (a pipeline that cannot be trained), E248 (the
        method keeps preserved prompts, and there are none) and E405 (a bound on a drift leaves nothing to train)."""
        plan, model = problem.plan, ctx.diffusion
        if model is None:
            raise EditcError(_no_gradients(plan))
        method = _trained_method(plan)
        scheme = method.scheme()
        announce(ctx.progress, "asks the unedited model")
        pictures = method.picture_steps, method.picture_guidance
        preserved = _preserved(problem)
        composed = composed_prompts(plan, ctx, len(preserved))
        subjects = tuple(make_subjects(plan, ctx, model, preserved, *pictures, composed))
        sites = [site for site in plan.sites if _is_trained(plan, method, site)]
        start = solve_start(problem, scheme.start) if scheme.start else {}
        free = find_free(problem, sites) if scheme.free else {}
        with attach_factors(model, sites, scheme.rank, plan.manifest.seed, start, free) as factors:
            watch = watch_bounds(problem, lambda: edits_of(problem, factors, start))
            training = _run(model, scheme, subjects, factors, watch, problem, ctx)
            edits = edits_of(problem, factors, start)
        given = {option: value for option, value in vars(method).items() if value is not None}
        record: Mapping[str, Any] = {"method": name_of_method(plan), "options": given}
        count = len(plan.manifest.image_edits)
        return Solution(problem, edits, (record,) * count, (1.0,) * count, training=training)


def _run(
    model: Diffusion,
    scheme: Scheme,
    subjects: Sequence[Subject],
    factors: Factors,
    watch: Watch | None,
    problem: Problem,
    ctx: Context,
) -> Training:
    """Train `factors`, going on from a checkpoint where the cache has one."""
    import torch

    seed = problem.plan.manifest.seed
    generator = torch.Generator().manual_seed(seed)
    begun = Progressed(factors, make_optimizer(scheme.optimiser, factors), generator, [{} for _ in subjects])
    save = None
    if ctx.cache is not None:
        points = Checkpoints(ctx.cache, _identity(model, scheme, subjects, problem, ctx))
        points.resume(begun, save_period(scheme, len(subjects)), scheme.steps * len(subjects))
        save = points.save
    own = tuple(_own(model, scheme, one, begun, ctx.progress) for one in subjects) if scheme.measures_own else ()
    found = train(model, scheme, subjects, begun, ctx.progress, save, watch)
    if found.stopped and not found.kept:
        refuse_standstill(problem, found.stopped, found.steps)
    return replace(found, own=own)


def _own(model: Diffusion, scheme: Scheme, subject: Subject, begun: Progressed, progress: Progress | None) -> float:
    """`own` of a subject, to four digits; shown before the training."""
    import torch

    pool, _ = scheme.terms[0].feed.draw(model, begun.factors, subject, 1, torch.Generator().manual_seed(0))
    own = float(round(pool.own_share(model), 4))
    announce(progress, f"{100 * own:.0f} % of {subject.concept} is its own")
    return own


def _identity(model: Diffusion, scheme: Scheme, subjects: Sequence[Subject], problem: Problem, ctx: Context) -> str:
    """Everything that decides what is trained, and where: a checkpoint of another training is never taken up."""
    import torch

    digest = sha256()
    for site in problem.plan.sites:
        digest.update(f"{site.name} {site.dtype}".encode())
        digest.update(np.ascontiguousarray(ctx.weights.read(site.name)).tobytes())
    seed, threads = problem.plan.manifest.seed, torch.get_num_threads()
    bounds, device = watched_bounds(problem), next(model.network.parameters()).device
    parts = repr(scheme), repr(subjects), digest.hexdigest(), problem.encoder, f"{seed} {threads} {device} {bounds}"
    return "\0".join(parts)


def _is_trained(plan: Plan, method: TrainedMethod, site: Site) -> bool:
    """True for a site of the method's layers that the manifest leaves; False for one that only the start changes."""
    kinds = kinds_of(method.layers, plan.family)
    return bool(_kind_of(plan.family, site.name, kinds)) and is_wanted(plan.manifest, site)


def kinds_of(layers: str, family: Family) -> tuple[str, ...]:
    """The kinds of layers that an option `layers` names."""
    return tuple(family.layers) if layers == "all" else tuple(layers.split("+"))


def _sites(family: Family, ctx: Context, kinds: Sequence[str]) -> Iterator[Site]:
    """Yield every matrix of some kinds of layers, in the order of the names."""
    for name in ctx.weights.names():
        if kind := _kind_of(family, name, kinds):
            yield _site(family, ctx, name, kind)


def _site(family: Family, ctx: Context, name: str, kind: str) -> Site:
    """Describe one matrix. Its role and group are the family's where a role's pattern matches, else the kind of layer,
    and one group for each width of input."""
    shape = matrix_shape(ctx.weights.shape(name))
    role = next((role for role, pattern in family.patterns.items() if fnmatchcase(name, pattern)), "")
    group = family.group_of(role) if role else f"layers of width {shape[1]}"
    return Site(family.component, name, (shape[0], shape[1]), ctx.weights.dtype(name), role or kind, group)


def _kind_of(family: Family, name: str, kinds: Sequence[str] = ()) -> str:
    """The first kind of layer, of `kinds` or of all, that a parameter belongs to; '' for none."""
    asked = {kind: family.layers.get(kind, ()) for kind in kinds or family.layers}
    return next((kind for kind, patterns in asked.items() if any(fnmatchcase(name, p) for p in patterns)), "")


def _without_text(ctx: Context, sites: Sequence[Site], prompts: tuple[str, ...]) -> System:
    """The system of sites that do not read the text: no rows, and the prompts that are preserved all the same."""
    none: Array = np.zeros((sites[0].shape[1], 0))
    return System((), PreservedRows(np.zeros((0, 0)), none, none, prompts), SiteWeights(ctx.weights, sites), 0.0)


def _preserved_prompts(plan: Plan, prompts: Sequence[str]) -> tuple[str, ...]:
    """The preserved prompts of a manifest: those of the default list, unless it wants none, then what it names."""
    listed = preserved_prompts(plan.manifest, plan.contexts(), prompts)
    default = listed.default if plan.manifest.preserve.corpus == "default" else ()
    return tuple(dict.fromkeys((*default, *listed.named)))


def _preserved(problem: Problem) -> tuple[str, ...]:
    """The preserved prompts of the group that has most."""
    return max((system.preserved.prompts for system in problem.systems.values()), key=len)


def _trained_method(plan: Plan) -> TrainedMethod:
    """The method of a plan whose edit kind is this one."""
    found: Any = method_of(plan)
    return found  # type: ignore[no-any-return]


def _nothing_to_train(plan: Plan, wanted: str) -> Diagnostic:
    """Make the E245 of a family that has none of the layers."""
    manifest = plan.manifest
    title = plan.family.title
    message = f"`method: {manifest.method}` trains layers of the kind `{wanted}`, which editc does not know in {title}"
    known = ", ".join(plan.family.layers)
    help_ = f"write `layers` with some of {known}" if known else "use a method with a closed form, such as `uce`"
    request = manifest.image_edits[0]
    span = request.at("layers") or request.at("method")
    return Diagnostic("E245", message, span, manifest.source, help=help_)


def _none_left(plan: Plan, found: int) -> Diagnostic:
    """Make the E203 of a manifest whose patterns drop all of the `found` matrices."""
    manifest = plan.manifest
    span = manifest.sites.at("exclude") or manifest.sites.at("include")
    message = f"no site is left: `{manifest.method}` trains {found} matrices; `include` and `exclude` remove them all"
    return Diagnostic("E203", message, span, manifest.source, help="widen `include`, or narrow `exclude`")


def _no_gradients(plan: Plan) -> Diagnostic:
    """Make the E246 of a pipeline that cannot be trained."""
    manifest = plan.manifest
    message = f"`method: {manifest.method}` trains on the model's own pictures, and this pipeline cannot be trained"
    help_ = (
        "name a whole pipeline of Stable Diffusion 1 or 2, whose denoiser reads the rows of one text encoder and "
        "nothing else of a prompt; or use a method with a closed form, such as `uce`"
    )
    return Diagnostic("E246", message, manifest.image_edits[0].at("method"), manifest.source, help=help_)


TRAIN = Train()
