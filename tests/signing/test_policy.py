"""Policies are read as strictly as manifests: `cases/policy/NAME.yaml` gives exactly the text in `NAME.txt`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from places import TESTS
from signing_cases import refused

from editc.cli.render import render
from editc.codes import exit_code
from editc.core.places import Source
from editc.signing.policy_file import decode_policy, load_policy

CASES = TESTS / "cases" / "policy"
POLICIES = sorted(CASES.glob("*.yaml"))


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_case(path: Path, update_cases: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    policy, found = decode_policy(Source(path.name, path.read_text()), Path())
    assert (policy is None) == bool(found) and exit_code(found) in (0, 2)
    shown = render(found) or "no errors\n"
    if update_cases:
        path.with_suffix(".txt").write_text(shown)
    assert shown == path.with_suffix(".txt").read_text()


def test_a_day_counts_whole_and_ids_and_fingerprints_revoke() -> None:
    now, old = load_policy(CASES / "accepted.yaml").keys
    assert (now.not_before, now.not_after) == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (now.revoked, old.revoked) == (False, True)
    policy, _ = decode_policy(
        Source("p", f"policy: 1\nkeys: [{{id: a, file: keys/now.pub}}]\nrevoked: [{now.public.fingerprint}]"), CASES
    )
    assert policy is not None and policy.keys[0].revoked


def test_paths_of_keys_begin_at_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_policy(CASES / "accepted.yaml").keys


def test_another_text_or_key_is_another_policy(tmp_path: Path) -> None:
    text, digests = "policy: 1\nkeys: [{id: a, file: k.pub}]\n", set()
    for key, more in (("now", ""), ("old", ""), ("now", "tiers: [exact]\n")):
        (tmp_path / "k.pub").write_bytes((CASES / "keys" / f"{key}.pub").read_bytes())
        (tmp_path / "p.yaml").write_text(text + more)
        digests.add(load_policy(tmp_path / "p.yaml").digest)
    assert len(digests) == 3


def test_a_policy_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    assert refused(lambda: load_policy(tmp_path / "none.yaml")).message.startswith("cannot read the policy")
