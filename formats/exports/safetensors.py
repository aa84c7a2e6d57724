"""The delta itself as one of the formats, so that every format is asked for alike."""

from __future__ import annotations

from editc.formats.delta.container import write_delta
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.suits import SUITS


def write(job: Job) -> Written:
    """The delta as editc writes it, whatever spelling it was read from."""
    return Written((job.out,), write_delta(job.delta, job.out))


FORMAT = Format(
    name="safetensors",
    output="delta.safetensors",
    says="the delta itself",
    suits=SUITS["safetensors"],
    write=write,
)
