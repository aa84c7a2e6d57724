"""Export a delta in another program's spelling, and prove that the program reads it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from editc.core.diagnostics import Diagnostic, EditcError, fail
from editc.core.storage.disk import make_parent
from editc.formats.apply.destination import remove, remove_on_failure
from editc.formats.delta.container import with_delta_id
from editc.formats.exports import endings, read
from editc.formats.exports.format import ConsumerTrial, Format, Job, Written
from editc.libraries import extras
from editc.registry.formats import FORMATS
from editc.registry.table import nearest

UNTOUCHED = "the file was removed, the delta is unchanged; `--as checkpoint` writes a file that every program reads"
"""The help of an error after which the export was removed."""


@dataclass(frozen=True)
class Export:
    """An export, and how programs read it."""

    format: str
    """The name of the format."""
    written: Written
    """What was written."""
    trials: tuple[ConsumerTrial, ...]
    """How programs read it. Empty if the caller asked for no trials."""
    failures: tuple[Diagnostic, ...]
    """One diagnostic for each program that did not read all of it. The files are then removed again."""


def export(job: Job, name: str, tried: bool = True) -> Export:
    """Write `job` in the format `name`, read it back, and with `tried` let the format's programs read it, if they are
    installed.

    A program that stops with an error counts as a failure. After a failure nothing is left at `job.out`. Raises E675 to
    E681, E683 and what writing raises; nothing is left then either.
    """
    form = find_format(name)
    faults = find_refusals([name], job.delta.family)
    if faults:
        raise EditcError(*faults)
    endings.check_ending(job.out, Path(form.output).suffix, name)
    if job.out.exists():
        raise fail("E679", "the path exists already", place=str(job.out), help="remove it, or choose another path")
    make_parent(job.out)
    with remove_on_failure(job.out):
        written = form.write(job)
        written = replace(written, delta=with_delta_id(written.delta))
        _check_round_trip(form, written)
        made = _try_consumers(form, job, written) if tried else Export(name, written, (), ())
    if made.failures:
        remove(job.out)
    return made


def _try_consumers(form: Format, job: Job, written: Written) -> Export:
    """Let the format's programs read the export. Any error that a program raises becomes the failure E684."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the other programs' own affairs
            trials = form.trials(job, written)
    except EditcError:
        raise
    except Exception as error:  # whatever a foreign program raises on reading the file is its verdict
        return Export(form.name, written, (), (_stopped_error(form.name, error),))
    return Export(
        form.name, written, trials, tuple(_failed_error(form.name, trial) for trial in trials if not trial.passed)
    )


def find_format(name: str) -> Format:
    """The format of that name. Raises E130 if there is none."""
    known = FORMATS.names()
    if name not in known:
        near = nearest(name, known)
        help_ = f"did you mean `{near}`?" if near else f"formats: {', '.join(known)}"
        raise fail("E130", f"there is no format `{name}`", place="--as", help=help_)
    found: Format = FORMATS.resolve(name)
    return found


def find_refusals(names: Iterable[str], family: str) -> tuple[Diagnostic, ...]:
    """Find the formats that cannot be written: E680 for each that does not suit the family, E669 for each whose
    packages are missing."""
    reasons = {name: FORMATS.resolve(name).suits(family) for name in names}
    unsuited = (_unsuited_error(name, family, reason) for name, reason in reasons.items() if reason)
    return (
        *unsuited,
        *(fault for name, reason in reasons.items() if not reason for fault in _find_missing_packages(name)),
    )


def _unsuited_error(name: str, family: str, reason: str) -> Diagnostic:
    """Make the diagnostic E680."""
    help_ = f"formats for {family}: {', '.join(suitable_formats(family))}"
    return Diagnostic("E680", f"`{name}` is not for deltas of {family}: {reason}", help=help_)


def _find_missing_packages(name: str) -> Iterator[Diagnostic]:
    """Yield E669 if packages of the format are not installed."""
    form = FORMATS.resolve(name)
    if absent := extras.missing_packages(*form.needs):
        are = "is" if len(absent) == 1 else "are"
        message = f"`{name}` is written by {', '.join(absent)}, which {are} not installed"
        yield Diagnostic("E669", message, help=extras.install_command(form.extra))


def _check_round_trip(form: Format, written: Written) -> None:
    """Raise E681 unless editc reads back the delta that was written."""
    if form.parts is None:
        return
    found = read.read_delta(written.files[0]).delta_id
    if found != written.delta.delta_id:
        message = f"editc reads another delta from the {form.name} file than it wrote"
        raise fail("E681", message, place=str(written.files[0]), help="do not use it; this is a fault of editc")


def _failed_error(name: str, trial: ConsumerTrial) -> Diagnostic:
    """Make the diagnostic E682 for a program that read something else."""
    what = f"{trial.consumer} took {trial.matched} of {trial.total} matrices, with an error of {trial.error:.3g}"
    return Diagnostic("E682", f"the {name} file is not read completely: {what}", help=UNTOUCHED)


def _stopped_error(name: str, error: Exception) -> Diagnostic:
    """Make the diagnostic E684 for a program that stopped with an error."""
    text = " ".join(str(error).split())[:200]
    message = f"the program that the {name} file is for refuses it: {type(error).__name__}: {text}"
    return Diagnostic("E684", message, help=UNTOUCHED)


def suitable_formats(family: str) -> tuple[str, ...]:
    """The formats that hold deltas of a family. Formats of a plugin that cannot be imported are left out."""
    return tuple(name for name, form in FORMATS.each() if not form.suits(family))


def output_names(names: Sequence[str]) -> dict[str, str]:
    """Format -> the name of the file or folder that `emit` writes beside the delta."""
    return {name: FORMATS.resolve(name).output for name in names}
