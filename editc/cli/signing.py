"""The commands `editc sign`, `editc verify-signature` and `editc sbom`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from editc.cli import terminal

if TYPE_CHECKING:  # `editc --help` imports this module, and needs none of these
    from editc.cli.show.output import Output
    from editc.signing.check import Signed
    from editc.signing.contents import Contents
    from editc.signing.sign import Signature
    from editc.signing.statement import Statement

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""


TRUST_CONFIG = click.option(
    "--trust-config", type=PATH, metavar="FILE", help="The trust configuration of another instance of Sigstore."
)
"""The option of keyless signatures."""


@click.command()
@click.argument("delta", type=PATH)
@click.option("--key", type=PATH, metavar="FILE", help="The private key, in PEM: P-256.")
@click.option("--password-env", metavar="NAME", help="The variable of the environment that has the key's password.")
@click.option("--keyless", is_flag=True, help="Sign by an identity, with Sigstore, in place of a key.")
@click.option(
    "--identity-token", type=PATH, metavar="FILE", help="With --keyless: the OpenID token [default: the environment's]."
)
@TRUST_CONFIG
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Write the signature here [default: DELTA.sig].")
@terminal.json_option
def sign(
    delta: Path,
    key: Path | None,
    password_env: str | None,
    keyless: bool,
    identity_token: Path | None,
    trust_config: Path | None,
    out: Path | None,
    json_: bool,
) -> int:
    """Sign a delta, or all files in the folder of a build.

    The signature is one that OpenSSF Model Signing reads. It lies beside the delta; that of a folder is the file
    model.sig in it."""
    from editc.verbs import evidence as api

    if keyless == (key is not None):
        raise click.UsageError("say who signs: either --key FILE or --keyless")
    sigstore = (identity_token, trust_config)
    if not keyless and any(sigstore):
        raise click.UsageError("--identity-token and --trust-config go with --keyless")
    made = terminal.run_verb(api.sign, delta, key, out, _password(password_env), *sigstore)
    return terminal.print_answer(show_signature(made), (), json_)


@click.command("verify-signature")
@click.argument("delta", type=PATH)
@click.option("--key", type=PATH, multiple=True, metavar="FILE", help="A public key that you trust.")
@click.option("--identity", metavar="NAME", help="An identity that you trust: an email address, or that of a workflow.")
@click.option("--issuer", metavar="URL", help="With --identity: the OpenID provider that vouches for it.")
@TRUST_CONFIG
@click.option("--policy", type=PATH, metavar="FILE", help="The policy that the delta must suit.")
@click.option("--signature", type=PATH, metavar="FILE", help="The signature [default: DELTA.sig, or model.sig].")
@terminal.json_option
def verify_signature(
    delta: Path,
    key: tuple[Path, ...],
    identity: str | None,
    issuer: str | None,
    trust_config: Path | None,
    policy: Path | None,
    signature: Path | None,
    json_: bool,
) -> int:
    """Say who signed a delta, and whether it changed since."""
    from editc.verbs import evidence as api

    if (identity is None) != (issuer is None):
        raise click.UsageError("--identity and --issuer go together: who signed, and who vouches for it")
    if not key and policy is None and identity is None:
        raise click.UsageError("say whom you trust: --key FILE, --identity NAME with --issuer URL, or --policy FILE")
    found = terminal.run_verb(api.verify_signature, delta, key, signature, policy, identity, issuer, trust_config)
    return terminal.print_answer(show_signed(found), (), json_)


@click.command()
@click.argument("delta", type=PATH)
@click.option("-o", "--out", type=PATH, metavar="FILE", help="Write it here [default: DELTA.cdx.json].")
@terminal.json_option
def sbom(delta: Path, out: Path | None, json_: bool) -> int:
    """Write a delta's bill of materials, in CycloneDX."""
    from editc.cli.show.output import Output
    from editc.verbs import evidence as api

    file = terminal.run_verb(api.sbom, delta, out)
    return terminal.print_answer(Output(f"wrote {file}", {"file": str(file)}), (), json_)


def show_signature(made: Signature) -> Output:
    """The file, what is signed, and by which key."""
    from editc.cli.show.output import Output

    lines = [f"signed {_described(made.contents)}", f"{made.kind:<7} {made.fingerprint}"]
    lines += [f"wrote   {file}" for file in made.files]
    data = {"file": str(made.file), made.kind: made.fingerprint, "sha256": made.contents.digest}
    written = {"written": [str(file) for file in made.files], "files": dict(made.contents.files)}
    return Output("\n".join(lines), data | written)


def show_signed(found: Signed) -> Output:
    """Whose signature it is, and over what."""
    from editc.cli.show.output import Output

    what = f"{_described(found.contents)}: unchanged since it was signed"
    lines = [what, f"signed by {found.key.name}", f"key       {found.key.fingerprint}", f"signature {found.file}"]
    lines += [line for one in found.stated for line in _stated_lines(one)]
    data = {"file": str(found.file), "key": found.key.fingerprint, "signer": found.key.name}
    stated = [{"predicateType": one.kind, "predicate": dict(one.predicate)} for one in found.stated]
    files = {"sha256": found.contents.digest, "files": dict(found.contents.files)}
    return Output("\n".join(lines), data | files | {"stated": stated})


def _stated_lines(statement: Statement) -> Iterator[str]:
    """What one statement comes to, for people. The signer states it; editc has not measured it."""
    from editc.signing.summary import summarise

    for number, text in enumerate(summarise(statement)):
        yield f"{'stated' if not number else '':<9} {text}"


def _described(contents: Contents) -> str:
    """The name of what is signed, with the number of its files if it is a folder."""
    from editc.core.text import count

    return contents.name if len(contents.files) == 1 else f"{contents.name}, {count(len(contents.files), 'file')}"


def _password(name: str | None) -> str | None:
    """The password in a variable of the environment. None where no variable is named."""
    if name is None:
        return None
    if name not in os.environ:
        raise click.BadParameter(f"there is no variable `{name}` in the environment", param_hint="--password-env")
    return os.environ[name]
