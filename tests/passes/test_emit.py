"""What a delta records of its claims: as much as every number of threads agrees on, and no bound by rounding alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from editc.core.measurements import Claim
from editc.passes.emit import CLAIM_DIGITS, SMALLEST, round_claim
from editc.report import DELTA
from editc.verbs.recheck import TOLERANCE

BY_THREADS = {
    "preserve_drift": (0.13386242695976208, 0.13386242695976205),
    "condition": (170458.83461881804, 170458.8346187797),
    "solve_residual": (9.816146486492178e-16, 8.942832465905594e-16),
    "discarded": (0.0901337459512738, 0.09013374595127371),
    "recoverable": (0.9805912270837663, 0.9805912270837529),
}
"""Claims of editc/manifests/examples/erase-object.yaml, built with one thread and with two."""


@pytest.mark.parametrize("name", BY_THREADS)
def test_what_threads_differ_in_is_not_recorded(name: str) -> None:
    one, two = (round_claim(Claim(name, value)) for value in BY_THREADS[name])
    assert one == two and abs(one - BY_THREADS[name][0]) <= max(SMALLEST, 0.05 * one)


@given(st.floats(-1e6, 1e6))
def test_a_record_is_the_value_to_its_digits_and_within_what_verify_allows(value: float) -> None:
    found = round_claim(Claim("preserve_drift", value))
    assert abs(found - value) <= max(0.51 * 10 ** (1 - CLAIM_DIGITS) * abs(value), SMALLEST)
    assert abs(found - value) < TOLERANCE * max(1.0, abs(found))
    assert round_claim(Claim("preserve_drift", found)) == found, "rounded once is rounded for good"
    assert (found == 0) == (value == 0), "no change at all is told from rounding"


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_record_keeps_its_bound_or_breaks_it_as_the_measurement_did(value: float, bound: float) -> None:
    for near in (bound, value * (1 + 1e-9), value * (1 - 1e-9)):
        claim = Claim("preserve_drift", value, near)
        assert Claim("preserve_drift", round_claim(claim), near).holds == claim.holds


@pytest.mark.slow
def test_one_thread_and_two_build_the_same_bytes(tmp_path: Path) -> None:
    tiny.pipeline_folder(tmp_path / "model", width=64)
    edit = "edits: [{erase: circle, to: square}]\npreserve: {concepts: [star], prompts: [a red heart]}\n"
    (tmp_path / "m.yaml").write_text(f"editc: 1\nmodel: model\ncontexts: ['{{}}', 'a photo of a {{}}']\n{edit}")
    for threads in ("1", "2"):
        run = "import sys; from editc.cli import main; main()"
        arguments = ["build", str(tmp_path / "m.yaml"), "-o", str(tmp_path / threads)]
        environment = os.environ | {f"{name}_NUM_THREADS": threads for name in ("OMP", "OPENBLAS", "MKL")}
        environment |= {"EDITC_CACHE": str(tmp_path / f"cache-{threads}"), "OMP_WAIT_POLICY": "passive"}
        done = subprocess.run([sys.executable, "-c", run, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    one, two = ((tmp_path / threads / DELTA).read_bytes() for threads in ("1", "2"))
    assert one == two
