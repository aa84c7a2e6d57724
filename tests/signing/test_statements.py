"""What is stated of a delta: where it comes from and what was measured, each signed, each about this file."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import editc
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as TheirStatement
from signing_cases import BASE, DELTAS, KeyFiles, delta_file, key_files, refused

from editc.core.delta import Delta
from editc.formats.delta.container import write_delta
from editc.formats.exports.read import read_delta
from editc.signing.bom import BOM
from editc.signing.provenance import PROVENANCE
from editc.signing.results import RESULT, read_verdict
from editc.signing.stated import to_lines
from editc.signing.statement import Statement
from editc.verbs import evidence, public

DETECTOR = {"name": "seer", "sha256": "c" * 64}
ATTACK = {"attack": "rows", "concept": "circle", "shown": 1, "of": 10, "control": 9, "seed": 7, "access": "rows"}
MANIFEST = "editc: 1\nmodel: editc:demo\nseed: 5\nedits: [{erase: circle, to: square}]\n"
CLAIMS = (
    {"name": "erased", "subject": "circle", "value": 0.0, "bound": 0.05},
    {"name": "efficacy", "value": 0.9, "bound": 0.95, "least": True},
    {"name": "rank", "value": 4.0},
)


@pytest.fixture
def key(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path)


def built(folder: Path, **changes: Any) -> tuple[Path, Delta]:
    """A delta with evidence, and its report beside it."""
    given: dict[str, Any] = {"manifest": MANIFEST, "manifest_digest": "a" * 64, "claims": CLAIMS}
    given |= {"extra": {"detector": DETECTOR, "attacks": [ATTACK]}}
    delta = write_delta(replace(read_delta(DELTAS / "low-rank.safetensors"), **(given | changes)), folder / "d")
    lines = {line: {"state": state, "reasons": []} for line, state in (("works", "green"), ("robust", "amber"))}
    report = {"delta_id": delta.delta_id, "verdict": {"state": "amber", **lines}}
    (folder / "report.json").write_text(json.dumps(report))
    return folder / "d", delta


def beside(path: Path) -> Path:
    return path.with_name(path.name + ".intoto.jsonl")


def payloads(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in beside(path).read_text().splitlines()]
    return [json.loads(base64.b64decode(line["payload"])) for line in lines]


def stated(path: Path, key: KeyFiles) -> dict[str, Any]:
    return {one.kind: one.predicate for one in evidence.verify_signature(path, key.shown).stated}


def test_both_statements_are_signed_and_about_the_delta(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    made = evidence.sign(path, key.secret)
    assert made.files == (tmp_path / "d.sig", beside(path))
    assert [*stated(path, key)] == [PROVENANCE, RESULT, BOM]
    (digest,) = made.contents.files.values()
    assert [one["subject"] for one in payloads(path)] == [[{"name": "d", "digest": {"sha256": digest}}]] * 3


def test_they_are_statements_for_in_toto_s_own_library(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    evidence.sign(path, key.secret)
    for value in payloads(path):
        parsed = json_format.ParseDict(value, statement_pb2.Statement())
        TheirStatement.copy_from_pb(parsed).validate()


def test_provenance_names_manifest_tool_tensors_and_seeds(tmp_path: Path, key: KeyFiles) -> None:
    path, delta = built(tmp_path)
    evidence.sign(path, key.secret)
    found = stated(path, key)[PROVENANCE]
    made, run = found["buildDefinition"], found["runDetails"]
    (manifest,) = made["externalParameters"]["manifests"]
    assert manifest["digest"] == {"sha256": "a" * 64}
    assert made["internalParameters"]["seeds"] == [{"manifest": 5, "attack rows on circle": 7}]
    tensors = {one["name"]: one["digest"]["sha256"] for one in made["resolvedDependencies"]}
    records = {f"{one.site.component}/{one.site.name}": one.base[one.site.dtype] for one in delta.sites}
    assert tensors == records
    assert run["metadata"]["invocationId"] == delta.delta_id
    name, _, version = delta.tool.partition(" ")
    assert run["builder"]["version"] == {name: version}


def test_results_have_each_claim_with_its_bound_detector_attacks_and_verdict(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    evidence.sign(path, key.secret)
    found = stated(path, key)[RESULT]
    assert found["result"] == "FAILED" and found["failedTests"] == ["efficacy"]
    assert found["passedTests"] == ["erased of circle"] and found["warnedTests"] == []
    assert [one.get("holds") for one in found["claims"]] == [True, False, None]
    assert found["detectors"] == [DETECTOR] and found["attacks"] == [ATTACK]
    assert found["verdict"] == {"works": "green", "robust": "amber"}


def test_an_attack_that_says_nothing_is_a_warning(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path, claims=(), extra={"attacks": [{**ATTACK, "control": 4}]})
    evidence.sign(path, key.secret)
    found = stated(path, key)[RESULT]
    assert (found["result"], found["warnedTests"]) == ("WARNED", ["rows on circle"])


@pytest.mark.parametrize("report", ["", "[]", '{"delta_id": "other", "verdict": {"works": {"state": "green"}}}'])
def test_the_report_of_another_delta_gives_no_verdict(tmp_path: Path, report: str) -> None:
    path, delta = built(tmp_path)
    assert read_verdict(tmp_path / "report.json", read_delta(path))
    (tmp_path / "report.json").write_text(report)
    assert not read_verdict(tmp_path / "report.json", read_delta(path)) and delta.claims
    assert not read_verdict(tmp_path / "none.json", delta)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("works: green", ""),
        ("robust: amber", ""),
        ("robust: green", "`robust` is amber, and the policy asks for green"),
        ("costs: red", "no signed statement says what `costs` comes to"),
    ],
)
def test_a_policy_reads_the_verdict_that_is_signed(tmp_path: Path, key: KeyFiles, rule: str, said: str) -> None:
    path, _ = built(tmp_path)
    evidence.sign(path, key.secret)
    (tmp_path / "report.json").write_text('{"it": "does not count"}')
    policy = tmp_path / "p.yaml"
    policy.write_text(f"policy: 1\nkeys: [{{id: now, file: key.pub}}]\nverdict: {{{rule}}}\n")
    if not said:
        assert public.plan_apply(path, BASE, policy=policy)
        return
    for refuse in (lambda: public.plan_apply(path, BASE, policy=policy), lambda: check(path, policy)):
        assert (refused(refuse).code, refused(refuse).message) == ("E916", said)


def check(path: Path, policy: Path) -> object:
    return evidence.verify_signature(path, policy=policy)


def test_without_the_file_nothing_is_stated(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    evidence.sign(path, key.secret)
    beside(path).unlink()
    assert stated(path, key) == {}
    policy = tmp_path / "p.yaml"
    policy.write_text("policy: 1\nkeys: [{id: now, file: key.pub}]\nverdict: {works: red}\n")
    assert refused(lambda: public.plan_apply(path, BASE, policy=policy)).code == "E916"


def test_statements_about_another_delta_are_refused(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    evidence.sign(path, key.secret)
    old = beside(path).read_bytes()
    delta_file(tmp_path, "dense").replace(path)
    evidence.sign(path, key.secret)
    beside(path).write_bytes(old)
    assert refused(lambda: evidence.verify_signature(path, key.shown)).code == "E917"


CHANGES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("E903", lambda data: data + data.splitlines()[0]),
    ("E903", lambda data: data + b"\n{}"),
    ("E903", lambda data: data[:-40]),
    ("E903", lambda data: data.replace(b'"keyid"', b'"keyed"', 1)),
    ("E904", lambda data: data.replace(b'"signatures": [', b'"signatures": [{"sig": "AAAA"}, ', 1)),
    ("E906", lambda data: data.replace(b'"sig": "ME', b'"sig": "MF', 1)),
]


@pytest.mark.parametrize(("code", "change"), CHANGES)
def test_changed_statements_are_refused(tmp_path: Path, key: KeyFiles, code: str, change: Any) -> None:
    path, _ = built(tmp_path)
    evidence.sign(path, key.secret)
    beside(path).write_bytes(change(beside(path).read_bytes()))
    assert refused(lambda: evidence.verify_signature(path, key.shown)).code == code


def test_statements_of_a_stranger_are_refused(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    made = evidence.sign(path, key.secret)
    (digest,) = made.contents.files.values()
    other = key_files(tmp_path, "other")
    beside(path).write_bytes(
        to_lines([Statement({"d": digest}, RESULT, {"verdict": {"works": "green"}})], other.private)
    )
    assert refused(lambda: evidence.verify_signature(path, key.shown)).code == "E905"


def test_the_command_shows_what_is_stated(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    assert editc("sign", str(path), "--key", str(key.secret), "--out", str(tmp_path / "s.sig")).returncode == 0
    assert (tmp_path / "s.intoto.jsonl").exists() and not beside(path).exists()
    options = ["--key", str(key.shown), "--signature", str(tmp_path / "s.sig")]
    shown = editc("verify-signature", str(path), *options).stdout
    assert "stated    tests `FAILED`: 1 of 2 bounds met" in shown
    assert "the attack `rows` brings `circle` back in `1` of `10` pictures, `9` before the edit" in shown
    assert "verdict: works green, robust amber" in shown
    found = json.loads(editc("verify-signature", str(path), *options, "--json").stdout)
    assert [one["predicateType"] for one in found["stated"]] == [PROVENANCE, RESULT, BOM]


def test_odd_statements_are_shown_as_far_as_they_make_sense(tmp_path: Path, key: KeyFiles) -> None:
    path, _ = built(tmp_path)
    (digest,) = evidence.sign(path, key.secret).contents.files.values()
    odd = {"attacks": ["text", {"shown": "\x1b[31m"}], "passedTests": 3, "verdict": {"works": ["green"]}}
    made = [Statement({"d": digest}, kind, odd) for kind in (PROVENANCE, RESULT, "urn:other")]
    beside(path).write_bytes(to_lines(made, key.private))
    ran = editc("verify-signature", str(path), "--key", str(key.shown))
    assert ran.returncode == 0 and "something of the type `urn:other`" in ran.stdout and "\x1b" not in ran.stdout
