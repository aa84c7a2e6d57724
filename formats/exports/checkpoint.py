"""The edited checkpoint itself as one of the formats: what `editc apply --out` writes."""

from __future__ import annotations

from pathlib import Path

from editc.formats.apply.apply import apply
from editc.formats.containers.table import SAFETENSORS
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.lowering import plan_on_base
from editc.formats.exports.suits import SUITS
from editc.formats.exports.trials import try_from_pretrained
from editc.formats.models.model import open_model


def write(job: Job) -> Written:
    """Write the edited model: a folder for a folder, a file for a file. Raises E675, E676 and what `apply` raises."""
    plan = plan_on_base(job.delta, job.model, job.allow_finetune)
    done = apply(plan, output_path(job))
    notes = ("--dtype has no effect here: the weights keep the dtype of the base",) if job.dtype != "F32" else ()
    return Written((done.path,), job.delta, 0.0, (*plan.notes, *notes))


def output_path(job: Job) -> Path:
    """`job.out`, with the ending `.safetensors` added if the model is a single file and the path has no ending."""
    single = job.model is not None and job.model.layout == "file"
    return job.out.with_suffix(SAFETENSORS) if single and not job.out.suffix else job.out


FORMAT = Format(
    name="checkpoint",
    output="model",
    says="the edited model",
    suits=SUITS["checkpoint"],
    write=write,
    trials=lambda job, written: (try_from_pretrained(open_model(written.files[0]), written),),
)
