"""vLLM's rules for LoRA folders, from its code as of 2026: read, not run. vLLM reads only some settings of PEFT's
config."""

from __future__ import annotations

from collections.abc import Iterator

from editc.formats.doctor.advice import AGAIN
from editc.formats.doctor.models import KnownModules
from editc.formats.doctor.spelling import (
    CONFIG,
    MAGNITUDES,
    WEIGHTS,
    AdapterFile,
    FileModule,
)
from editc.formats.doctor.verdict import (
    LoaderRule,
    LoaderVerdict,
    ModuleRow,
    conclude,
    config_scale,
    fits,
    lost_row,
    no_verdict,
    refuse,
    scaled_row,
)

LOADER = "vLLM"
MAX_RANK = 16
"""The largest rank that vLLM takes unless `--max-lora-rank` is given."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that `--max-lora-rank` can have."""

_HELPER, _MODEL = "vllm/lora/peft_helper.py: validate_legal", "vllm/lora/lora_model.py: from_local_checkpoint"
"""Places of the rules in vLLM's code."""

APPLIES = LoaderRule("vllm-applies", "the names and the config are ones that vLLM takes", _MODEL, "read")
FOLDER = LoaderRule("vllm-folder", f"vLLM loads a folder with {CONFIG}, not a file", _HELPER, "read")
FIELDS = LoaderRule(
    "vllm-fields", "the config lacks r, lora_alpha or target_modules", "vllm/lora/peft_helper.py: from_dict", "read"
)
RANK = LoaderRule("vllm-rank", "the rank is above the server's max_lora_rank, which is 16 by default", _HELPER, "read")
SAVED = LoaderRule("vllm-modules-to-save", "vLLM does not support modules_to_save", f"{_HELPER}; vllm #9280", "read")
DORA = LoaderRule("vllm-dora", "vLLM does not support DoRA", _HELPER, "read")
BIAS = LoaderRule("vllm-bias", "vLLM does not support a bias", _HELPER, "read")
NAMES = LoaderRule(
    "vllm-names", "a tensor is not lora_A or lora_B", "vllm/lora/utils.py: parse_fine_tuned_lora_name", "read"
)
PATTERN = LoaderRule(
    "vllm-pattern",
    "vLLM reads no rank_pattern and no alpha_pattern: every module gets lora_alpha over r",
    "vllm/lora/peft_helper.py: PEFTHelper has no such field",
    "read",
)
UNKNOWN = LoaderRule("vllm-unknown", "the model has no such module", f"{_MODEL}, check_unexpected_modules", "read")
SHAPE = LoaderRule("vllm-shape", "a matrix has another shape than the model's", "vllm/lora/layers", "read")
OTHER = LoaderRule(
    "vllm-other",
    "vLLM has its own names, layers or tensors for this kind of model or adapter, and no rule here covers them",
    _MODEL,
    "read",
)
RULES = (OTHER, APPLIES, FOLDER, FIELDS, RANK, SAVED, DORA, BIAS, NAMES, PATTERN, UNKNOWN, SHAPE)
"""All rules of this loader."""

ADVICE = {
    FOLDER.name: f"put it into a folder, as {WEIGHTS} beside its {CONFIG}",
    FIELDS.name: "write them into the config",
    SAVED.name: "set modules_to_save to null, and merge what it holds into the base",
    DORA.name: "merge the adapter, or train without DoRA",
    BIAS.name: 'set bias to "none"',
    NAMES.name: AGAIN,
    PATTERN.name: "give every module one rank and one alpha: pad with zeros",
    UNKNOWN.name: "the adapter is for another model",
    SHAPE.name: "the adapter is for a model of another size",
}
"""Rule -> what the user can do."""


def judge(adapter: AdapterFile, known: KnownModules) -> LoaderVerdict:
    """Predict what a vLLM server with LoRA enabled does with the adapter."""
    if known.kind != "language" and adapter.container not in ("delta", "gguf"):
        return no_verdict(
            LOADER, "for language models; this is for an image model" if known.kind != "unknown" else known.why
        )
    program = known.language.program
    if known.language.why_unnamed:
        return no_verdict(LOADER, known.language.why_unnamed)
    own = program is not None and bool(program.renamings or program.stacked)
    if own or adapter.config.get("fan_in_fan_out") or any(map(_has_extra_tensors, adapter)):
        return no_verdict(LOADER, OTHER.says)
    if adapter.container != "folder":
        return refuse(LOADER, FOLDER, f"FileNotFoundError: {CONFIG}", ADVICE[FOLDER.name])
    stops = list(_find_stops(adapter, known))
    if stops:
        rule = stops[0][0]
        return refuse(LOADER, rule, " ".join(text for _, text in stops), ADVICE.get(rule.name, _advise_rank(adapter)))
    return conclude(LOADER, [_row(adapter, module, known) for module in adapter], ADVICE)


def _find_stops(adapter: AdapterFile, known: KnownModules) -> Iterator[tuple[LoaderRule, str]]:
    """Yield every rule by which vLLM stops, with its error."""
    config = adapter.config
    missing = {"r", "lora_alpha", "target_modules"} - config.keys()
    if missing:
        yield FIELDS, f"ValueError: Missing required configuration fields: {sorted(missing)}"
    if config.get("modules_to_save"):
        yield SAVED, "ValueError: vLLM only supports modules_to_save being None."
    if config.get("use_dora") or any(module.kind == "dora" for module in adapter):
        yield DORA, "ValueError: vLLM does not yet support DoRA."
    rank = _rank(adapter)
    if rank > MAX_RANK:
        yield RANK, f"ValueError: LoRA rank {rank} is greater than max_lora_rank {MAX_RANK}."
    if config.get("bias", "none") != "none":
        yield BIAS, "ValueError: Adapter bias is not supported."
    odd = next((module.name for module in adapter if module.style != "peft"), None)
    if odd is not None:
        yield NAMES, f"ValueError: {odd} is unsupported LoRA weight"
    ends = {name.rpartition(".")[2] for name in known.modules}
    unknown = [_name(module) for module in adapter if _name(module).rpartition(".")[2] not in ends]
    if unknown:
        yield UNKNOWN, f"ValueError: expected target modules in [...] but received {unknown[:3]}"
    bad = next((module for module in adapter if not fits(module, known.modules.get(_name(module)), strict=True)), None)
    if bad is not None:
        yield SHAPE, f"RuntimeError: {bad.name}"


def _row(adapter: AdapterFile, module: FileModule, known: KnownModules) -> ModuleRow:
    """Predict what becomes of one module."""
    name = _name(module)
    if name not in known.modules:
        return lost_row(module, UNKNOWN)
    plain = {key: value for key, value in adapter.config.items() if not key.endswith("_pattern")}
    scale = config_scale(plain, name)
    return scaled_row(module, name, scale, config_scale(adapter.config, name), APPLIES, PATTERN)


def _has_extra_tensors(module: FileModule) -> bool:
    """True if a module has more than the two matrices of a linear layer: a bias, a base layer, an embedding."""
    extra = module.tensors.keys() - {*module.ends, *MAGNITUDES}
    return module.style == "embedding" or (bool(module.style) and bool(extra))


def _name(module: FileModule) -> str:
    """The module's name without PEFT's prefix."""
    return module.name.removeprefix("base_model.model.")


def _rank(adapter: AdapterFile) -> int:
    """The largest rank in the config and the matrices."""
    stated = adapter.config.get("r")
    return max([module.rank for module in adapter] + ([stated] if isinstance(stated, int) else []), default=0)


def _advise_rank(adapter: AdapterFile) -> str:
    """Say which `--max-lora-rank` the server needs."""
    rank = next((rank for rank in RANKS if rank >= _rank(adapter)), None)
    return f"start the server with --max-lora-rank {rank}" if rank else "write a lower rank: 512 is the most"
