"""`apply` and `fleet` write nothing unless a signature and a policy admit the delta."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import editc
from fleet_cases import records, run, write_plan
from imported import loaded_modules
from places import ROOT
from signing_cases import BASE, DELTAS, KeyFiles, built_folder, delta_file, flip, key_files, refused

from editc.codes import catalogue
from editc.core.diagnostics import EditcError
from editc.formats.delta.container import write_delta
from editc.formats.exports.read import read_delta
from editc.verbs import evidence, public

DETECTOR = "c" * 64
ATTACK: Mapping[str, Any] = {"attack": "rows", "concept": "circle", "shown": 1, "of": 10, "control": 9}


@pytest.fixture
def key(tmp_path: Path) -> KeyFiles:
    return key_files(tmp_path)


def evidenced(folder: Path, key: KeyFiles, claims: Any = (), **extra: Any) -> Path:
    """A signed delta that says what is given."""
    delta = read_delta(DELTAS / "low-rank.safetensors")
    path = folder / "delta.safetensors"
    write_delta(replace(delta, claims=(*delta.claims, *claims), extra={**delta.extra, **extra}), path)
    evidence.sign(path, key.secret)
    return path


def policy(folder: Path, text: str = "") -> Path:
    path = folder / "editc-policy.yaml"
    path.write_text(f"policy: 1\nkeys: [{{id: now, file: key.pub}}]\n{text}\n")
    return path


def refuse(path: Path, folder: Path, **given: Any) -> list[tuple[str, str]]:
    """The errors of an apply, which must exit 3 and write nothing. Dry runs end in the same."""
    options = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    out = folder / "patched"
    for last in (["--out", str(out)], ["--dry-run"]):
        ran = editc("apply", str(path), "--to", str(BASE), *last, *options, "--json")
        assert ran.returncode == 3 and not out.exists()
    with pytest.raises(EditcError):
        public.apply(path, BASE, out, **given)
    return [(one["code"], one["message"]) for one in json.loads(ran.stdout)["diagnostics"]]


def admitted(path: Path, folder: Path, **given: Any) -> bool:
    public.apply(path, BASE, folder / "patched", **given)
    shutil.rmtree(folder / "patched")
    return True


def test_a_signed_delta_is_applied_and_an_unsigned_one_is_not(tmp_path: Path, key: KeyFiles) -> None:
    path = delta_file(tmp_path)
    assert [code for code, _ in refuse(path, tmp_path, require_signature=key.shown)] == ["E902"]
    evidence.sign(path, key.secret)
    assert admitted(path, tmp_path, require_signature=key.shown)
    assert admitted(path, tmp_path, require_signature=[key_files(tmp_path, "other").shown, key.shown])
    other = key_files(tmp_path, "other")
    assert [code for code, _ in refuse(path, tmp_path, require_signature=other.shown)] == ["E905"]


def test_a_delta_in_a_signed_folder_is_applied(tmp_path: Path, key: KeyFiles) -> None:
    out = built_folder(tmp_path)
    evidence.sign(out, key.secret)
    assert admitted(out, tmp_path, require_signature=key.shown)
    flip(out / "delta.safetensors", 40)
    assert [code for code, _ in refuse(out, tmp_path, require_signature=key.shown)] == ["E907"]


def test_every_delta_must_be_signed(tmp_path: Path, key: KeyFiles) -> None:
    path = evidenced(tmp_path, key)
    second = tmp_path / "second.safetensors"
    shutil.copyfile(DELTAS / "dense.safetensors", second)
    assert refused(lambda: public.plan_apply([path, second], BASE, require_signature=key.shown)).code == "E902"


def test_a_delta_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, key: KeyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = evidenced(tmp_path, key)

    def swap(place: Path) -> object:
        shutil.copyfile(DELTAS / "dense.safetensors", place)
        return read_delta(place)

    monkeypatch.setattr("editc.signing.trust.read_delta", swap)
    assert refused(lambda: public.plan_apply(path, BASE, require_signature=key.shown)).code == "E907"


RULES: list[tuple[str, str]] = [
    (f"detectors: [{DETECTOR}]", ""),
    (f"detectors: [{'d' * 64}]", "E912: the detector `seer`, `cccccccccccc"),
    ("at_most: {erase_residual: 0.125}", ""),
    ("at_most: {erase_residual: 0.1}", "E913: `erase_residual` is 0.125, and the policy asks for at most 0.1"),
    ("at_most: {erased: 0.1}", "E913: `erased` of `circle` is 0.2, and the policy asks for at most 0.1"),
    ("at_most: {erased_at_most: 1}", "E913: the delta does not say `erased_at_most`"),
    ("at_least: {erase_residual: 0.125}", ""),
    ("at_least: {erased: 0.1}", "E913: `erased` of `square` is 0, and the policy asks for at least 0.1"),
    ("attacks: {rows: 0.1}", ""),
    ("attacks: {rows: 0.05}", "E914: the attack `rows` on `circle` succeeds in 1 of 10 pictures, more than 0.05 of"),
    ("attacks: {inversion: 1}", "E914: the attack `inversion` did not run on `circle`"),
    ("attacks: {p4d: 1}", "E914: the attack `p4d` on `circle` says nothing: it succeeds in 4 of 10 pictures before"),
    ("attacks: {ring: 1}", "E914: the attack `ring` did not run on `circle`"),
    ("attacks: {prefix: 1}", "E914: the attack `prefix` on `circle` says nothing: it succeeds in 0 of 0 pictures"),
    ("tiers: [exact]", ""),
    ("tiers: [cast, relative]", "E915: the model is exact for the delta, and the policy asks for cast or relative"),
    ("revoked: [now]", "E909: the key now is revoked"),
]
"""A rule, and how the refusal begins; empty: it admits the delta of `whole`."""


def whole(folder: Path, key: KeyFiles) -> Path:
    claims = [{"name": "erased", "value": value, "subject": name} for name, value in (("circle", 0.2), ("square", 0))]
    weak = {**ATTACK, "attack": "p4d", "control": 4}
    elsewhere = {**ATTACK, "attack": "ring", "concept": "square"}
    odd = {**ATTACK, "attack": "prefix", "of": "many", "control": True}
    attacks = [dict(ATTACK), weak, elsewhere, odd, "text"]
    return evidenced(folder, key, claims, detector={"name": "seer", "sha256": DETECTOR}, attacks=attacks)


@pytest.mark.parametrize(("rule", "said"), RULES)
def test_a_rule_admits_or_refuses(tmp_path: Path, key: KeyFiles, rule: str, said: str) -> None:
    path, file = whole(tmp_path, key), policy(tmp_path, rule)
    if not said:
        assert admitted(path, tmp_path, policy=file)
        return
    ((code, message),) = refuse(path, tmp_path, policy=file)
    assert f"{code}: {message}".startswith(said)


def test_every_refusal_is_said_at_once_and_at_its_line(tmp_path: Path, key: KeyFiles) -> None:
    path, file = whole(tmp_path, key), policy(tmp_path, "at_most: {erased: 0.1}\nattacks: {inversion: 0}")
    ran = editc("apply", str(path), "--to", str(BASE), "--dry-run", "--policy", str(file))
    assert ran.stderr.count("error[") == 2 and f"{file}:3:19" in ran.stderr and f"{file}:4:22" in ran.stderr


def test_a_delta_without_evidence_is_refused_by_each_rule(tmp_path: Path, key: KeyFiles) -> None:
    text = f"detectors: [{DETECTOR}]\nat_most: {{recoverable: 1}}\nattacks: {{rows: 1}}"
    found = refuse(evidenced(tmp_path, key), tmp_path, policy=policy(tmp_path, text))
    assert [code for code, _ in found] == ["E912", "E913", "E914"]


def test_while_a_key_is_replaced_the_old_and_the_new_one_serve_until_the_old_one_expires(
    tmp_path: Path, key: KeyFiles
) -> None:
    path, new = evidenced(tmp_path, key), key_files(tmp_path, "new")
    keys = "keys: [{{id: old, file: key.pub, not_after: {}}}, {{id: new, file: new.pub}}]"
    file = tmp_path / "p.yaml"
    file.write_text(f"policy: 1\n{keys.format('2999-12-31')}")
    assert admitted(path, tmp_path, policy=file)
    file.write_text(f"policy: 1\n{keys.format('2000-12-31')}")
    ((code, message),) = refuse(path, tmp_path, policy=file)
    assert code == "E908" and "the key old expired on 2001-01-01" in message
    evidence.sign(path, new.secret)
    assert admitted(path, tmp_path, policy=file)


def test_policy_and_keys_must_both_admit(tmp_path: Path, key: KeyFiles) -> None:
    path, other = evidenced(tmp_path, key), key_files(tmp_path, "other")
    assert admitted(path, tmp_path, policy=policy(tmp_path), require_signature=key.shown)
    given = {"policy": policy(tmp_path), "require_signature": other.shown}
    assert [code for code, _ in refuse(path, tmp_path, **given)] == ["E905"]


def test_a_mistake_in_a_policy_is_exit_code_2(tmp_path: Path, key: KeyFiles) -> None:
    path, file = evidenced(tmp_path, key), policy(tmp_path, "at_mist: {}")
    ran = editc("apply", str(path), "--to", str(BASE), "--out", str(tmp_path / "o"), "--policy", str(file))
    assert ran.returncode == 2 and f"{file}:3:1" in ran.stderr and not (tmp_path / "o").exists()


def test_verify_signature_takes_a_policy_too(tmp_path: Path, key: KeyFiles) -> None:
    path = whole(tmp_path, key)
    assert evidence.verify_signature(path, policy=policy(tmp_path, "at_most: {erased: 0.2}")).key.name == "now"
    assert (
        refused(lambda: evidence.verify_signature(path, policy=policy(tmp_path, "attacks: {rows: 0}"))).code == "E914"
    )
    assert editc("verify-signature", str(path)).returncode == 2


def test_each_part_of_a_linked_delta_must_suit_the_policy(tmp_path: Path, key: KeyFiles) -> None:
    from tiny_files import KEYS, delta_for, pipeline

    base = pipeline(tmp_path / "m")
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for name, file, detector in zip(KEYS, files, (DETECTOR, "d" * 64), strict=False):
        write_delta(replace(delta_for(base, names=[name]), extra={"detector": {"sha256": detector}}), file)
    public.link(files, tmp_path / "delta.safetensors")
    evidence.sign(tmp_path / "delta.safetensors", key.secret)
    file = policy(tmp_path, f"detectors: [{DETECTOR}]")
    assert (
        refused(lambda: public.plan_apply(tmp_path / "delta.safetensors", tmp_path / "m", policy=file)).code == "E912"
    )


def test_a_fleet_applies_only_what_the_policy_admits(tmp_path: Path, key: KeyFiles) -> None:
    plan = write_plan(tmp_path, models=1, forms=("dense", "low-rank"), text="do: apply\npolicy: editc-policy.yaml")
    policy(tmp_path, "at_most: {erase_residual: 0.5}")
    evidence.sign(tmp_path / "deltas" / "dense.safetensors", key.secret)
    run(plan)
    found = records(tmp_path / "out")
    states = {name: (one["status"], [d["code"] for d in one["diagnostics"]]) for (name, _), one in found.items()}
    assert states == {
        "deltas/dense.safetensors": ("done", []),
        "deltas/low-rank.safetensors": ("failed", ["E902"]),
    }


def test_another_policy_is_other_cells_of_a_fleet(tmp_path: Path, key: KeyFiles) -> None:
    plan = write_plan(tmp_path, models=1, forms=("dense",), text="do: apply\npolicy: editc-policy.yaml")
    policy(tmp_path)
    evidence.sign(tmp_path / "deltas" / "dense.safetensors", key.secret)
    assert run(plan).ran == 1 and run(plan).ran == 0
    policy(tmp_path, "at_most: {erase_residual: 0.1}")
    assert run(plan).ran == 1
    policy(tmp_path, "at_mist: {}")
    assert refused(lambda: run(plan)).code == "E102"


def test_a_plan_that_names_no_such_policy_or_key_is_wrong_there(tmp_path: Path) -> None:
    plan = write_plan(tmp_path, models=1, text="do: apply\nrequire_signature: [none.pub]")
    found = refused(lambda: run(plan))
    assert found.code == "E901" and found.span is not None and found.span.line == 3
    plan.write_text(plan.read_text().replace("require_signature: [none.pub]", "policy: none.yaml"))
    assert refused(lambda: run(plan)).code == "E100"


def test_a_plain_apply_imports_nothing_for_signatures(tmp_path: Path) -> None:
    path = delta_file(tmp_path)
    loaded = loaded_modules(["apply", str(path), "--to", str(BASE), "--out", str(tmp_path / "o")])
    assert not [name for name in loaded if name.startswith(("editc.signing", "editc.manifests", "cryptography"))]


def test_codes_of_signatures_are_each_in_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "signing").glob("test_*.py"))
    assert not [code for code, one in catalogue().items() if one.stage == "signing" and code not in tests]
