"""A Sigstore of a test's own on the loopback interface: a certificate authority (Fulcio), a log of certificates, and a
transparency log (Rekor, API version 1), with the trust configuration that leads the package `sigstore` to them.

The package signs and verifies with its own code. What is stood in for are the services: nobody checks the token's own
signature, and the log holds one entry at a time.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from loopback import Answer, Request, Service

ISSUER_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
ISSUER_EXTENSION_2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
TIMESTAMPS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
START = "2020-01-01T00:00:00Z"


class Sigstore(Service):
    """Fulcio, its log of certificates, and Rekor."""

    def __init__(self) -> None:
        super().__init__()
        self.authority, self.certificates, self.log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's authority")])
        self.root = self._make_root()
        self.refuses = False
        """True: every request is answered by an error."""

    def answer(self, request: Request) -> Answer:
        if self.refuses:
            return Answer(500, b'{"message": "out of order"}', {"Content-Type": "application/json"})
        if request.path == "/api/v2/signingCert":
            return self._json(self._certify(request))
        if request.path == "/api/v1/log/entries":
            return self._json(self._enter(request.body), 201)
        return Answer(404)

    def trust_config(self) -> Mapping[str, Any]:
        """What a client must know of this instance."""
        address, valid = f"http://{self.base}", {"start": START}
        service = [{"url": address, "majorApiVersion": 1, "validFor": valid, "operator": "test"}]
        subject = {"organization": "test", "commonName": "a test's authority"}
        chain = {"certificates": [{"rawBytes": _text(self.root.public_bytes(Encoding.DER))}]}
        authority = {"subject": subject, "uri": address, "certChain": chain, "validFor": valid}
        return {
            "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
            "trustedRoot": {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [_log(self.log, address)],
                "certificateAuthorities": [authority],
                "ctlogs": [_log(self.certificates, address)],
                "timestampAuthorities": [],
            },
            "signingConfig": {
                "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                "caUrls": service,
                "oidcUrls": service,
                "rekorTlogUrls": service,
                "tsaUrls": [],
                "rekorTlogConfig": {"selector": "ANY"},
                "tsaConfig": {"selector": "ANY"},
            },
        }

    def write_trust(self, file: Path) -> Path:
        """The trust configuration as a file."""
        file.write_text(json.dumps(self.trust_config()))
        return file

    def _make_root(self) -> x509.Certificate:
        key = self.authority.public_key()
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        return (
            _builder(self.name, self.name, key, timedelta(days=3650))
            .add_extension(x509.BasicConstraints(True, 0), True)
            .add_extension(usage, True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .sign(self.authority, hashes.SHA256())
        )

    def _certify(self, request: Request) -> Any:
        """Fulcio: a certificate for who the token says it is, with the timestamp of the log of certificates."""
        claims = json.loads(_bytes(str(request.headers["Authorization"]).split()[1].split(".")[1]))
        pem = base64.b64decode(json.loads(request.body)["certificateSigningRequest"])
        key = x509.load_pem_x509_csr(pem).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        issuer = str(claims["iss"]).encode()
        builder = (
            _builder(x509.Name([]), self.name, key, timedelta(minutes=10))
            .add_extension(usage, True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.authority.public_key()), False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(claims["email"])]), True)
            .add_extension(x509.UnrecognizedExtension(ISSUER_EXTENSION, issuer), False)
            .add_extension(x509.UnrecognizedExtension(ISSUER_EXTENSION_2, b"\x0c" + _sized(issuer, "B")), False)
        )
        bare = builder.sign(self.authority, hashes.SHA256())
        stamped = builder.add_extension(x509.UnrecognizedExtension(TIMESTAMPS, self._timestamp(bare)), False)
        chain = [stamped.sign(self.authority, hashes.SHA256()), self.root]
        texts = [one.public_bytes(Encoding.PEM).decode() for one in chain]
        return {"signedCertificateEmbeddedSct": {"chain": {"certificates": texts}}}

    def _timestamp(self, certificate: x509.Certificate) -> bytes:
        """The list of one signed timestamp of RFC 6962 for a certificate that does not have it yet."""
        now, issuer = int(datetime.now(UTC).timestamp() * 1000), sha256(_der(self.authority)).digest()
        body = certificate.tbs_certificate_bytes
        entry = issuer + struct.pack("!I", len(body))[1:] + body
        signed = struct.pack("!BBQH", 0, 0, now, 1) + entry + struct.pack("!H", 0)
        signature = self.certificates.sign(signed, ec.ECDSA(hashes.SHA256()))
        one = b"\0" + sha256(_der(self.certificates)).digest() + struct.pack("!QH", now, 0) + b"\4\3"
        listed = _sized(_sized(one + _sized(signature, "!H"), "!H"), "!H")
        return b"\4" + (_sized(listed, "B") if len(listed) < 128 else b"\x81" + _sized(listed, "B"))

    def _enter(self, body: bytes) -> Any:
        """Rekor: an entry for an envelope, in a log of one entry, with both proofs."""
        asked = json.loads(body)["spec"]["proposedContent"]
        envelope = json.loads(asked["envelope"])
        payload = base64.b64decode(envelope["payload"])
        signatures = [{"signature": one["sig"], "verifier": asked["verifiers"][0]} for one in envelope["signatures"]]
        spec = {
            "envelopeHash": {"algorithm": "sha256", "value": sha256(asked["envelope"].encode()).hexdigest()},
            "payloadHash": {"algorithm": "sha256", "value": sha256(payload).hexdigest()},
            "signatures": signatures,
        }
        entry = json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}, separators=(",", ":")).encode()
        root, log = sha256(b"\0" + entry).digest(), sha256(_der(self.log)).digest()
        promised = {"body": _text(entry), "integratedTime": int(datetime.now(UTC).timestamp())}
        promised |= {"logID": log.hex(), "logIndex": 0}
        canonical = json.dumps(promised, separators=(",", ":"), sort_keys=True).encode()
        note = f"test\n1\n{_text(root)}\n"
        mark = _text(log[:4] + self._sign(note.encode()))
        proof = {"logIndex": 0, "rootHash": root.hex(), "treeSize": 1, "hashes": []}
        proof["checkpoint"] = f"{note}\n\N{EM DASH} test {mark}\n"
        promise = _text(self._sign(canonical))
        return {root.hex(): {**promised, "verification": {"inclusionProof": proof, "signedEntryTimestamp": promise}}}

    def _sign(self, data: bytes) -> bytes:
        return self.log.sign(data, ec.ECDSA(hashes.SHA256()))

    def _json(self, value: Any, status: int = 200) -> Answer:
        return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def write_token(file: Path, email: str, issuer: str, **other: Any) -> Path:
    """A token as an OpenID provider gives one, for the audience of Sigstore. Nobody has signed it."""
    now = int(datetime.now(UTC).timestamp())
    claims = {"iss": issuer, "sub": email, "email": email, "aud": "sigstore", "iat": now, "exp": now + 600, **other}
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
    file.write_text(text + ".c2ln")
    return file


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC) - timedelta(seconds=5)
    begun = x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
    return begun.not_valid_before(now).not_valid_after(now + lasts)


def _log(key: ec.EllipticCurvePrivateKey, address: str) -> Mapping[str, Any]:
    """A log as a trusted root lists it."""
    shown = {"rawBytes": _text(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": {"start": START}}
    mark = {"keyId": _text(sha256(_der(key)).digest())}
    return {"baseUrl": address, "hashAlgorithm": "SHA2_256", "publicKey": shown, "logId": mark}


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sized(data: bytes, size: str) -> bytes:
    return struct.pack(size, len(data)) + data


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
