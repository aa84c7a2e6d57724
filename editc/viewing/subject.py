"""What one page shows: a delta with its evidence, or a build that left no delta, or the cell of a fleet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.measurements import Picture
from editc.core.places import Source
from editc.core.verdict import QUESTIONS
from editc.formats.containers.canonical import strict_json
from editc.formats.exports.read import is_delta, read_delta
from editc.formats.inspect import describe_delta
from editc.opening.recorded import recorded_manifest
from editc.registry.families import FAMILIES
from editc.report import DELTA, PAGE, REPORT
from editc.report.pictures import NO_PICTURES, FoundPictures, read_pictures

MAX_BYTES = 64_000_000
"""The largest report.json or report.html that is read, in bytes. Chosen by hand: a report of 400 pictures has 10 MB."""
HELP = "give a delta, the folder of `editc build`, or the folder of `editc fleet`"
"""What E970 says to do."""


@dataclass(frozen=True)
class Subject:
    """A delta with its evidence, or what there is of both."""

    path: Path
    """What the user gave: the file of a delta, or the folder of a build."""
    record: Mapping[str, Any]
    """report.json, or what stands for it where there is none (`bare_record`)."""
    whole: bool
    """True where `record` is the report of a build."""
    delta: Path | None = None
    """The file of the delta. None where the build left none."""
    described: Mapping[str, Any] = field(default_factory=dict)
    """What is in the delta (`describe_delta`). Empty without a delta."""
    model: str = ""
    """What the reader, the report, the manifest or the fleet calls the model. Empty where nobody says so."""
    found: FoundPictures = NO_PICTURES
    """The pictures of report.html."""

    @property
    def pictures(self) -> Sequence[Picture]:
        """The pictures, as far as report.html has them."""
        return self.found.pictures

    @property
    def language(self) -> bool:
        """True for a delta of a language model."""
        return bool(self.described) and FAMILIES.models_of(str(self.described["family"])) == "language"


def open_subject(path: Path, model: str = "") -> Subject:
    """Read a delta or the folder of a build. `model`: what a fleet calls the model.

    Raises E970 for anything else, E971 for a report that editc did not write, and what reading a delta raises.
    """
    if (path / REPORT).is_file():
        return _open_build(path, model)
    if not path.exists():
        raise fail("E610", "there is no such file or folder", place=str(path), help=HELP)
    if not is_delta(path):
        raise fail("E970", "there is nothing here to look at", place=str(path), help=HELP)
    beside = path.parent / REPORT
    if path.name == DELTA and beside.is_file() and _is_report_of(beside, read_delta(path)):
        return _open_build(path.parent, model)
    return _of_delta(path, read_delta(path), model)


def _open_build(folder: Path, model: str) -> Subject:
    """Read report.json, the pictures of report.html, and the delta of that report."""
    record = read_report(folder / REPORT)
    file = folder / DELTA
    delta = read_delta(file) if record["delta_id"] and file.is_file() else None
    if delta is not None and delta.delta_id != record["delta_id"]:
        raise damaged_report(folder / REPORT, f"it is the report of another delta than {DELTA} beside it")
    with refuse_odd_values(folder / REPORT):
        pictures = read_pictures(_read_text(folder / PAGE), record["pictures"])
    named = model or str(record["model"])
    described = {} if delta is None else describe_delta(delta)
    return Subject(folder, record, True, None if delta is None else file, described, named, pictures)


def _of_delta(path: Path, delta: Delta, model: str) -> Subject:
    """A delta that has no report beside it: what it says of itself."""
    with refuse_odd_values(path):
        return _alone(path, delta, model)


def _alone(path: Path, delta: Delta, model: str) -> Subject:
    """The same, for a delta with sound values."""
    described = describe_delta(delta)
    family = FAMILIES.resolve(delta.family).title if delta.family in FAMILIES.names() else delta.family
    source = Source("manifest", delta.manifest, _texts(delta.extra.get("set")))
    record = bare_record(
        tool=delta.tool,
        delta_id=delta.delta_id,
        family={"name": delta.family, "title": family},
        encoder=delta.encoder,
        claims=[with_result(claim) for claim in described["claims"]],
        source=source,
        digest=delta.manifest_digest,
    )
    return Subject(path, record, False, path, described, model or _named_model(delta, path))


def _named_model(delta: Delta, path: Path) -> str:
    """The model in the manifest of a delta. Empty where that is none that editc reads."""
    with suppress(EditcError):
        return recorded_manifest(delta, path).model
    return ""


def read_report(file: Path) -> Mapping[str, Any]:
    """report.json. Raises E971 where it is none."""
    record = read_json(file)
    if record.get("report") != 1:
        raise damaged_report(file, "it is not the report of a build, or that of a later editc")
    missing = sorted({*bare_record()} - record.keys())
    if missing:
        raise damaged_report(file, f"it lacks {', '.join(missing[:4])}")
    return record


def read_json(file: Path) -> Mapping[str, Any]:
    """The JSON object in a file. Raises E971."""
    try:
        found = strict_json(_read_text(file))
    except ValueError as error:
        raise damaged_report(file, f"it is not JSON: {str(error)[:120]}") from error
    if not isinstance(found, dict):
        raise damaged_report(file, "it is not a JSON object")
    return found


@contextmanager
def refuse_odd_values(file: Path) -> Iterator[None]:
    """Turns what comes of values of another kind than editc writes into E971."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise damaged_report(file, f"a value in it is of another kind ({str(error)[:120]})") from error


def damaged_report(file: Path, why: str) -> EditcError:
    """E971."""
    help_text = "build again, or fetch the folder again; a delta alone can be looked at too"
    return fail("E971", f"the report cannot be shown: {why}", place=str(file), help=help_text)


def bare_record(
    claims: Sequence[Mapping[str, Any]] = (), source: Source | None = None, digest: str = "", **fields: Any
) -> dict[str, Any]:
    """A record with the fields of report.json, all empty but those given."""
    verdict = {question.rstrip("?").lower(): {"state": "plain", "reasons": []} for question in QUESTIONS}
    empty: dict[str, Any] = {
        "report": 1,
        "status": "measured",
        "verdict": {"state": "plain", **verdict},
        "family": {"name": "", "title": ""},
        "manifest": {
            "name": "manifest",
            "digest": digest,
            "lines": list(source.lines) if source else [],
            "overrides": len(source.overrides) if source else 0,
            "seed": None,
            "preserve": {"concepts": [], "prompts": 0},
        },
        "claims": list(claims),
        "encoders": {},
        "detector": {},
        "ranking": None,
    }
    empty |= dict.fromkeys(("tool", "delta_id", "model", "encoder", "corpus"), "")
    many = ("edits", "sites", "solves", "certificates", "pictures", "bystanders", "exports", "diagnostics")
    return empty | {name: [] for name in many} | fields


def with_result(claim: Mapping[str, Any]) -> Mapping[str, Any]:
    """A claim as a delta records it, with whether its bound holds."""
    if "bound" not in claim:
        return {**claim, "holds": True}
    value, bound = float(claim["value"]), float(claim["bound"])
    return {**claim, "holds": value >= bound if claim.get("least") else value <= bound}


def _is_report_of(file: Path, delta: Delta) -> bool:
    """True where report.json is that of the delta. False for a damaged one."""
    try:
        return bool(read_report(file)["delta_id"] == delta.delta_id)
    except EditcError:
        return False


def _read_text(file: Path) -> str:
    """The text of a file; empty where there is none. Raises E971 for one that is too large or no text."""
    if not file.is_file():
        return ""
    if file.stat().st_size > MAX_BYTES:
        raise damaged_report(file, f"it has more than {MAX_BYTES // 1_000_000} MB")
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise damaged_report(file, getattr(error, "strerror", None) or "it is not UTF-8 text") from error


def _texts(value: Any) -> tuple[str, ...]:
    """The texts in a list of a delta's metadata."""
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else ()
