"""The compiler's passes in order, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

from editc.core.ports import Context, announce
from editc.passes.emit import Emit
from editc.passes.images.keys.derive import Derive
from editc.passes.images.solve.solve import Solve
from editc.passes.images.verify.verify import Verify
from editc.passes.language.keys.derive import DeriveLanguage
from editc.passes.language.solve.solve import SolveLanguage
from editc.passes.language.verify.verify import VerifyLanguage
from editc.passes.locate import Locate
from editc.verbs.open import families


class Pass(Protocol):
    """A frozen dataclass whose fields are its options, called with what flows in and the ports; `name` as printed."""

    name: ClassVar[str]

    def __call__(self, unit: Any, ctx: Context, /) -> Any:
        """The next value; raises EditcError for what the user must mend."""


NAMES = ("locate", "derive", "solve", "verify", "emit")


def passes(corpus: Sequence[str], tool: str, language: bool = False) -> tuple[Pass, ...]:
    """Manifest -> Plan -> Problem -> Solution -> Verified -> Delta. `language`: for a language model, which is asked
    itself where an image model's text encoder would be; `corpus` is not used then."""
    if language:
        return (Locate(families()), DeriveLanguage(), SolveLanguage(), VerifyLanguage(), Emit(tool))
    return (Locate(families()), Derive(corpus), Solve(), Verify(), Emit(tool))


def run(unit: Any, steps: Sequence[Pass], ctx: Context, after: Callable[[str, Any], bool] | None = None) -> Any:
    """The last pass's value; `after(name, value)` sees each one and stops the run by returning False."""
    for step in steps:
        announce(ctx.progress, step.name)
        unit = step(unit, ctx)
        if after is not None and not after(step.name, unit):
            break
    return unit
