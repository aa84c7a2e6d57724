"""The tables of docs/measurements/doctor.md: `python -m benchmarks.doctor` prints them, `--write` keeps them.

What `editc doctor` says of every fixture in tests/fixtures/adapters, and every rule that it has. Nothing is loaded for
these: tests/formats/doctor/test_doctor_loaders.py compares the same files with the real diffusers and PEFT. `--matrix`
makes adapters with the libraries' own save functions, loads every one with them, and sets the verdict beside what came
of it (minutes); it exits with 1 where one is refuted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import doctor_matrix
from editc.formats.doctor import a1111, comfyui, peft, rules_diffusers, vllm
from editc.formats.doctor.examine import LOADERS, examine, headline
from editc.formats.doctor.verdict import LoaderVerdict

ROOT = Path(__file__).parents[1]
ADAPTERS, PAGE = ROOT / "tests" / "fixtures" / "adapters", ROOT / "docs" / "measurements" / "doctor.md"
FROM = "<!-- python -m benchmarks.doctor --write -->"
MATRIX = "<!-- python -m benchmarks.doctor --matrix --write -->"
TO = "<!-- end -->"
RULES = {
    "diffusers": rules_diffusers.RULES,
    "ComfyUI": comfyui.RULES,
    "A1111": a1111.RULES,
    "PEFT": peft.RULES,
    "vLLM": vllm.RULES,
}


def files() -> list[Path]:
    """Every adapter of the fixtures, folders and the GGUF file among them."""
    alone = [path for path in ADAPTERS.rglob("*.safetensors") if path.name != "expected.safetensors"]
    adapters = [path.parent if path.name == "adapter_model.safetensors" else path for path in alone]
    return sorted([*adapters, *ADAPTERS.rglob("*.gguf")])


def verdicts() -> Iterator[str]:
    """A row for each fixture."""
    yield "| file | " + " | ".join(LOADERS) + " | exit |"
    yield "|---" * (len(LOADERS) + 2) + "|"
    for path in files():
        found = examine(path)
        cells = [_cell(verdict, verdict.loader in found.meant_for) for verdict in found.verdicts]
        yield f"| {path.relative_to(ADAPTERS)} | " + " | ".join(cells) + f" | {0 if found.sound else 1} |"


def rules() -> Iterator[str]:
    """A row for each rule."""
    yield "| loader | rule | what it says | how | source |"
    yield "|---|---|---|---|---|"
    for loader, every in RULES.items():
        for rule in every:
            name = rule.name.removeprefix(f"{loader.lower()}-")
            yield f"| {loader} | {name} | {_plain(rule.says)} | {rule.how} | {_plain(rule.source)} |"


def _cell(verdict: LoaderVerdict, counts: bool) -> str:
    text = _plain(headline(verdict).split("(")[0].strip() if verdict.outcome == "refused" else headline(verdict))
    short = text if len(text) < 60 else text[:57] + "..."
    return f"**{short}**" if counts and verdict.outcome != "applies" else short


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def page() -> str:
    """Both tables."""
    return "\n".join([*verdicts(), "", *rules()])


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put them into docs/measurements/doctor.md")
    parser.add_argument("--matrix", action="store_true", help="the matrix of families and spellings instead")
    asked = parser.parse_args()
    found = list(doctor_matrix.cells()) if asked.matrix else []
    text = doctor_matrix.page(found) if asked.matrix else page()
    if asked.write:
        put(MATRIX if asked.matrix else FROM, text)
    else:
        print(text)
    sys.exit(any(cell.contradictions for _, cell in found))


def put(mark: str, text: str) -> None:
    """Write a text into the page, between its mark and the next end."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(mark)
    after = rest.partition(TO)[2]
    PAGE.write_text(f"{before}{mark}\n\n{text.strip()}\n\n{TO}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
