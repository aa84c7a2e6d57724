"""What differs between builds for image models and for language models; and a manifest opened with its model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from editc.core.diagnostics import Diagnostic, pointing_at
from editc.core.ports import Context
from editc.formats.models.model import Model
from editc.opening.target import Target

if TYPE_CHECKING:
    from editc.core.delta import Delta
    from editc.core.family import Family
    from editc.core.manifest import Manifest
    from editc.core.measurements import AttackResult, Claim
    from editc.core.plan import Plan, Stage
    from editc.core.ports import Progress
    from editc.core.problem import Problem
    from editc.core.solution import Solution, Verified


class Pass(Protocol):
    """One pass: a frozen dataclass whose fields are its options. It is called with a value and the ports."""

    name: ClassVar[str]
    """The name of the pass, as a build prints it."""

    def __call__(self, unit: Any, ctx: Context, /) -> Any:
        """Compute the next value. Raises EditcError for what the user must mend."""


@dataclass(frozen=True)
class ModelKind:
    """One kind of model, as the functions that differ between kinds. They import what they need only when called."""

    name: str
    """`image` or `language`, as in `Manifest.kind` and `Family.models`."""
    own_contexts: Callable[[Path], tuple[str, ...]]
    """Reads the model's own sentences for concepts from its folder. () if it has none. Raises E146."""
    edited_part: Callable[[OpenedManifest, Context], Context]
    """The ports with the weights and the family of the part that the manifest's method edits, from those of the model's
    own family. Raises E245 where the model has no such part."""
    with_adapters: Callable[[Context, Manifest], Context]
    """Adds the adapters that the manifest fuses to the ports."""
    adapter_warnings: Callable[[Context, Manifest], tuple[Diagnostic, ...]]
    """Warnings about these adapters."""
    missing_parts: Callable[[OpenedManifest], Iterator[Diagnostic]]
    """Finds what a build needs besides the weights and does not have, by looking for files and reading headers."""
    open_ports: Callable[[OpenedManifest, Progress | None], Context]
    """Opens every port of a build. Raises E205, E207 and the errors of opening the model's parts."""
    with_earlier: Callable[[Context, OpenedManifest], Context]
    """Adds `Context.earlier`: what the deltas under `after` ask of later edits."""
    locate_pass: Callable[[], Pass]
    """The pass locate: Manifest -> Plan."""
    passes: Callable[[Sequence[str]], tuple[Pass, ...]]
    """The passes from derive to verify. The argument is the default list of preserved prompts."""
    record_edits: Callable[[Solution], Iterable[Mapping[str, Any]]]
    """The record of each edit that a delta keeps, in the order of the manifest."""
    recorded_stages: Callable[[Manifest, Family, int], tuple[Stage, ...]]
    """The stages of a recorded delta's plan, for measuring it again. The number is that of its sites."""
    derive_again: Callable[[Plan, Context, Sequence[str]], Problem]
    """The problem of a recorded delta, for measuring it again. Takes the default list of preserved prompts. Targets
    that were learned are left out: the delta's factors contain them."""
    problem_of_part: Callable[[Problem, Delta, Delta], Problem]
    """The problem of a part (second argument), changed for measuring it inside a linked delta (third argument)."""
    verify_pass: Callable[[Sequence[str]], Pass]
    """The pass verify: Solution -> Verified. The argument is the names that other deltas edit in the same model."""
    attack: Callable[[Solution, Context], tuple[tuple[AttackResult, ...], tuple[Claim, ...], tuple[Diagnostic, ...]]]
    """Solution -> what the attacks of its manifest make of each erased concept, the claims, and E513 of attacks that
    say nothing. Empty for a kind of model that has no attacks."""
    failures: Callable[[Verified], tuple[Diagnostic, ...]]
    """One E501 for every broken bound."""
    warnings: Callable[[Verified], tuple[Diagnostic, ...]]
    """Warnings about what the report cannot prove."""


@dataclass(frozen=True)
class OpenedManifest:
    """A manifest with its model. Errors that its properties raise underline `model` in the manifest."""

    manifest: Manifest
    """The part of the manifest that could be read. `sound` says whether that is all of it."""
    diagnostics: tuple[Diagnostic, ...]
    """Errors and warnings of the manifest itself, in the order of its lines."""
    target: Target
    """The model that the manifest names."""
    kind: ModelKind
    """The kind of model that the manifest is for."""

    @property
    def sound(self) -> bool:
        """True if the manifest has no error."""
        return not any(one.is_error for one in self.diagnostics)

    @property
    def model(self) -> Model:
        """The opened model. Raises E610 to E619 if it cannot be opened."""
        with pointing_at(self.manifest, "model"):
            return self.target.model

    @cached_property
    def header_ports(self) -> Context:
        """Ports that read headers only, with the model's own sentences. Raises E146 if these cannot be read."""
        with pointing_at(self.manifest, "model"):
            contexts = self.kind.own_contexts(self.target.model.path)
            return replace(self.target.header, contexts=contexts)

    @cached_property
    def family_ports(self) -> Context:
        """`header_ports` with the family and the weights of what is edited. Raises E201 or E206 if no family fits."""
        header = self.header_ports
        with pointing_at(self.manifest, "model"):
            return self.kind.edited_part(self, replace(header, family=self.target.family))
