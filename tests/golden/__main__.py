"""`python -m tests.golden CASE_DIR...`: run the solvers on numeric cases, print `case rel_error pass|fail|skip` a line.

A case is a folder with `case.json`, `weights.safetensors`, `embeddings.safetensors` and `expected.safetensors`, made
by running the published code in float64. The error is the worst |X - expected| / |expected| over tensors, with X
rounded to float32 as the expectation is. Exit 1 on any fail, 2 when no case was named or found.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.golden.cases import Skip, run

TOLERANCE = 1e-6


def main(arguments: list[str]) -> int:
    """Run every case named; the exit code."""
    folders = [Path(name) for name in arguments] or sorted(Path(__file__).parent.glob("*/case.json"))
    folders = [path.parent if path.name == "case.json" else path for path in folders]
    if not folders:
        print("no case", file=sys.stderr)
        return 2
    return max([_line(folder) for folder in folders])


def _line(folder: Path) -> int:
    try:
        error, tolerance = run(folder)
    except Skip as why:
        print(f"{folder.name} - skip ({why})")
        return 0
    good = error <= tolerance
    print(f"{folder.name} {error:.2e} {'pass' if good else 'fail'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
