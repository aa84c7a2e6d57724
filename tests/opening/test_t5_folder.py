"""The encoder of a T5 without torch and transformers: the same tokens and rows, and whatever is unusual is left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_families
import torch
from safetensors.torch import load_file, save_file

from editc.backends.encoders import load
from editc.backends.encoders.t5_text import position_buckets
from editc.core.diagnostics import EditcError
from editc.opening.t5_folder import open_t5

TEXTS = (
    "a red circle on sand",
    "  two   spaces\tand\nlines ",
    "caf\u00e9 na\u00efve \ufb01 \u2460 \u30ab\u30bf",
    "</s> inside <pad> <unk> and <extra_id_1>!",
    "",
    "circle " * 60,
    "it's 12345, don't",
)
LENGTH = 40
SENTINELS = ("<extra_id_1>", "<extra_id_0>")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a T5 and its tokenizer, as transformers saves them."""
    place = tmp_path_factory.mktemp("t5")
    tiny_families.t5(32, 3).save_pretrained(place / "text_encoder")
    tiny_families.t5_tokenizer().save_pretrained(place / "tokenizer")
    return place


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "m")
    return tmp_path / "m"


def edit_json(path: Path, **changes: Any) -> None:
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))


def change_tensors(place: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = place / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({name: one.contiguous() for name, one in tensors.items()}, file, {"format": "pt"})


def make_network(place: Path, dtype: torch.dtype = torch.float32, shard: str = "5GB", **settings: Any) -> None:
    """Another encoder in the folder: random, with these settings."""
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(5)
    known = T5Config.from_pretrained(place / "text_encoder").to_dict() | settings
    known = {name: value for name, value in known.items() if name not in ("dense_act_fn", "is_gated_act")}
    shutil.rmtree(place / "text_encoder")
    T5EncoderModel(T5Config(**known)).to(dtype).save_pretrained(place / "text_encoder", max_shard_size=shard)


def publish_tokenizer(place: Path) -> None:
    """The tokenizer's files as FLUX and SD 3 have them: sentinels, flags of added tokens, a map, a table of
    characters."""
    file = place / "tokenizer" / "tokenizer.json"
    said = json.loads(file.read_text())
    first = len(said["model"]["vocab"])
    said["model"]["vocab"] += [[name, 0.0] for name in SENTINELS]
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}
    added = {number: {"content": word, **flags} for number, word in enumerate(("<pad>", "</s>", "<unk>"))}
    added |= {first + i: {"content": name, **flags, "lstrip": True, "rstrip": True} for i, name in enumerate(SENTINELS)}
    said["added_tokens"] = [{"id": number, **one, "lstrip": False, "rstrip": False} for number, one in added.items()]
    said["pre_tokenizer"]["pretokenizers"][1] = {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True}
    said["padding"] = {
        "strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    file.write_text(json.dumps(said))
    edit_json(
        place / "tokenizer" / "tokenizer_config.json",
        added_tokens_decoder={str(number): one for number, one in added.items()},
        additional_special_tokens=list(SENTINELS),
        extra_ids=2,
        clean_up_tokenization_spaces=True,
        legacy=True,
        sp_model_kwargs={},
        add_prefix_space=True,
        backend=None,
        extra_special_tokens=None,
    )
    marks = {"eos_token": {"content": "</s>", **flags}, "pad_token": "<pad>", "unk_token": "<unk>"}
    (place / "tokenizer" / "special_tokens_map.json").write_text(
        json.dumps({"additional_special_tokens": list(SENTINELS), **marks})
    )


def assert_same_as_transformers(place: Path) -> None:
    """Tokens and rows are those of transformers, with padding and without."""
    light = open_t5(place, "text_encoder")
    assert light is not None
    (tokenize, model, _), (theirs, other) = light, load._load_part(place, "text_encoder", True)
    assert tokenize is not None
    tokens, wanted = tokenize(TEXTS, LENGTH), theirs(TEXTS, LENGTH)
    np.testing.assert_array_equal(tokens.ids, wanted.ids)
    np.testing.assert_array_equal(tokens.seen, wanted.seen)
    assert [list(map(tuple, one)) for one in tokens.spans] == [list(one) for one in wanted.spans]
    for seen in (None, tokens.seen):
        found, known = model.rows(tokens.ids, seen), other.rows(tokens.ids, seen)
        for rows, rows_wanted in zip(found, known, strict=True):
            np.testing.assert_allclose(rows, rows_wanted[: len(rows)], rtol=1e-4, atol=2e-5)
    assert [len(rows) for rows in model.rows(tokens.ids, tokens.seen)] == tokens.seen.sum(1).tolist()
    (ball,), (known_ball,) = model.bounds(), other.bounds()
    np.testing.assert_array_equal(ball.gamma, known_ball.gamma)
    assert (ball.radius, ball.centred, ball.proven) == (known_ball.radius, known_ball.centred, known_ball.proven)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"feed_forward_proj": "relu"},
        {"d_kv": 5, "num_heads": 3, "layer_norm_epsilon": 1e-3, "num_layers": 3},
        {"relative_attention_num_buckets": 16, "relative_attention_max_distance": 20},
        {"dtype": torch.bfloat16},
        {"dtype": torch.float16},
        {"shard": "20KB"},
    ],
    ids=lambda one: " ".join(map(str, one)) or "as saved",
)
def test_rows_are_those_of_transformers(settings: dict[str, Any], folder: Path) -> None:
    make_network(folder, **settings)
    assert ("shard" in settings) == (folder / "text_encoder" / "model.safetensors.index.json").exists()
    assert_same_as_transformers(folder)


def test_a_tokenizer_as_published_cuts_as_that_of_transformers(folder: Path) -> None:
    publish_tokenizer(folder)
    make_network(folder, vocab_size=1200)
    assert_same_as_transformers(folder)


def test_a_whole_t5_is_read_without_its_decoder(folder: Path) -> None:
    tied, more = "encoder.embed_tokens.weight", {"decoder.final_layer_norm.weight": torch.ones(32)}
    change_tensors(folder, lambda one: one.update(more | {tied: one["shared.weight"].clone()}))
    assert_same_as_transformers(folder)


def test_distances_fall_into_the_buckets_of_transformers() -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distances = np.arange(-1100, 1101)
    for buckets, limit in ((32, 128), (16, 20), (64, 512), (8, 1000)):
        known = T5Attention._relative_position_bucket(torch.from_numpy(distances), True, buckets, limit)
        np.testing.assert_array_equal(position_buckets(distances, buckets, limit), known.numpy())


@pytest.mark.parametrize("masked", [True, False])
def test_the_rows_of_a_prompt_do_not_depend_on_those_beside_it(whole: Path, masked: bool) -> None:
    """To the last bit: prompts are encoded in groups, and their rows are cached one by one."""
    light = open_t5(whole, "text_encoder")
    assert light is not None and light[0] is not None
    tokenize, model = light[0], light[1]
    tokens = tokenize(TEXTS, LENGTH)
    together = model.rows(tokens.ids, tokens.seen if masked else None)
    for index, text in enumerate(TEXTS):
        one = tokenize([text], LENGTH)
        np.testing.assert_array_equal(model.rows(one.ids, one.seen if masked else None)[0], together[index])


def test_an_encoder_is_opened_without_torch_and_transformers(whole: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from editc.backends.encoders.load import PartLoader, load_streams\n"
        "from editc.opening.t5_folder import open_t5\n"
        "from editc.registry.families import FAMILIES\n"
        "parts = PartLoader(Path(sys.argv[1]), open_t5=open_t5)\n"
        "encoder = load_streams(parts, FAMILIES.resolve('pixart').streams)['text']\n"
        "print(encoder.encode(['a red circle'])[0].rows.shape, parts.runners())\n"
        "print({'torch', 'transformers'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", program, whole], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["(5, 32) {'text_encoder': 'numpy'}", "set()"]


UNUSUAL: dict[str, Callable[[Path], object]] = {
    "another activation": lambda one: edit_json(one / "text_encoder" / "config.json", feed_forward_proj="gated-silu"),
    "an activation of its own": lambda one: edit_json(one / "text_encoder" / "config.json", dense_act_fn="gelu"),
    "no settings": lambda one: edit_json(one / "text_encoder" / "config.json", d_kv=None),
    "damaged settings": lambda one: (one / "text_encoder" / "config.json").write_text("{"),
    "a missing tensor": lambda one: change_tensors(one, lambda t: t.pop("encoder.final_layer_norm.weight")),
    "a tensor more": lambda one: change_tensors(one, lambda t: t.update(more=torch.ones(3))),
    "other embeddings": lambda one: change_tensors(
        one, lambda t: t.update({"encoder.embed_tokens.weight": t["shared.weight"] + 1})
    ),
    "a tensor of another shape": lambda one: change_tensors(
        one, lambda t: t.update({"encoder.final_layer_norm.weight": torch.ones(3)})
    ),
    "whole numbers": lambda one: change_tensors(
        one, lambda t: t.update({"encoder.final_layer_norm.weight": torch.ones(32, dtype=torch.int32)})
    ),
}


@pytest.mark.parametrize("change", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_transformers(change: Callable[[Path], object], folder: Path) -> None:
    change(folder)
    assert open_t5(folder, "text_encoder") is None


def test_values_that_are_no_numbers_are_refused_as_transformers_refuses_them(folder: Path) -> None:
    change_tensors(folder, lambda one: one["encoder.final_layer_norm.weight"].fill_(np.nan))
    with pytest.raises(EditcError) as found:
        open_t5(folder, "text_encoder")
    with pytest.raises(EditcError) as known:
        load._load_part(folder, "text_encoder", True)
    assert [str(one) for one in found.value.diagnostics] == [str(one) for one in known.value.diagnostics]


TOKENIZERS: dict[str, Callable[[Path], object]] = {
    "no tokenizer.json": lambda one: (one / "tokenizer.json").unlink(),
    "added words": lambda one: (one / "added_tokens.json").write_text('{"<new>": 911}'),
    "padding on the left": lambda one: edit_json(one / "tokenizer_config.json", padding_side="left"),
    "sentinels that are not there": lambda one: edit_json(one / "tokenizer_config.json", extra_ids=3),
    "a key that is not known": lambda one: edit_json(one / "tokenizer_config.json", split_special_tokens=True),
    "another model": lambda one: edit_json(
        one / "tokenizer.json", model=json.loads((one / "tokenizer.json").read_text())["model"] | {"type": "BPE"}
    ),
    "another class": lambda one: edit_json(one / "tokenizer_config.json", tokenizer_class="LlamaTokenizer"),
}


@pytest.mark.parametrize("change", TOKENIZERS.values(), ids=TOKENIZERS)
def test_an_unusual_tokenizer_alone_is_left_to_transformers(change: Callable[[Path], object], folder: Path) -> None:
    change(folder / "tokenizer")
    light = open_t5(folder, "text_encoder")
    assert light is not None and light[0] is None


def test_more_tokens_than_embeddings_are_told(folder: Path) -> None:
    make_network(folder, vocab_size=50)
    parts = load.PartLoader(folder, open_t5=open_t5)
    with pytest.raises(EditcError, match="has token ids up to"):
        parts.load("text_encoder", True)
