"""What nobody named, after the edit: `python -m benchmarks.bystanders [images|language] [OPTIONS]`.

Without a word both kinds of model are measured.

Every example and manifests made for this are built; of each that builds, what it does not name is measured again, with
seeds and questions that were used for nothing else. No build may succeed and wreck it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec

PARTS = {"images": "benchmarks.bystanders_images", "language": "benchmarks.bystanders_language"}


def main(arguments: list[str]) -> int:
    """Runs the part that is named first, or each that there is; the worst exit code."""
    named = arguments[:1] if arguments[:1] and arguments[0] in PARTS else []
    parts = [PARTS[name] for name in named or PARTS if find_spec(PARTS[name]) is not None]
    return max(import_module(part).main(arguments[len(named) :]) for part in parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
