"""What the action does: run editc, turn its diagnostics into annotations, and write the summary of the job.

Inputs come as EDITC_* variables. The standard library and the command `editc` are all that is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

NOTHING_FOUND = "no manifest is there: name one under `manifests`, a path or a glob for each line"
"""What is said where no file suits the globs."""
NO_MODEL = "`verify` needs the base model of the deltas: name it under `model`"
"""What is said where deltas are to be verified and no model is named."""


@dataclass(frozen=True)
class Run:
    """One command of editc that was run."""

    verb: str
    """Its name, such as `check`."""
    subject: str
    """What it was run on."""
    code: int
    """Its exit code."""
    answer: Mapping[str, Any]
    """What it printed as JSON. Empty if it printed none."""

    @property
    def diagnostics(self) -> Sequence[Mapping[str, Any]]:
        """The errors and warnings."""
        found: Sequence[Mapping[str, Any]] = self.answer.get("diagnostics") or ()
        if self.code and not found:
            text = self.answer.get("message") or f"editc {self.verb} ended with the exit code {self.code}"
            return ({"severity": "error", "code": "editc", "message": text, "file": self.subject},)
        return found


def main(given: Mapping[str, str]) -> int:
    """Run what the inputs ask for. Returns the exit code: the largest of all commands."""
    manifests = find_files(given["EDITC_MANIFESTS"])
    deltas = lines(given.get("EDITC_VERIFY", ""))
    if (not manifests and not deltas) or (deltas and not given.get("EDITC_MODEL")):
        print(f"::error::{NO_MODEL if deltas else NOTHING_FOUND}")
        return 2
    runs = [*run_manifests(manifests, given), *(verify(one, given.get("EDITC_MODEL", "")) for one in deltas)]
    root = Path(given.get("GITHUB_WORKSPACE", "."))
    for one in runs:
        for text in annotate(one, root):
            print(text, flush=True)
    failed = any(one.code for one in runs)
    append(given.get("GITHUB_STEP_SUMMARY"), summary(runs))
    append(given.get("GITHUB_OUTPUT"), outputs(runs, "failed" if failed else "done"))
    return max((one.code for one in runs), default=0)


def run_manifests(manifests: Sequence[str], given: Mapping[str, str]) -> Iterator[Run]:
    """Check every manifest, then build those that are sound, if that is asked for."""
    alone = ("--without-model",) if given.get("EDITC_WITHOUT_MODEL") == "true" else ()
    for one in manifests:
        checked = editc("check", one, *alone)
        yield checked
        if given.get("EDITC_BUILD") == "true" and not checked.code:
            name = one.removesuffix(".yaml").removesuffix(".editc").replace("/", "-")
            yield editc("build", one, "-o", str(Path(given.get("EDITC_OUT") or "editc-out") / name))


def verify(delta: str, model: str) -> Run:
    """Measure the claims of a delta again."""
    return editc("verify", delta, "--model", model)


def editc(verb: str, subject: str, *options: str) -> Run:
    """Run a command of editc. What it prints for people goes to the log."""
    command = [sys.executable, "-m", "editc", verb, subject, *options, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {}
    return Run(verb, subject, done.returncode, answer)


def find_files(text: str) -> list[str]:
    """The files that some paths and globs name, each once; `**` leaves out hidden folders. A path without a file stays,
    so that it is reported."""
    found = [one for line in lines(text) for one in (sorted(glob(line, recursive=True)) or _literal(line))]  # noqa: PTH207
    return list(dict.fromkeys(found))


def lines(text: str) -> list[str]:
    """The lines of an input, without empty ones."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def annotate(run: Run, root: Path) -> Iterator[str]:
    """The lines by which GitHub marks the places of a run's diagnostics. `root`: the folder of the repository."""
    for one in run.diagnostics:
        kind = "error" if one.get("severity", "error") == "error" else "warning"
        where: dict[str, Any] = {"title": one["code"]}
        if file := one.get("file") or ("" if run.verb == "verify" else run.subject):
            where = {"file": os.path.relpath(file, root), **_span(one), **where}
        told = ",".join(f"{name}={escape(str(value), ':,')}" for name, value in where.items())
        yield f"::{kind} {told}::{escape(_text(one))}"


def escape(text: str, also: str = "") -> str:
    """A text as a workflow command has it. `also`: further characters that would end a property."""
    for one in f"%\r\n{also}":
        text = text.replace(one, f"%{ord(one):02X}")
    return text


def summary(runs: Sequence[Run]) -> str:
    """The summary of the job as Markdown: a row for each run, then what is wrong, then what was measured."""
    rows = "\n".join(f"| `{one.verb}` | `{one.subject}` | {_state(one)} |" for one in runs)
    text = f"## editc\n\n| command | of | result |\n|---|---|---|\n{rows}\n"
    faults = "\n".join(f"* `{_place(one)}` **{one['code']}** {_text(one)}" for run in runs for one in run.diagnostics)
    text += f"\n{faults}\n" if faults else ""
    return text + "".join(_claims(one) for one in runs if one.answer.get("claims"))


def outputs(runs: Sequence[Run], status: str) -> str:
    """The outputs of the action, as its file has them."""
    deltas = "\n".join(str(one.answer["delta"]) for one in runs if one.verb == "build" and one.answer.get("delta"))
    return f"status={status}\ndeltas<<EDITC_END\n{deltas}\nEDITC_END\n"


def append(file: str | None, text: str) -> None:
    """Append to a file that GitHub names. None: it names none."""
    if file:
        with Path(file).open("a", encoding="utf-8") as stream:
            stream.write(text)


def _literal(line: str) -> list[str]:
    """A path that no file has, unless it is a glob."""
    return [] if any(one in line for one in "*?[") else [line]


def _span(one: Mapping[str, Any]) -> dict[str, int]:
    """Line and columns, as far as they are known."""
    if "line" not in one:
        return {}
    found = {"line": one["line"]}
    if "column" in one:
        found |= {"col": one["column"], "endColumn": one["column"] + one.get("length", 1)}
    return found


def _text(one: Mapping[str, Any]) -> str:
    """What is wrong, and what to do."""
    return f"{one['message']}. {one['help']}" if one.get("help") else str(one["message"])


def _place(one: Mapping[str, Any]) -> str:
    """Where it is: file and line, or what else the diagnostic names."""
    return ":".join(str(one[part]) for part in ("file", "line") if part in one) or str(one.get("place", "editc"))


def _state(run: Run) -> str:
    """How a run ended."""
    verdict = run.answer.get("verdict")
    words = _verdict(verdict.items()) if isinstance(verdict, dict) else ""
    return f"{'failed' if run.code else 'ok'}{words}"


def _verdict(lines_: Iterable[tuple[str, Any]]) -> str:
    """The verdict of a report: `works: yes`, ..."""
    found = [f"{name}: {part['state']}" for name, part in lines_ if isinstance(part, dict) and "state" in part]
    return f" ({', '.join(found)})" if found else ""


def _claims(run: Run) -> str:
    """A table of what was measured, with its bounds."""
    head = f"\n### Measured: `{run.subject}`\n\n| measurement | of | value | bound | |\n|---|---|---|---|---|\n"
    return head + "\n".join(_claim(one) for one in run.answer["claims"]) + "\n"


def _claim(one: Mapping[str, Any]) -> str:
    """A row of that table."""
    bound = one.get("bound")
    limit = "" if bound is None else f"{'at least' if one.get('least') else 'at most'} {bound:g}"
    holds = "" if bound is None else ("met" if one.get("holds") else "**not met**")
    value = one.get("value")
    shown = f"{value:.4g}" if isinstance(value, int | float) else ""
    return f"| {one.get('name', '')} | {one.get('subject') or ''} | {shown} | {limit} | {holds} |"


if __name__ == "__main__":
    sys.exit(main(os.environ))
