"""Placeholder."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class VerifyLanguage:
    name: ClassVar[str] = "verify"

    def __call__(self, solution: Any, ctx: Any) -> Any:
        raise NotImplementedError
