"""Where things are in the repository: no test counts the folders above it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests"
SUPPORT = TESTS / "support"
CASES = TESTS / "cases" / "manifest"
"""Golden diagnostics: the files that manifests name, and a folder of manifests for each ten codes."""

FIXTURES = TESTS / "fixtures"
"""Deltas and exports of released format versions, and adapters of other programs."""

GOLDEN = TESTS / "golden"
"""Numeric cases: what the published code of a method computes in float64."""

EXAMPLES = ROOT / "manifests" / "examples"
DOCS = ROOT / "docs"
