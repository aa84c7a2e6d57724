"""The text model of CLIP without torch and transformers: the same tokens and rows, and whatever is unusual is left."""

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
import tiny
from safetensors.numpy import load_file, save_file
from transformers import CLIPTokenizerFast

from editc.backends.encoders import load, recent_rows
from editc.backends.encoders.clip_text import ClipText
from editc.core.family import CLIP_ROWS, Take
from editc.demo import MODEL
from editc.opening.clip_folder import open_clip

TEXTS = (
    "a red circle on sand",
    "  Two   spaces\tand\nlines ",
    "Café naïve Ünïcödé ﬁ Å",
    "it's 12345 o'clock, DON'T!",
    "日本語 テキスト 😀 🧑‍🚀",
    "<|endoftext|> inside <|STARTOFTEXT|>",
    "",
    "word " * 60,
    "x_y-z/../\\ ~`!@#$%^&*()",
    "cat</w> nbsp em",
)
TAKES: tuple[Take, ...] = ("last", "pooled", "penultimate", "final")


def folder_of(place: Path, projected: bool = False, **changes: Any) -> Path:
    """A pipeline folder with the demo's tokenizer and a random text encoder, whose settings are changed."""
    model = tiny.clip(32, 5, 3, projected)
    model.save_pretrained(place / "text_encoder")
    edit_json(place / "text_encoder" / "config.json", **changes)
    shutil.copytree(MODEL / "tokenizer", place / "tokenizer")
    return place


def edit_json(path: Path, **changes: Any) -> None:
    said = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in said.items() if value is not None}))


@pytest.mark.parametrize(
    ("projected", "changes"),
    [
        (False, {}),
        (True, {}),
        (False, {"hidden_act": "gelu", "layer_norm_eps": 1e-3}),
        (False, {"eos_token_id": 2}),
        (True, {"eos_token_id": 2, "hidden_act": "gelu"}),
    ],
)
def test_rows_are_those_of_transformers(projected: bool, changes: dict[str, Any], tmp_path: Path) -> None:
    place = folder_of(tmp_path, projected, **changes)
    light = open_clip(place, "text_encoder")
    assert light is not None
    (tokenize, model), (theirs, other) = light, load._load_part(place, "text_encoder", False)
    tokens, wanted = tokenize(TEXTS), theirs(TEXTS)
    np.testing.assert_array_equal(tokens.ids, wanted.ids)
    np.testing.assert_array_equal(tokens.seen, wanted.seen)
    assert [list(map(tuple, one)) for one in tokens.spans] == [list(one) for one in wanted.spans]
    for take in TAKES:
        for seen in (None, tokens.seen):
            np.testing.assert_allclose(
                model.rows(tokens.ids, seen, take), other.rows(tokens.ids, seen, take), rtol=1e-4, atol=2e-5
            )
        (ball,), (known,) = model.bounds(take), other.bounds(take)
        assert ball.proven == known.proven
        np.testing.assert_allclose(ball.gamma, known.gamma)


def test_the_pooled_rows_go_on_from_the_rows_that_were_just_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are the same bit for bit. A control: other prompts, or other padding, begin anew, and so do prompts that
    others have displaced."""
    light, fresh = open_clip(folder_of(tmp_path, True), "text_encoder"), open_clip(tmp_path, "text_encoder")
    assert light is not None and fresh is not None
    (tokenize, model), (_, plain) = light, fresh
    tokens = tokenize(TEXTS)
    attended = list[str]()
    attend = ClipText._attend

    def counting(self: ClipText, name: str, *given: Any) -> Any:
        attended.append(name)
        return attend(self, name, *given)

    wanted = plain.rows(tokens.ids, None, "pooled")
    rows = model.rows(tokens.ids, None, "penultimate")
    np.testing.assert_array_equal(rows, plain.rows(tokens.ids, None, "penultimate"))
    rows[:] = 0
    monkeypatch.setattr(ClipText, "_attend", counting)
    np.testing.assert_array_equal(model.rows(tokens.ids[2:5], None, "pooled"), wanted[2:5])
    np.testing.assert_array_equal(model.rows(tokens.ids, None, "pooled"), wanted)
    assert len(attended) == 2
    layers = model.settings.layers
    for other in (tokens.ids[:, ::-1], tokens.ids):
        attended.clear()
        model.rows(other, tokens.seen, "pooled")
        assert len(attended) == layers
    monkeypatch.setattr(recent_rows, "PROMPTS", 2)
    model.rows(tokens.ids[:4], tokens.seen[:4], "penultimate")
    attended.clear()
    model.rows(tokens.ids[1:3], tokens.seen[1:3], "pooled")
    assert len(attended) == layers


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_are_read_as_they_are_stored_whatever_the_settings_say(dtype: str, tmp_path: Path) -> None:
    """SDXL's config.json says float16, and its files hold float32."""
    place = folder_of(tmp_path, dtype=dtype)
    light = open_clip(place, "text_encoder")
    assert light is not None
    (tokenize, model), (_, other) = light, load._load_part(place, "text_encoder", False)
    ids = tokenize(TEXTS).ids
    np.testing.assert_allclose(model.rows(ids, None, "last"), other.rows(ids, None, "last"), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
def test_a_tokenizer_in_one_file_cuts_as_that_of_transformers(pad: str, legacy: bool, tmp_path: Path) -> None:
    """As transformers 5 saves tokenizers; with `legacy` as 4 did, which wrote merges as text and flags beside it."""
    place = folder_of(tmp_path)
    tokenizer = CLIPTokenizerFast.from_pretrained(MODEL / "tokenizer", pad_token=pad)
    tokenizer(["a"], padding="max_length", truncation=True)  # leaves its padding in the file
    shutil.rmtree(place / "tokenizer")
    tokenizer.save_pretrained(place / "tokenizer")
    assert not (place / "tokenizer" / "vocab.json").exists()
    file = place / "tokenizer" / "tokenizer.json"
    said = json.loads(file.read_text())
    if legacy:
        said["model"]["merges"] = [" ".join(pair) for pair in said["model"]["merges"]]
        file.write_text(json.dumps(said))
        added = {str(one.pop("id")): one for one in said["added_tokens"]}
        edit_json(place / "tokenizer" / "tokenizer_config.json", added_tokens_decoder=added, errors="replace")
    light = open_clip(place, "text_encoder")
    assert light is not None
    tokens, wanted = light[0]([*TEXTS, "now!"]), load._load_part(place, "text_encoder", False)[0]([*TEXTS, "now!"])
    np.testing.assert_array_equal(tokens.ids, wanted.ids)
    np.testing.assert_array_equal(tokens.seen, wanted.seen)
    assert [list(map(tuple, one)) for one in tokens.spans] == [list(one) for one in wanted.spans]


def test_added_tokens_are_found_as_their_settings_say(tmp_path: Path) -> None:
    """As SDXL's and FLUX's tokenizer_config.json say them, beside vocab.json and merges.txt."""
    place = folder_of(tmp_path)
    words = json.loads((place / "tokenizer" / "vocab.json").read_text())
    flags = {"lstrip": False, "normalized": True, "rstrip": True, "single_word": False, "special": True}
    added = {str(words[word]): {"content": word, **flags} for word in ("!", "<|startoftext|>", "<|endoftext|>")}
    edit_json(place / "tokenizer" / "tokenizer_config.json", added_tokens_decoder=added)
    light = open_clip(place, "text_encoder")
    assert light is not None
    texts = [*TEXTS, "now! then", "<|endoftext|> more"]
    tokens, wanted = light[0](texts), load._load_part(place, "text_encoder", False)[0](texts)
    np.testing.assert_array_equal(tokens.ids, wanted.ids)
    assert [list(map(tuple, one)) for one in tokens.spans] == [list(one) for one in wanted.spans]


def test_the_rows_of_a_prompt_do_not_depend_on_those_beside_it() -> None:
    """To the last bit: else a build that finds some of them in the cache would make another delta."""
    light = open_clip(MODEL, "text_encoder")
    assert light is not None
    tokenize, model = light
    together = model.rows(tokenize(TEXTS).ids, None, "last")
    for index, text in enumerate(TEXTS):
        np.testing.assert_array_equal(model.rows(tokenize([text]).ids, None, "last")[0], together[index])


def test_the_demo_is_opened_without_torch_and_transformers() -> None:
    program = (
        "import sys\n"
        "from editc.backends.encoders.load import PartLoader, load_streams\n"
        "from editc.core.family import CLIP_ROWS\n"
        "from editc.demo import MODEL\n"
        "from editc.opening.clip_folder import open_clip\n"
        "encoder = load_streams(PartLoader(MODEL, open_clip), CLIP_ROWS)['text']\n"
        "print(encoder.encode(['a red circle'])[0].rows.shape)\n"
        "print({'torch', 'transformers'} & sys.modules.keys())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["(32, 128)", "set()"]


def _weights(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def write(place: Path) -> None:
        file = place / "text_encoder" / "model.safetensors"
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)

    return write


def _config(part: str, **changes: Any) -> Callable[[Path], None]:
    name = "config.json" if part == "text_encoder" else "tokenizer_config.json"
    return lambda place: edit_json(place / part / name, **changes)


UNUSUAL: dict[str, Callable[[Path], object]] = {
    "another activation": _config("text_encoder", hidden_act="silu"),
    "no settings": _config("text_encoder", hidden_size=None),
    "damaged settings": lambda place: (place / "text_encoder" / "config.json").write_text("{"),
    "a missing tensor": _weights(lambda one: one.pop(min(one))),
    "a tensor more": _weights(lambda one: one.update(more=np.ones(3, np.float32))),
    "a tensor of another shape": _weights(lambda one: one.update({max(one): np.ones(3, np.float32)})),
    "not a number": _weights(lambda one: one[max(one)].fill(np.nan)),
    "a damaged tokenizer.json": lambda place: (place / "tokenizer" / "tokenizer.json").write_text("{}"),
    "an added word": _config("tokenizer", added_tokens_decoder={"1": {"content": '"', "special": False}}),
    "an added token without a place": _config(
        "tokenizer", added_tokens_decoder={"911": {"content": "<new>", "special": True}}
    ),
    "added tokens": lambda place: (place / "tokenizer" / "added_tokens.json").write_text('{"<new>": 911}'),
    "letters as they are": _config("tokenizer", do_lower_case=False),
    "padding on the left": _config("tokenizer", padding_side="left"),
    "a key that is not known": _config("tokenizer", additional_special_tokens=["<new>"]),
    "no length": _config("tokenizer", model_max_length=None),
    "more tokens than positions": _config("tokenizer", model_max_length=99),
    "no merges": lambda place: (place / "tokenizer" / "merges.txt").unlink(),
    "another class": _config("tokenizer", tokenizer_class="T5Tokenizer"),
}


@pytest.mark.parametrize("change", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_transformers(change: Callable[[Path], object], tmp_path: Path) -> None:
    place = folder_of(tmp_path)
    assert open_clip(place, "text_encoder") is not None
    change(place)
    assert open_clip(place, "text_encoder") is None


def test_the_special_tokens_of_two_files_must_agree(tmp_path: Path) -> None:
    place = folder_of(tmp_path)
    marks = place / "tokenizer" / "special_tokens_map.json"
    edit_json(marks, pad_token={"content": "<|endoftext|>", "normalized": False})
    assert open_clip(place, "text_encoder") is not None
    edit_json(marks, pad_token="!")
    assert open_clip(place, "text_encoder") is None


def test_an_encoder_of_a_stream_is_the_same(tmp_path: Path) -> None:
    place = folder_of(tmp_path)
    light = load.load_streams(load.PartLoader(place, open_clip), CLIP_ROWS, "mark")["text"]
    whole = load.load_streams(load.PartLoader(place), CLIP_ROWS, "mark")["text"]
    for one, other in zip(light.encode(TEXTS), whole.encode(TEXTS), strict=True):
        assert (one.prompt, one.tokens, one.start, one.end) == (other.prompt, other.tokens, other.start, other.end)
        np.testing.assert_allclose(one.rows, other.rows, rtol=1e-4, atol=2e-5)
