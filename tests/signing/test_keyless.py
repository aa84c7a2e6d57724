"""Keyless signatures, by the package `sigstore` and services of the test's own: what holds, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import editc
from loopback import running
from signing_cases import BASE, built_folder, delta_file, key_files, refused
from sigstore_services import Sigstore, write_token

from editc.signing.check import signed_files
from editc.verbs import public
from editc.verbs.evidence import sign, verify_signature

ME, ISSUER = "me@example.org", "https://accounts.example.org"


@dataclass(frozen=True)
class Place:
    """A delta, and all that signs it."""

    delta: Path
    token: Path
    trust: Path
    services: Sigstore

    def sign(self) -> Path:
        return sign(self.delta, identity_token=self.token, trust_config=self.trust).file

    def verify(self, identity: str = ME, issuer: str = ISSUER) -> Any:
        return verify_signature(self.delta, identity=identity, issuer=issuer, trust_config=self.trust)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with running(Sigstore()) as services:
        token = write_token(tmp_path / "token", ME, ISSUER)
        yield Place(delta_file(tmp_path), token, services.write_trust(tmp_path / "trust.json"), services)


def test_what_an_identity_signs_is_verified_offline_and_stated(place: Place) -> None:
    file = place.sign()
    bundle = json.loads(file.read_text())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"]["certificate"] and len(bundle["verificationMaterial"]["tlogEntries"]) == 1
    place.services.refuses = True  # from here on nobody is asked
    found = place.verify()
    assert found.key.name == f"{ME}, by {ISSUER}" and found.contents.name == place.delta.name
    assert len(found.stated) == 3, "each statement is a bundle of its own"


def test_the_package_itself_verifies_it(place: Place) -> None:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    bundle = Bundle.from_json(place.sign().read_text())
    root = ClientTrustConfig.from_json(place.trust.read_text()).trusted_root
    _, payload = Verifier(trusted_root=root).verify_dsse(bundle, Identity(identity=ME, issuer=ISSUER))
    assert json.loads(payload)["predicateType"] == "https://model_signing/signature/v1.0"


def test_model_signing_verifies_it(place: Place) -> None:
    from model_signing import verifying

    place.sign()
    trusted = verifying.Config().use_sigstore_verifier(identity=ME, oidc_issuer=ISSUER, trust_config=place.trust)
    trusted.verify(place.delta, place.delta.with_name(place.delta.name + ".sig"))


@pytest.mark.parametrize("who", [{"identity": "you@example.org"}, {"issuer": "https://other.example.org"}])
def test_another_identity_or_issuer_is_refused(place: Place, who: dict[str, str]) -> None:
    place.sign()
    found = refused(lambda: place.verify(**who))
    assert found.code == "E905" and ME in found.message


def change_payload(value: Any) -> None:
    value["dsseEnvelope"]["payload"] = value["dsseEnvelope"]["payload"][:-8] + "fX19fX0="


def change_time(value: Any) -> None:
    entry = value["verificationMaterial"]["tlogEntries"][0]
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)


def change_proof(value: Any) -> None:
    proof = value["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]
    proof["rootHash"] = "A" + proof["rootHash"][1:] if proof["rootHash"][0] != "A" else "B" + proof["rootHash"][1:]


def drop_promise(value: Any) -> None:
    del value["verificationMaterial"]["tlogEntries"][0]["inclusionPromise"]


def drop_entry(value: Any) -> None:
    value["verificationMaterial"]["tlogEntries"] = []


@pytest.mark.parametrize("change", [change_payload, change_time, change_proof, drop_promise, drop_entry])
def test_a_bundle_that_was_changed_is_refused(place: Place, change: Callable[[Any], None]) -> None:
    file = place.sign()
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))
    assert refused(place.verify).code in ("E903", "E906")


def test_a_delta_that_was_changed_and_another_instance_are_refused(place: Place, tmp_path: Path) -> None:
    place.sign()
    with running(Sigstore()) as others:
        foreign = others.write_trust(tmp_path / "other.json")
        found = refused(lambda: verify_signature(place.delta, identity=ME, issuer=ISSUER, trust_config=foreign))
        assert found.code == "E906" and "--trust-config" in found.help
    place.delta.write_bytes(place.delta.read_bytes() + b" ")
    assert refused(place.verify).code == "E907"


def test_keys_and_identities_do_not_stand_for_each_other(place: Place, tmp_path: Path) -> None:
    key = key_files(tmp_path)
    place.sign()
    assert refused(lambda: verify_signature(place.delta, key.shown)).code == "E905"
    sign(place.delta, key.secret)
    assert refused(place.verify).code == "E905"
    both = {"identity": ME, "issuer": ISSUER, "trust_config": place.trust}
    assert verify_signature(place.delta, key.shown, **both).key.name == str(key.shown)  # type: ignore[arg-type]


def test_apply_asks_a_policy_for_identities(place: Place, tmp_path: Path) -> None:
    place.sign()
    policy = tmp_path / "policy.yaml"
    text = "policy: 1\nidentities:\n  - {{identity: {}, issuer: {}, trust: trust.json}}\n"
    policy.write_text(text.format(ME, ISSUER))
    public.apply(place.delta, BASE, out=tmp_path / "out", policy=policy)
    policy.write_text(text.format("you@example.org", ISSUER))
    assert refused(lambda: public.apply(place.delta, BASE, out=tmp_path / "none", policy=policy)).code == "E905"
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("fault", ["service", "expired", "no token", "no trust"])
def test_what_keeps_sigstore_from_signing_is_told(place: Place, fault: str, tmp_path: Path) -> None:
    place.services.refuses = fault == "service"
    token = write_token(tmp_path / "old", ME, ISSUER, exp=1) if fault == "expired" else place.token
    token = tmp_path / "nowhere" if fault == "no token" else token
    trust = place.token if fault == "no trust" else place.trust
    found = refused(lambda: sign(place.delta, identity_token=token, trust_config=trust))
    assert found.code == "E918" and not place.delta.with_name(place.delta.name + ".sig").exists()


def test_without_an_identity_in_the_environment_the_error_says_where_there_is_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: None)
    found = refused(lambda: sign(place.delta, trust_config=place.trust))
    assert found.code == "E918" and "--identity-token" in found.help


def test_without_the_package_the_error_says_what_to_install(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("editc.libraries.extras.find_spec", lambda name: None if name == "sigstore" else find(name))
    found = refused(place.sign)
    assert found.code == "E900" and "'.[keyless]'" in found.help


def test_a_page_shows_an_identitys_signature(place: Place) -> None:
    """Without a policy nobody checks who signed; the files are those that were signed all the same."""
    from editc.viewing.signature import look_at_signature

    place.sign()
    assert look_at_signature(place.delta, None, ()).state == "warn"


def test_the_folder_of_a_build_is_signed(place: Place, tmp_path: Path) -> None:
    folder = built_folder(tmp_path / "build")
    file = sign(folder, identity_token=place.token, trust_config=place.trust).file
    found = verify_signature(folder, identity=ME, issuer=ISSUER, trust_config=place.trust)
    assert found.key.name.startswith(ME) and signed_files(file) == found.contents.files.keys()


def test_the_command_line(place: Place) -> None:
    sigstore = ("--trust-config", str(place.trust))
    signed = editc("sign", str(place.delta), "--keyless", "--identity-token", str(place.token), *sigstore)
    assert signed.returncode == 0 and f"identity {ME}" in signed.stdout, signed.stderr
    who = ("--identity", ME, "--issuer", ISSUER)
    shown = editc("verify-signature", str(place.delta), *who, *sigstore)
    assert shown.returncode == 0 and f"signed by {ME}, by {ISSUER}" in shown.stdout
    assert editc("verify-signature", str(place.delta), *who[:2]).returncode == 2
    assert editc("sign", str(place.delta), *sigstore).returncode == 2
    assert editc("sign", str(place.delta), "--key", "key.pem", *sigstore).returncode == 2
