"""The delta itself as one of the formats, so that `export` treats it like the others."""

from __future__ import annotations

from editc.formats.delta.container import write_delta
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.suits import SUITS


def write(job: Job) -> Written:
    """Write the delta as editc's own file, whatever spelling it was read from."""
    return Written((job.out,), write_delta(job.delta, job.out))


FORMAT = Format(
    name="safetensors",
    output="delta.safetensors",
    says="the delta itself",
    suits=SUITS["safetensors"],
    write=write,
)
