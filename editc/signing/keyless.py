"""Keyless signatures (Sigstore): a certificate for an identity, an entry in a transparency log, and no key to keep.
Only this file uses the package `sigstore`, and only when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from editc.core.diagnostics import EditcError, fail
from editc.libraries.extras import install_command, missing_packages
from editc.signing.envelope import PAYLOAD_TYPE, damaged, show
from editc.signing.keys import PublicKey

TOKEN_HELP = (
    "run it where the environment has an identity (GitHub Actions with `id-token: write`, GitLab CI, Google Cloud), or "
    "give a file with a token for the audience `sigstore`: --identity-token FILE"
)
"""Help where nobody says who signs."""


@dataclass(frozen=True)
class TrustedIdentity:
    """An identity whose keyless signatures are accepted."""

    identity: str
    """Who signed: an email address, or the address of a workflow, as the certificate has it."""
    issuer: str
    """Who vouches for it: the address of the OpenID provider."""
    config: Path | None = None
    """A trust configuration of Sigstore, for an instance of one's own. None: the public good instance."""

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.identity}, by {self.issuer}"


@dataclass(frozen=True)
class KeylessSigner:
    """Signs by a certificate that Sigstore gives for an identity. `open_signer` makes one."""

    inner: Any = field(repr=False)
    """The signer of the package `sigstore`."""
    identity: str
    """Who signs."""
    kind: ClassVar[Literal["key", "identity"]] = "identity"

    @property
    def fingerprint(self) -> str:
        """What is shown in place of a key's fingerprint."""
        return self.identity

    def bundle(self, payload: bytes) -> bytes:
        """The bundle over an in-toto statement, as the bytes of a file. Raises E918."""
        from sigstore.dsse import Statement

        with _guarded():
            return (str(self.inner.sign_dsse(Statement(payload)).to_json()) + "\n").encode()

    line = bundle
    """A line in a file of statements: it is a bundle too."""


@contextmanager
def open_signer(token: Path | None, config: Path | None) -> Iterator[KeylessSigner]:
    """Ask Sigstore for a certificate. `token`: a file with an OpenID token; None: that of the environment. `config`: a
    trust configuration. Raises E900 and E918."""
    _require_sigstore()
    from sigstore.oidc import IdentityToken
    from sigstore.sign import SigningContext

    raw = _read_token(token)
    with _guarded():
        identity = IdentityToken(raw)
        context = SigningContext.from_trust_config(_trust(config, offline=False))
        opened = context.signer(identity)
        signer = opened.__enter__()
    try:
        yield KeylessSigner(signer, identity.identity)
    finally:
        opened.__exit__(None, None, None)


def verify_keyless(data: bytes, trusted: Sequence[TrustedIdentity], place: str) -> tuple[bytes, PublicKey]:
    """The statement in a bundle, and the one-time key that signed it under the name of the identity. Nothing is asked
    of the network. Raises E900, E903 and E905, E906."""
    _require_sigstore()
    from sigstore.errors import Error, VerificationError
    from sigstore.models import Bundle
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity, UnsafeNoOp

    if not trusted:
        help_text = "name it, if its owner told you on another way than the delta: --identity NAME --issuer URL"
        raise fail("E905", "it was signed by an identity, and you named keys only", place=place, help=help_text)
    try:
        bundle = Bundle.from_json(data)
    except (Error, ValueError) as error:
        raise damaged(place, _first_line(error)) from error
    for number, one in enumerate(trusted):
        verifier = Verifier(trusted_root=_trust(one.config, offline=True).trusted_root)
        try:
            kind, payload = verifier.verify_dsse(bundle, Identity(identity=one.identity, issuer=one.issuer))
        except VerificationError as error:
            if number + 1 < len(trusted):
                continue
            try:
                verifier.verify_dsse(bundle, UnsafeNoOp())  # to tell another identity from a signature that is wrong
            except VerificationError:
                raise _not_valid(place, _first_line(error)) from error
            raise _other_identity(place, trusted, bundle.signing_certificate) from error
        if kind != PAYLOAD_TYPE:
            raise damaged(place, f"its payload is not of the type {PAYLOAD_TYPE}")
        return payload, PublicKey(one.name, _pem(bundle.signing_certificate))
    raise AssertionError("at least one identity is trusted")


def _other_identity(place: str, trusted: Sequence[TrustedIdentity], certificate: Any) -> EditcError:
    """E905: somebody else signed."""
    from cryptography import x509

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    said = ", ".join(show(str(one.value)) for one in names)
    help_text = "trust that identity only if its owner gave it to you on another way than the delta"
    notes = [f"you trust {one.name}" for one in trusted]
    message = f"it was signed by {said}, or another issuer vouches for it, which is not one of yours"
    return fail("E905", message, place=place, help=help_text, notes=notes)


def _not_valid(place: str, why: str) -> EditcError:
    """E906: a keyless signature that does not hold."""
    help_text = "do not use the delta: the statement, the certificate or the entry of the log was changed; or another "
    help_text += "instance of Sigstore made it, whose trust configuration you name with --trust-config"
    return fail("E906", f"the keyless signature does not hold: {why}", place=place, help=help_text)


def _trust(config: Path | None, offline: bool) -> Any:
    """The trust configuration in a file; None: that of the public good instance. Raises E918."""
    from sigstore.models import ClientTrustConfig

    if config is None:
        with _guarded():
            return ClientTrustConfig.production(offline=offline)
    try:
        return ClientTrustConfig.from_json(config.read_text("utf-8"))
    except (OSError, ValueError) as error:
        message = f"the trust configuration cannot be read: {_first_line(error)}"
        help_text = "give a client trust configuration of Sigstore, as JSON"
        raise fail("E918", message, place=str(config), help=help_text) from error


def _read_token(file: Path | None) -> str:
    """The token in a file, or that of the environment. Raises E918."""
    if file is not None:
        try:
            return file.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            message = f"the identity token cannot be read: {_first_line(error)}"
            raise fail("E918", message, place=str(file), help="check the path") from error
    from sigstore.oidc import detect_credential

    with _guarded():
        found = detect_credential()
    if not found:
        raise fail("E918", "nobody says who signs: the environment has no identity", help=TOKEN_HELP)
    return str(found)


@contextmanager
def _guarded() -> Iterator[None]:
    """Turn the errors of `sigstore` and of its connections into E918."""
    try:
        yield
    except EditcError:
        raise
    except Exception as error:  # sigstore raises its own kinds, those of its services, of requests, and ValueError
        said = _first_line(error) or type(error).__name__
        help_text = f"check the network and the token; {TOKEN_HELP}"
        raise fail("E918", f"Sigstore gave no signature: {said}", help=help_text) from error


def _first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [""])[0][:200]


def _pem(certificate: Any) -> bytes:
    """The public key of a certificate."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def _require_sigstore() -> None:
    """Raises E900 where the package is missing."""
    if missing_packages("sigstore"):
        message = "keyless signatures need sigstore, which is not installed"
        raise fail("E900", message, help=install_command("keyless"))
