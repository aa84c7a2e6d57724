"""The bill of materials is a CycloneDX document for CycloneDX's own validator, and says what the delta records."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import editc
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from signing_cases import DELTAS, delta_file, key_files

from editc.core.delta import Delta
from editc.formats.exports.read import read_delta
from editc.signing.bom import BOM, make_bom, to_bytes
from editc.verbs import evidence

ATTACK = {"attack": "rows", "concept": "circle", "shown": 0, "of": 20, "control": 19, "seed": 7}
CLAIMS = (
    {"name": "erased", "subject": "circle", "value": 0.0, "bound": 0.05},
    {"name": "efficacy", "value": 0.9, "bound": 0.5, "least": True},
)


def evidenced(**changes: Any) -> Delta:
    given: dict[str, Any] = {"manifest": "editc: 1\nmodel: editc:demo\nedits: [{erase: circle}]\n", "claims": CLAIMS}
    given |= {"extra": {"detector": {"name": "seer", "sha256": "c" * 64}, "attacks": [ATTACK]}, "delta_id": "d" * 64}
    return replace(read_delta(DELTAS / "low-rank.safetensors"), **(given | changes))


def assert_valid(bom: Any) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(to_bytes(bom).decode()) is None


@pytest.mark.parametrize("form", ["dense", "low-rank", "shared", "xor"])
def test_every_form_of_delta_has_a_valid_one(tmp_path: Path, form: str) -> None:
    path = evidence.sbom(delta_file(tmp_path, form))
    assert path.name == "delta.safetensors.cdx.json"
    assert_valid(json.loads(path.read_text()))
    first = path.read_bytes()
    assert evidence.sbom(tmp_path / "delta.safetensors").read_bytes() == first


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"manifest": "", "edits": (), "claims": (), "extra": {}, "tool": ""},
        {"manifest": "[", "edits": ({"kind": 3},), "claims": ({"name": "x", "value": "odd"},)},
        {"extra": {"attacks": [{**ATTACK, "of": 0}, {**ATTACK, "shown": "many"}, 3], "detector": {"name": None}}},
    ],
)
def test_whatever_a_delta_records_it_is_valid(changes: dict[str, Any]) -> None:
    assert_valid(make_bom(evidenced(**changes), "delta.safetensors", "a" * 64))


def test_it_says_what_the_delta_records() -> None:
    delta = evidenced()
    bom = make_bom(delta, "delta.safetensors", "a" * 64)
    made = bom["metadata"]["component"]
    assert made["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    (base,), (patch,) = made["pedigree"]["ancestors"], made["pedigree"]["patches"]
    assert base["name"] == "editc:demo" and len(base["components"]) == len(delta.sites)
    assert base["components"][0]["hashes"][0]["content"] == delta.sites[0].base[delta.sites[0].site.dtype]
    assert patch["resolves"] == [{"type": "enhancement", "description": "erase circle"}]
    assert made["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "erased (at most 0.05)", "slice": "circle", "value": "0"},
        {"type": "efficacy (at least 0.5)", "value": "0.9"},
        {
            "type": "brought_back by rows",
            "slice": "circle",
            "value": "0",
            "confidenceInterval": {"lowerBound": "0", "upperBound": "0.1391083"},
        },
    ]
    assert [one["name"] for one in bom["components"]] == ["seer"]


def test_it_is_signed_as_a_statement_too(tmp_path: Path) -> None:
    key, path = key_files(tmp_path), delta_file(tmp_path)
    evidence.sign(path, key.secret)
    stated = {one.kind: one.predicate for one in evidence.verify_signature(path, key.shown).stated}
    assert stated[BOM] == json.loads(evidence.sbom(path).read_text())
    assert "a bill of materials, CycloneDX 1.6" in editc("verify-signature", str(path), "--key", str(key.shown)).stdout


def test_the_command_says_where_it_is(tmp_path: Path) -> None:
    path, out = delta_file(tmp_path), tmp_path / "bom.json"
    ran = editc("sbom", str(path), "--out", str(out))
    assert (ran.returncode, ran.stdout) == (0, f"wrote {out}\n") and out.exists()
    assert editc("sbom", str(tmp_path / "none"), "--json").returncode == 3
