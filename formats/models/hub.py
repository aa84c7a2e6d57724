"""Fetch a model of the hub into the hub's own cache, by `huggingface_hub`, where the user allows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from editc.core.diagnostics import EditcError, fail
from editc.libraries.extras import install_command, missing_packages

ALLOWED = "EDITC_DOWNLOAD"
"""The variable of the environment by which the user allows it."""
NO = ("", "0", "false", "no", "off")
"""What it says where it forbids it."""
SETTINGS = (".json", ".txt", ".model", ".jinja")
"""Endings of settings, indices and vocabularies, which are fetched."""
WEIGHTS = ".safetensors"
"""The ending of weights that are fetched. Pickles and weights of other programs are left."""
VARIANTS = (".fp16.", ".bf16.", ".fp32.", ".non_ema.", ".ema_only.")
"""Parts of the names of weights that lie beside the same weights without them."""


def is_allowed() -> bool:
    """True where the user lets editc fetch models: `EDITC_DOWNLOAD` is set, and `HF_HUB_OFFLINE` is not."""
    wanted, offline = (os.environ.get(name, "").casefold() not in NO for name in (ALLOWED, "HF_HUB_OFFLINE"))
    return wanted and not offline


def ways_to_get(repo: str, revision: str) -> str:
    """Help for a model that is not in the cache: how to get it, and how to look into it without."""
    at = "" if revision == "main" else f" --revision {revision}"
    text = f"fetch it with `hf download {repo}{at}`, or let editc do so: {ALLOWED}=1"
    if os.environ.get("HF_HUB_OFFLINE", "").casefold() not in NO:
        text += " (HF_HUB_OFFLINE is set, so the hub is not asked)"
    tag = "" if revision == "main" else f"@{revision}"
    return f"{text}; `inspect`, `status` and `apply --dry-run` read hf://{repo}{tag} where it is"


def fetch(repo: str, revision: str, place: str, cache: Path) -> None:
    """Fetch settings and safetensors of a repository into the folder `cache`, the whole snapshot. Raises E614."""
    if missing_packages("huggingface_hub"):
        message = "huggingface-hub, which fetches models, is not installed"
        raise fail("E614", message, place=place, help=install_command("hub"))
    with _guarded(repo, place):
        from huggingface_hub import HfApi, snapshot_download

        found = HfApi(library_name="editc").model_info(repo, revision=revision, timeout=30.0)
        wanted = choose_files([one.rfilename for one in found.siblings or ()])
        if not any(name.endswith(WEIGHTS) for name in wanted):
            message = f"'{repo}' on the hub has no model in safetensors"
            raise fail("E614", message, place=place, help="name another repository, or convert its weights")
        quiet: Mapping[str, Any] = {} if sys.stderr.isatty() else {"tqdm_class": _silent()}
        snapshot_download(
            repo, revision=revision, allow_patterns=list(wanted), cache_dir=cache, library_name="editc", **quiet
        )


def choose_files(names: Sequence[str]) -> tuple[str, ...]:
    """The files of a repository that make up its model: settings, and weights in safetensors. Of a pipeline the single
    files beside its folders are left out, and everywhere the variants of weights that are there without one."""
    pipeline = "model_index.json" in names
    weights = [name for name in names if name.endswith(WEIGHTS) and not (pipeline and "/" not in name)]
    return tuple(
        name
        for name in names
        if not any(part.startswith(".") for part in PurePosixPath(name).parts)
        and (name.endswith(SETTINGS) or (name in weights and not _is_double(name, weights)))
    )


def _is_double(name: str, weights: Sequence[str]) -> bool:
    """True for a variant of weights that are there without it, in the same folder."""
    plain = [one for one in weights if not any(part in one for part in VARIANTS)]
    beside = {PurePosixPath(one).parent for one in plain}
    return name not in plain and PurePosixPath(name).parent in beside


def _silent() -> Any:
    """A progress bar that shows nothing, for output that nobody watches."""
    from tqdm.auto import tqdm

    class Silent(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        """A bar that shows nothing."""

        def __init__(self, *given: Any, **named: Any) -> None:
            named.pop("name", None)
            super().__init__(*given, **{**named, "disable": True})

    return Silent


@contextmanager
def _guarded(repo: str, place: str) -> Iterator[None]:
    """Turn what the library says into E614."""
    try:
        yield
    except EditcError:
        raise
    except Exception as error:  # the library raises OSError, ValueError, RuntimeError and those of its HTTP client
        said = (str(error).strip().splitlines() or [""])[0][:200]
        message = f"'{repo}' could not be fetched: {type(error).__name__}: {said}"
        help_text = "check the name and your network, and log in: `hf auth login`, or set HF_TOKEN"
        raise fail("E614", message, place=place, help=help_text) from error
