"""Calls of a text encoder taken together, where the rows of a prompt do not depend on the prompts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from editc.core.ports import EncodedPrompt, Encoder
from editc.numerics.ball import Ball

GROUP = 64
"""Prompts that are encoded together at most, unless one call has more. Chosen by hand: a large encoder reads all its
weights for each call, and 64 prompts of T5-XXL take 0.5 GB while they go through its layers."""


@dataclass(frozen=True)
class GroupedEncoder:
    """An encoder that is told which calls will come. The first call of a group encodes the prompts of those after it
    too, where that gives the same rows."""

    inner: Encoder
    """The encoder that is asked."""
    coming: Sequence[tuple[str, ...]]
    """The prompts of each call, in order."""
    found: dict[str, EncodedPrompt] = field(default_factory=dict)
    """Prompt -> its rows, for the present group."""

    @property
    def alone(self) -> bool:
        """As the inner encoder."""
        return self.inner.alone

    def encode(self, prompts: Sequence[str]) -> Sequence[EncodedPrompt]:
        """Return each prompt's rows, in the order of the prompts."""
        if not self.alone:
            return self.inner.encode(prompts)
        if not self.found.keys() >= set(prompts):
            group = self._group(tuple(prompts))
            self.found.clear()
            self.found.update(zip(group, self.inner.encode(group), strict=True))
        return [self.found[prompt] for prompt in prompts]

    def fingerprint(self) -> str:
        """Return the fingerprint of the inner encoder."""
        return self.inner.fingerprint()

    def bounds(self) -> tuple[Ball, ...]:
        """Return the balls of the inner encoder."""
        return self.inner.bounds()

    def _group(self, prompts: tuple[str, ...]) -> list[str]:
        """List these prompts, and those of the calls after this one as far as they fit."""
        group = dict.fromkeys(prompts)
        after = self.coming.index(prompts) + 1 if prompts in self.coming else len(self.coming)
        for said in self.coming[after:]:
            more = group | dict.fromkeys(said)
            if len(more) > GROUP:
                break
            group = more
        return list(group)
