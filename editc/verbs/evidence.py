"""The functions of `editc.api` for what travels with a delta and vouches for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from editc.verbs.paths import REPORT, PathLike, Paths, as_paths, delta_at

if TYPE_CHECKING:  # each function imports what it needs, so that it starts fast
    from editc.signing.check import Signed
    from editc.signing.policy import Policy
    from editc.signing.sign import Signature


def sign(
    path: PathLike,
    key: PathLike | None = None,
    out: PathLike | None = None,
    password: str | None = None,
    identity_token: PathLike | None = None,
    trust_config: PathLike | None = None,
) -> Signature:
    """Sign a delta, or the folder of a build, with the private key in the file `key`. `password` is that of an
    encrypted key. Without a key an identity signs by Sigstore: that of the token in the file `identity_token`, else
    that of the environment. `trust_config` is the file of another instance of Sigstore than the public one. Writes the
    signature to `out`, else beside the delta or into the folder, and beside it what the delta and its report state.
    Raises EditcError."""
    from editc.core.storage.disk import check_file
    from editc.formats.exports.read import tensor_file
    from editc.signing.keyless import open_signer
    from editc.signing.keys import read_private_key
    from editc.signing.sign import KeySigner, sign

    file, delta = None if out is None else Path(out), tensor_file(delta_at(path))
    if file is not None:
        check_file(file)
    if key is not None:
        return sign(Path(path), delta, delta.parent / REPORT, KeySigner(read_private_key(Path(key), password)), file)
    with open_signer(_path(identity_token), _path(trust_config)) as signer:
        return sign(Path(path), delta, delta.parent / REPORT, signer, file)


def sbom(path: PathLike, out: PathLike | None = None) -> Path:
    """Write a delta's bill of materials, in CycloneDX 1.6, to `out`, else beside the delta. Returns the file. Raises
    EditcError."""
    from editc.core.storage.disk import check_file, guard_writes, replace_file
    from editc.formats.exports.read import read_delta, tensor_file
    from editc.signing import bom
    from editc.signing.contents import hash_file
    from editc.signing.places import bom_place

    delta = tensor_file(delta_at(path))
    file = bom_place(delta) if out is None else Path(out)
    check_file(file)
    made = bom.make_bom(read_delta(delta), delta.name, hash_file(delta))
    with guard_writes(file):
        replace_file(file, bom.to_bytes(made))
    return file


def verify_signature(
    path: PathLike,
    keys: Paths = (),
    signature: PathLike | None = None,
    policy: PathLike | None = None,
    identity: str | None = None,
    issuer: str | None = None,
    trust_config: PathLike | None = None,
) -> Signed:
    """Check that a delta, or the folder of a build, was signed by one of these public keys, or without a key by the
    `identity` that `issuer` vouches for, and not changed since, and that the file `policy` admits the delta.
    `signature` is the file of the signature, if it lies elsewhere, `trust_config` that of another instance of Sigstore.
    Raises EditcError."""
    from editc.formats.exports.read import tensor_file
    from editc.signing import trust
    from editc.signing.keyless import TrustedIdentity

    now, file = datetime.now(UTC), None if signature is None else Path(signature)
    trusted = [TrustedIdentity(identity, issuer, _path(trust_config))] if identity and issuer else []
    policies = trust.load_policies(_path(policy), as_paths(keys), trusted)
    return trust.check_admitted(Path(path), tensor_file(delta_at(path)), policies, now, file)


def find_policies(keys: Paths, policy: PathLike | None) -> Sequence[Policy]:
    """The policies that a delta must suit: that of a file, and one of keys."""
    from editc.signing import trust

    return trust.load_policies(None if policy is None else Path(policy), as_paths(keys))


def _path(given: PathLike | None) -> Path | None:
    """A path, or None where none is given."""
    return None if given is None else Path(given)
