"""A policy: which deltas may be applied. All values are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType

from editc.core.places import ManifestBlock, Source
from editc.core.verdict import State
from editc.signing.check import Trusted, TrustedKey
from editc.signing.keyless import TrustedIdentity

NOTHING: Mapping[str, float] = MappingProxyType({})
"""No limits."""


@dataclass(frozen=True)
class Policy(ManifestBlock):
    """What a delta must be to be applied. A field that is empty asks for nothing."""

    keys: tuple[TrustedKey, ...]
    """The keys that may have signed. A delta needs a signature by one of them, or by one of `identities`."""
    source: Source | None = None
    """The text of the policy. None where keys alone were given."""
    detectors: tuple[str, ...] = ()
    """The sha256 of each detector that may have judged the pictures."""
    at_most: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Name of a claim -> the greatest value that it may have."""
    at_least: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Name of a claim -> the least value that it may have."""
    attacks: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    """Name of an attack that must have run -> the greatest share of pictures in which it may bring a concept back."""
    tiers: tuple[str, ...] = ()
    """How close the model must be to the base: see `editc.formats.apply.target`."""
    verdict: Mapping[str, State] = field(default_factory=lambda: MappingProxyType({}))
    """Line of the verdict (`works`, `costs`, `robust`) -> the worst state that it may have."""
    identities: tuple[TrustedIdentity, ...] = ()
    """The identities that may have signed without a key."""

    @property
    def trusted(self) -> tuple[Trusted, ...]:
        """Everybody who may have signed."""
        return (*self.keys, *self.identities)

    @property
    def digest(self) -> str:
        """The sha256 of its text, its keys and its identities: another policy has another."""
        keys = "".join((*(one.public.fingerprint for one in self.keys), *(one.name for one in self.identities)))
        return sha256(f"{keys}\0{'' if self.source is None else self.source.text}".encode()).hexdigest()
