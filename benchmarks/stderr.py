"""What stands on a terminal beside what editc says: `python -m benchmarks.stderr [EXAMPLE ...] [--language MODEL]`.

Every example is checked, built, verified, applied and exported, and images are suggested for, each by the command line
in a process of its own, with few and quick pictures. A line on stderr that is none of a diagnostic or of progress is
foreign, and there must be none; how many lines of libraries were kept back, and which, is shown too.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "manifests" / "examples"
OURS = re.compile(
    r"(error|warning)\[E\d{3}\]: .*|\s*--> .*|\s*(\d+|\.\.\.)?\s*\|.*|\s*\.\.\.\s*|\s*= .*|\d+ (error|warning)s?.*|"
    r"\w+ \d+:\d\d.*|stopped: .*|\s+[a-z`].*|"
)
"""A line of a rendered diagnostic (its help and notes go on with an indent), or of progress."""
QUICK = ("verify.images.steps=2", "verify.images.prompts_per_concept=2", "verify.images.bystanders.pictures=1")
SAID = "output of the libraries:"


@dataclass(frozen=True)
class Ran:
    """One command: its exit code, the foreign lines on its stderr, and those that were kept back."""

    command: str
    code: int
    foreign: tuple[str, ...]
    kept: tuple[str, ...]


def ran(*arguments: str) -> Ran:
    """One command to its end."""
    env = {**os.environ, "EDITC_DEBUG": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-m", "editc", *arguments], capture_output=True, text=True, env=env)
    ours, _, kept = done.stderr.partition(SAID)
    foreign = tuple(line for line in ours.splitlines() if not OURS.fullmatch(line))
    words = " ".join(Path(one).name for one in arguments if "=" not in one and one != "--set")
    return Ran(words, done.returncode, foreign, tuple(filter(None, map(str.strip, kept.splitlines()))))


def commands(example: Path, out: Path, language: str) -> Iterator[Ran]:
    """Every command that an example can be given to."""
    spoken = example.parent.name == "language"
    sets = [f"model={language}"] if spoken else list(QUICK) if "verify:" in example.read_text() else []
    model, given = language if spoken else "editc:demo", [part for one in sets for part in ("--set", one)]
    yield ran("check", str(example), *given)
    yield ran("build", str(example), "-o", str(out), *given)
    delta = out / "delta.safetensors"
    if not spoken:
        yield ran("suggest", str(example))
    if delta.is_file():
        yield ran("verify", str(delta), "--model", model)
        yield ran("apply", str(delta), "--to", model, "--out", str(out / "applied"))
        yield ran("export", str(delta), "--as", "peft" if spoken else "kohya", "--model", model, "-o", str(out / "x"))
        yield ran("export", str(delta), "--as", "checkpoint", "--model", model, "-o", str(out / "whole"))


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where a foreign line was seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("examples", nargs="*", help="names of examples; left out, all of them")
    parser.add_argument("--language", default="", help="the folder of a language model; left out, none is asked")
    given = parser.parse_args(arguments)
    paths = sorted((*EXAMPLES.glob("*.yaml"), *((EXAMPLES / "language").glob("*.yaml") if given.language else ())))
    kept: Counter[str] = Counter()
    seen = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in (path for path in paths if not given.examples or path.stem in given.examples):
            for one in commands(path, Path(folder) / f"{path.parent.name}-{path.stem}", given.language):
                seen += len(one.foreign)
                kept.update(re.sub(r"\d+", "0", line) for line in one.kept)
                print(f"{one.command:<60} exit {one.code}  foreign {len(one.foreign)}  kept back {len(one.kept)}")
                print("".join(f"    {line}\n" for line in one.foreign), end="", flush=True)
    print(f"\n{seen} foreign lines on stderr; kept back:")
    for line, count in kept.most_common(40):
        print(f"{count:>5}  {line[:150]}")
    return int(seen > 0)


if __name__ == "__main__":
    sys.exit(main())
