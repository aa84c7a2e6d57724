"""What differs between builds for image models and for language models, and a manifest opened with its model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from editc.core.diagnostics import Diagnostic
from editc.core.pointing import pointing_at
from editc.core.ports import Context
from editc.formats.models.model import Model
from editc.opening.target import Target

if TYPE_CHECKING:
    from editc.core.delta import Delta
    from editc.core.family import Family
    from editc.core.manifest import Manifest
    from editc.core.plan import Plan, Stage
    from editc.core.ports import Progress
    from editc.core.problem import Problem
    from editc.core.solution import Solution, Verified


class Pass(Protocol):
    """A frozen dataclass whose fields are its options, called with what flows in and the ports; `name` as printed."""

    name: ClassVar[str]

    def __call__(self, unit: Any, ctx: Context, /) -> Any:
        """The next value; raises EditcError for what the user must mend."""


@dataclass(frozen=True)
class ModelKind:
    """One kind of model. Its functions import what they need when they are called."""

    name: str
    """As `Manifest.kind` and `Family.models` say it."""
    own_contexts: Callable[[Path], tuple[str, ...]]
    """The model's own sentences for concepts, from its folder; () where it has none. Raises E146."""
    with_adapters: Callable[[Context, Manifest], Context]
    """The ports of headers with what the manifest names beside the model: adapters that it fuses."""
    adapter_warnings: Callable[[Context, Manifest], tuple[Diagnostic, ...]]
    """Warnings of what was attached."""
    missing_parts: Callable[[OpenedManifest], Iterator[Diagnostic]]
    """What a build would miss beside the weights, by looking for files and reading headers."""
    open_ports: Callable[[OpenedManifest, Progress | None], Context]
    """Every port of a build. Raises E205, E207 and what opening the parts of the model raises."""
    with_earlier: Callable[[Context, OpenedManifest], Context]
    """The ports with where the deltas under `after` have their keys."""
    locate_pass: Callable[[], Pass]
    """Manifest -> Plan."""
    passes: Callable[[Sequence[str]], tuple[Pass, ...]]
    """The passes from the plan on, derive to verify, for this list of prompts that are preserved by default."""
    record_edits: Callable[[Solution], Iterable[Mapping[str, Any]]]
    """What a delta says of each edit, in the order of the manifest."""
    recorded_stages: Callable[[Manifest, Family, int], tuple[Stage, ...]]
    """The stages of a delta's plan with so many sites, for a delta that is measured again."""
    derive_again: Callable[[Plan, Context, Sequence[str]], Problem]
    """The problem of a delta that is measured again, without what was learned; with the default list of prompts."""
    problem_of_part: Callable[[Problem, Delta, Delta], Problem]
    """The problem of a part (second) as it is measured within a linked delta (third)."""
    verify_pass: Callable[[Sequence[str]], Pass]
    """Solution -> Verified; the names are those that other deltas edit in the same model."""
    failures: Callable[[Verified], tuple[Diagnostic, ...]]
    """One E501 for every broken bound."""
    warnings: Callable[[Verified], tuple[Diagnostic, ...]]
    """What makes a report prove less than it seems."""


@dataclass(frozen=True)
class OpenedManifest:
    """A manifest with its model. What the properties raise underlines `model` in the manifest."""

    manifest: Manifest
    """What could be read of it; `found` says whether it is sound."""
    diagnostics: tuple[Diagnostic, ...]
    """Errors and warnings of the manifest itself, in the order of its lines."""
    target: Target
    """The model that it names."""
    kind: ModelKind
    """The kind of model that it is for."""

    @property
    def sound(self) -> bool:
        """True where the manifest has no error."""
        return not any(one.is_error for one in self.diagnostics)

    @property
    def model(self) -> Model:
        """The model, opened."""
        with pointing_at(self.manifest, "model"):
            return self.target.model

    @cached_property
    def header_ports(self) -> Context:
        """Ports for what needs headers only, with the model's own sentences. E146 where these cannot be read."""
        with pointing_at(self.manifest, "model"):
            contexts = self.kind.own_contexts(self.target.model.path)
            return replace(self.target.header, contexts=contexts)

    @cached_property
    def family_ports(self) -> Context:
        """`header` with the model's family."""
        header = self.header_ports
        with pointing_at(self.manifest, "model"):
            return replace(header, family=self.target.family)
