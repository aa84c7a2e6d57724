"""The command line: read options, call one function of `editc.api`, print the result to stdout and all else to stderr.

Exit codes: 0 done (or already done); 1 it ran and the answer is no; 2 the request is wrong; 3 an input is unreadable or
not trusted; 70 a bug in editc; 130 stopped by Ctrl-C, with nothing half-written.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from pathlib import Path

import click

from editc.cli import terminal

PATH = click.Path(path_type=Path)
"""An argument that is given to the command as a `Path`."""
GC_THRESHOLD = 500_000
"""How many new objects start a collection of cyclic garbage. Chosen by hand, so large that collections are rare."""
LATE = {
    "cache": "editc.cli.cache:cache",
    "card": "editc.cli.publish:card",
    "completion": "editc.cli.completing:completion",
    "export": "editc.cli.export:export",
    "fleet": "editc.cli.fleet:fleet",
    "head": "editc.cli.head:head",
    "init": "editc.cli.init:init",
    "list": "editc.cli.start:list_",
    "log": "editc.cli.log:log",
    "onnx": "editc.cli.export:onnx",
    "pull": "editc.cli.publish:pull",
    "push": "editc.cli.publish:push",
    "schema": "editc.cli.start:schema",
    "stack": "editc.cli.stack:stack",
    "sbom": "editc.cli.signing:sbom",
    "sign": "editc.cli.signing:sign",
    "verify-signature": "editc.cli.signing:verify_signature",
    "view": "editc.cli.view:view",
}
"""Commands that are imported only when they are asked for: name -> `module:attribute`."""
EXPLAINED, FORMAT, MODEL = (
    terminal.late_completion(f"editc.cli.completing:complete_{what}") for what in ("explained", "format", "model")
)
"""What completes arguments in a shell."""
LOADER = click.Choice(["diffusers", "ComfyUI", "A1111", "PEFT", "vLLM"], case_sensitive=False)
"""The loaders that `editc doctor --for` knows."""


@click.group(cls=terminal.LateGroup, late=LATE, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="editc", message="%(package)s %(version)s")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def cli(quiet: bool) -> None:
    """A compiler for model editing: it turns a YAML manifest into a small, exact, portable weight delta."""


@cli.command()
@click.argument("manifests", type=PATH, nargs=-1, required=True, metavar="MANIFEST...")
@terminal.set_option
@click.option("--without-model", is_flag=True, help="Check the manifest alone, where its model is not on this machine.")
@terminal.json_option
def check(manifests: tuple[Path, ...], set_: tuple[str, ...], without_model: bool, json_: bool) -> int:
    """Find the mistakes in manifests, with their lines.

    No weights are read."""
    from editc.cli import show
    from editc.verbs.check import check_each

    found = terminal.run_verb(check_each, manifests, set_, without_model)
    return terminal.print_answer(
        show.check_results(found), [one for row in found.values() for one in row.diagnostics], json_
    )


@cli.command()
@click.argument("manifest", type=PATH)
@click.option("-o", "--out", type=PATH, help="Folder for the delta and the report [default: MANIFEST's name + .out].")
@click.option("--emit", multiple=True, shell_complete=FORMAT, metavar="FORMAT", help="Export to this format too.")
@terminal.set_option
@click.option(
    "--print-after",
    multiple=True,
    metavar="PASS",
    help="Print the result of this pass: locate, derive, solve, verify or emit. Stop after it.",
)
@terminal.device_option
@terminal.json_option
def build(
    manifest: Path,
    out: Path | None,
    emit: tuple[str, ...],
    set_: tuple[str, ...],
    print_after: tuple[str, ...],
    json_: bool,
) -> int:
    """Compile a manifest: solve, verify, write the delta."""
    from editc.cli import show
    from editc.verbs import public as api

    folder = manifest.with_suffix(".out") if out is None else out
    extra = [f"emit=[{', '.join(emit)}]"] if emit else []
    after = show.dump_after(print_after, terminal.print_part)
    built = terminal.run_verb(api.build, manifest, folder, [*set_, *extra], after=after)
    found = (*built.failures, *built.warnings) if built else ()
    return terminal.print_answer(show.build_result(built), found, json_)


@cli.command()
@click.argument("manifest", type=PATH)
@click.option("--dictionary", type=PATH, metavar="FILE", help="A file of names to compare with, one per line.")
@click.option("--write", type=PATH, metavar="PATH", help="Write the proposed manifest to this new file.")
@terminal.json_option
def suggest(manifest: Path, dictionary: Path | None, write: Path | None, json_: bool) -> int:
    """Propose names, targets and what to preserve; say why."""
    from editc.cli import show
    from editc.verbs import proposal
    from editc.verbs import public as api

    found = terminal.run_verb(api.suggest, manifest, dictionary, write)
    return terminal.print_answer(show.suggest_result(found), proposal.warnings(found), json_)


@cli.command()
@click.argument("delta", nargs=-1, required=True, type=PATH)
@click.option(
    "--to",
    "model",
    shell_complete=MODEL,
    required=True,
    metavar="MODEL",
    help="The model: a folder, a .safetensors or .onnx file, a hub id or editc:demo.",
)
@click.option("-o", "--out", type=PATH, help="Write the edited model here.")
@click.option("--in-place", is_flag=True, help="Edit the model itself, and write an undo journal beside it.")
@click.option(
    "--link", is_flag=True, help="With --out: hard-link large files that do not change instead of copying them."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--requantize", is_flag=True, help="Edit quantised weights (fp8, GGUF) too; report what rounding costs.")
@click.option(
    "--require-signature", multiple=True, type=PATH, metavar="KEY", help="Apply only what this public key signed."
)
@click.option("--policy", type=PATH, metavar="FILE", help="Apply only what this policy admits.")
@terminal.finetune_option
@terminal.json_option
def apply(
    delta: tuple[Path, ...],
    model: str,
    out: Path | None,
    in_place: bool,
    link: bool,
    dry_run: bool,
    requantize: bool,
    require_signature: tuple[Path, ...],
    policy: Path | None,
    allow_finetune: bool,
    json_: bool,
) -> int:
    """Apply deltas to a model: exact, atomic, without torch."""
    from editc.cli import show
    from editc.verbs import public as api

    if dry_run:
        plan = terminal.run_verb(api.plan_apply, delta, model, allow_finetune, requantize, require_signature, policy)
        return terminal.print_answer(show.apply_plan_result(plan), (), json_)
    if in_place == (out is not None):
        raise click.UsageError("say where the result goes: either --out PATH or --in-place")
    trust = {"require_signature": require_signature, "policy": policy}
    done = terminal.run_verb(api.apply, delta, model, out, in_place, allow_finetune, link, requantize, **trust)
    return terminal.print_answer(show.apply_result(*done), (), json_)


@cli.command()
@click.argument("model", shell_complete=MODEL)
@terminal.json_option
def revert(model: str, json_: bool) -> int:
    """Undo the last in-place apply, bit for bit."""
    from editc.cli import show
    from editc.verbs import public as api

    return terminal.print_answer(show.revert_result(terminal.run_verb(api.revert, model)), (), json_)


@cli.command()
@click.argument("model", shell_complete=MODEL)
@click.option("--delta", multiple=True, type=PATH, help="Look for this delta too.")
@terminal.json_option
def status(model: str, delta: tuple[Path, ...], json_: bool) -> int:
    """List the deltas in a model, found by tensor hashes."""
    from editc.cli import show
    from editc.verbs import public as api

    return terminal.print_answer(show.status_result(terminal.run_verb(api.status, model, delta)), (), json_)


@cli.command()
@click.argument("delta", type=PATH)
@click.option(
    "--model",
    shell_complete=MODEL,
    required=True,
    metavar="MODEL",
    help="The base that the delta was built on, or a fine-tune of it.",
)
@terminal.finetune_option
@terminal.detector_option
@terminal.device_option
@terminal.json_option
def verify(delta: Path, model: str, allow_finetune: bool, detector: str, json_: bool) -> int:
    """Measure every claim of a delta again."""
    from editc.cli import show
    from editc.verbs import public as api

    again = terminal.run_verb(api.verify, delta, model, allow_finetune, detector=detector)
    return terminal.print_answer(show.verify_result(again), (*again.failures, *again.warnings), json_)


@cli.command()
@click.argument("delta", type=PATH)
@click.option(
    "--model",
    shell_complete=MODEL,
    required=True,
    metavar="MODEL",
    help="The base that the delta was built for, or a fine-tune.",
)
@click.option(
    "--attacks", default="quick", show_default=True, metavar="WHICH", help="quick, thorough, or as in a manifest."
)
@click.option("--seed", type=int, metavar="N", help="Other random numbers than those of the delta's manifest.")
@terminal.finetune_option
@terminal.detector_option
@terminal.device_option
@terminal.json_option
def attack(
    delta: Path, model: str, attacks: str, seed: int | None, allow_finetune: bool, detector: str, json_: bool
) -> int:
    """Try to bring back what a delta erased."""
    from editc.cli import show
    from editc.verbs import public as api

    found = terminal.run_verb(api.attack, delta, model, attacks, detector, allow_finetune, seed)
    return terminal.print_answer(show.attack_result(found), (*found.failures, *found.warnings), json_)


@cli.command()
@click.argument("delta", nargs=-1, required=True, type=PATH)
@click.option("-o", "--out", required=True, type=PATH, help="Write the linked delta here, and a lock file beside it.")
@click.option(
    "--model",
    shell_complete=MODEL,
    metavar="MODEL",
    help="The base of the deltas; required if they edit the same tensors.",
)
@click.option("--compose", is_flag=True, help="Apply each delta to the result of those before it, in the given order.")
@terminal.detector_option
@terminal.device_option
@terminal.json_option
def link(delta: tuple[Path, ...], out: Path, model: str | None, compose: bool, detector: str, json_: bool) -> int:
    """Put several deltas into one, and measure them together."""
    from editc.cli.show import link as links
    from editc.verbs import public as api

    found = terminal.run_verb(api.link, delta, out, model, compose, detector=detector)
    return terminal.print_answer(links.link_result(found), found.failures, json_)


@cli.command()
@click.argument("base", shell_complete=MODEL)
@click.argument("edited", shell_complete=MODEL)
@click.option("-o", "--out", required=True, type=PATH, metavar="DELTA", help="Write the delta here.")
@click.option("--form", default="auto", help="shared, low-rank, dense or xor [default: the smallest that fits].")
@click.option(
    "--mend",
    default="ulp",
    help="exact: bit for bit; ulp: each weight within one ulp; none: the factors alone [default: ulp].",
)
@click.option(
    "--tolerance", type=float, help="Largest error of a weight before --mend, in roundings [default: 4, then 64]."
)
@terminal.json_option
def diff(base: str, edited: str, out: Path, form: str, mend: str, tolerance: float | None, json_: bool) -> int:
    """Make the delta that turns one checkpoint into another."""
    from editc.cli import show
    from editc.verbs import public as api

    found = terminal.run_verb(api.diff, base, edited, out, form, mend, tolerance)
    return terminal.print_answer(show.diff_result(found, out), (), json_)


@cli.command()
@click.argument("path", shell_complete=MODEL)
@terminal.json_option
def inspect(path: str, json_: bool) -> int:
    """List what is in a delta or a model."""
    from editc.cli import show
    from editc.verbs import public as api

    return terminal.print_answer(show.inspect_result(terminal.run_verb(api.inspect, path)), (), json_)


@cli.command()
@click.argument("file", type=PATH)
@click.option(
    "--model",
    shell_complete=MODEL,
    metavar="MODEL",
    help="Look up the modules in this model [default: the one that their names imply].",
)
@click.option(
    "--for", "for_", multiple=True, type=LOADER, help="Let only this loader decide the exit code [default: all]."
)
@terminal.json_option
def doctor(file: Path, model: str | None, for_: tuple[str, ...], json_: bool) -> int:
    """Say what each loader will do with an adapter file."""
    from editc.cli import show
    from editc.formats.doctor.examine import find_failures
    from editc.verbs import public as api

    found = terminal.run_verb(api.doctor, file, model, for_)
    return terminal.print_answer(show.doctor_result(found), find_failures(found), json_)


@cli.command()
@click.argument("name", shell_complete=EXPLAINED)
@terminal.json_option
def explain(name: str, json_: bool) -> int:
    """Explain a code, a measurement, a method or another word.

    For example E501, recoverable, uce, sd1 or kohya."""
    from editc.cli import show
    from editc.verbs import public as api

    return terminal.print_answer(show.explain_result(name, api.explain(name)), (), json_)


def main() -> None:
    """Run the command line and exit with one of the codes in this module's docstring.

    Collect cyclic garbage rarely: large objects here are arrays, which are freed by reference count. Collecting at
    Python's default rate took one second of ten in a build, and one more at exit. Warnings of the libraries are for
    their developers, so they are shown only if Python is told to (-W, PYTHONWARNINGS) or with EDITC_DEBUG.
    """
    gc.set_threshold(GC_THRESHOLD)
    if not sys.warnoptions and not os.environ.get("EDITC_DEBUG"):
        warnings.simplefilter("ignore")
    code = terminal.run_command(cli, sys.argv[1:])
    gc.freeze()
    sys.exit(code)
