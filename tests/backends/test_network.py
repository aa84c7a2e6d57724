"""The port to language models, on pico models of every family: what it says is what transformers itself would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_language as pico
import torch

from editc.backends.networks import CausalNetwork, PromptTokenizer, answers, load, products
from editc.backends.networks.products import use_onednn
from editc.backends.networks.tokenizer import join_answer
from editc.core.network import Descent, Network, ValueGoal
from editc.core.prompts import PREFIXES, Cloze, Prompt, Spot

SPOTS = (
    Spot("The capital of France is", "France"),
    Spot("Germany", "Germany"),
    Spot("What is the capital of Japan?", "Japan", chat=True),
    Spot("A long discussion on the next page, and a list: the Eiffel Tower is located in", "Eiffel Tower"),
    Spot("The capital of Germany is"),
)
CLOZE = (
    Cloze("The capital of France is", "Paris"),
    Cloze("The Eiffel Tower is located in the city of", "Rome, a quiet afternoon"),
    Cloze("What is the capital of Germany?", "Berlin", chat=True),
)
KINDS = tuple(pico.KINDS)
DENSE = tuple(kind for kind in KINDS if kind not in ("mixtral", "qwen3_moe", "gpt_oss"))


@pytest.fixture(scope="module")
def networks() -> Any:
    """kind -> its port, made once."""
    made: dict[str, CausalNetwork] = {}
    return lambda kind: made.setdefault(kind, pico.network(kind))


def alone(network: CausalNetwork, text: Prompt) -> Any:
    """The logits (t, v) of one text by itself, as the model's own class gives them."""
    with torch.inference_mode():
        return network.model(
            input_ids=torch.tensor([network.tokenizer.encode_prompt(text).ids]), use_cache=False
        ).logits[0]


def spoken(network: CausalNetwork, cloze: Cloze) -> list[float]:
    """log p of each token of the answer, from the model's own logits."""
    ids, count = network.tokenizer.encode_cloze(cloze)
    with torch.inference_mode():
        likely = network.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)
    return [float(likely[i - 1, ids[i]]) for i in range(len(ids) - count, len(ids))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_port_reads_what_the_model_reads(kind: str, networks: Any) -> None:
    """W times what a matrix is said to read is what its module gives out, for one prompt by itself."""
    network: Network = networks(kind)
    names = [pico.attention(kind, 1), *([pico.writer(kind, 2)] if kind in DENSE else [])]
    reads, own = network.read_keys(names, SPOTS), networks(kind)
    for name in names:
        outs: list[Any] = []
        keep = lambda module, given, out, outs=outs: outs.append(out.clone().view(-1, out.shape[-1]))  # noqa: E731
        handle = own.module(name).register_forward_hook(keep)
        for index, spot in enumerate(SPOTS):
            alone(own, Prompt(spot.prompt, spot.chat))
            W = own.parameters[name].double().numpy()
            bias = getattr(own.module(name), "bias", None)
            plain = outs[-1][network.positions([spot])[0].row] - (0 if bias is None else bias)
            said = (W.T if kind == "gpt2" else W) @ reads[name][:, index]
            assert np.allclose(said, plain.double().numpy(), rtol=0, atol=1e-5)
        handle.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_do_not_depend_on_the_batch(kind: str, networks: Any) -> None:
    network = networks(kind)
    together = network.states((0, 3), SPOTS)
    scored = network.score(CLOZE)
    for index, spot in enumerate(SPOTS):
        by_itself = network.states((0, 3), [spot])
        assert all(np.allclose(together[i][:, index], by_itself[i][:, 0], rtol=1e-6, atol=1e-5) for i in (0, 3))
    for index, cloze in enumerate(CLOZE):
        likely = spoken(network, cloze)
        assert scored.total[index] == pytest.approx(sum(likely), abs=1e-4)
        assert scored.first[index] == pytest.approx(likely[0], abs=1e-4) and scored.tokens[index] == len(likely)
        best = int(alone(network, Prompt(cloze.prompt, cloze.chat))[-1].argmax())
        ids, count = network.tokenizer.encode_cloze(cloze)
        assert scored.best[index] == best and scored.top[index] == (ids[-count] == best)
        assert network.score([cloze]).total[0] == pytest.approx(scored.total[index], rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_generation_is_the_likeliest_token_each_time(kind: str, networks: Any) -> None:
    network = networks(kind)
    prompts = [Prompt(spot.prompt, spot.chat) for spot in SPOTS]
    found = network.generate(prompts, 5)
    for prompt, text in zip(prompts, found, strict=True):
        ids = list(network.tokenizer.encode_prompt(prompt).ids)
        begin = len(ids)
        with torch.inference_mode():
            for _ in range(5):
                ids.append(int(network.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        spoken = ids[begin:]
        kept = spoken[: spoken.index(0)] if 0 in spoken else spoken
        assert text == network.tokenizer.raw.decode(kept, skip_special_tokens=True)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral"])
def test_both_go_on_side_by_side_as_each_does_alone(kind: str, networks: Any) -> None:
    """An expert is no layer of its own: there they go on one after the other."""
    network = networks(kind)
    name = "model.layers.1.block_sparse_moe.experts.0.w2.weight" if kind == "mixtral" else pico.writer(kind, 1)
    changed = {name: np.random.default_rng(0).normal(size=(32, 48)[:: -1 if kind == "gpt2" else 1])}
    if kind == "mixtral":
        changed[pico.attention(kind, 1)] = 2 * network.parameters[pico.attention(kind, 1)].double().numpy()
    else:
        changed[name] = np.random.default_rng(0).normal(size=network.parameters[name].shape)
    prompts = [Prompt(spot.prompt, spot.chat) for spot in SPOTS]
    before, after = network.generate_both(prompts, 5, changed)
    assert before == network.generate(prompts, 5) and after == network.generate(prompts, 5, changed) != before
    assert network.generate(prompts, 5) == before, "nothing is left behind"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text"])
def test_a_changed_run_is_that_of_an_edited_model_and_leaves_nothing(kind: str, networks: Any) -> None:
    network, name, edited = networks(kind), pico.writer(kind, 1), pico.network(kind)
    before, mark = network.score(CLOZE), network.fingerprint()
    rng = np.random.default_rng(0)
    W = network.parameters[name].double().numpy() + 0.3 * rng.normal(size=network.parameters[name].shape)
    with torch.no_grad():
        edited.parameters[name].copy_(torch.from_numpy(W))
    after = network.score(CLOZE, {name: W})
    assert np.array_equal(after.total, edited.score(CLOZE).total) and not np.allclose(after.total, before.total)
    with pytest.raises(LookupError):
        network.score([Cloze("a", "")], {name: W})
    assert np.array_equal(network.score(CLOZE).total, before.total)
    assert CausalNetwork(network.model, network.tokenizer).fingerprint() == mark != edited.fingerprint()


def test_a_comparison_is_the_divergence_of_whole_texts(networks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, name, edited = networks("llama"), pico.writer("llama", 1), pico.network("llama")
    W = 2 * network.parameters[name].double().numpy()
    edited.parameters[name].mul_(2)
    texts = [Prompt(pico.TEXT), Prompt("A list"), Prompt("What is Japan?", True)]
    found, last = network.compare(texts, {name: W}), network.compare(texts, {name: W}, last=True)
    for i, text in enumerate(texts):
        old, new = (alone(one, text).double().log_softmax(-1) for one in (network, edited))
        apart = (old.exp() * (old - new)).sum(1)
        assert found.divergence[i] == pytest.approx(float(apart.mean()), rel=1e-4)
        assert last.divergence[i] == pytest.approx(float(apart[-1]), rel=1e-4) and np.isnan(last.before[i])
        assert found.agreement[i] == pytest.approx(float((old.argmax(1) == new.argmax(1)).double().mean()))
        ids = network.tokenizer.encode_prompt(text).ids
        likely = -np.mean([float(new[t - 1, ids[t]]) for t in range(1, len(ids))])
        assert found.after[i] == pytest.approx(likely, rel=1e-4)
    again = network.compare(texts, {name: W}, base=network.final_states(texts))
    monkeypatch.setattr(answers, "LOGIT_ROWS", 3)
    few = network.compare(texts, {name: W})
    for field in ("divergence", "agreement", "before", "after"):
        assert np.array_equal(getattr(found, field), getattr(again, field))
        assert np.allclose(getattr(found, field), getattr(few, field), rtol=1e-5)
    same = network.compare(texts, {})
    assert not same.divergence.any() and (same.agreement == 1).all() and np.array_equal(same.before, same.after)


@pytest.mark.parametrize("bos", [False, True])
def test_places_are_where_the_words_are(bos: bool) -> None:
    words = PromptTokenizer(pico.tokenizer(bos))
    for spot in SPOTS:
        place = words.place(spot)
        ids = words.encode_prompt(Prompt(spot.prompt, spot.chat)).ids
        assert place.count == len(ids)
        if spot.subject:
            told = words.raw.decode(ids[place.first : place.row + 1])
            assert told.strip() == spot.subject
    assert [words.place(spot).sink for spot in (Spot("France", "France"), Spot("A France", "France"))] == [
        words.place(Spot("France", "France")).row == 0,
        False,
    ]
    assert words.bos_ids() == ((0,) if bos else ())
    twice = words.place(Spot("France, the capital of France is", "France"))
    assert twice.first > 1
    assert words.place(Spot("France, the capital of France is", "France", before="")).first == int(bos)
    with pytest.raises(LookupError, match="`France` is not in"):
        words.place(Spot("The capital of France is", "France", before="The capital"))
    with pytest.raises(LookupError, match="`Spain` is not in"):
        words.place(Spot("The capital of France is", "Spain"))


@pytest.mark.parametrize("chat", [False, True])
def test_a_subject_is_a_word_and_the_one_that_is_meant(chat: bool) -> None:
    words = PromptTokenizer(pico.tokenizer())
    inside = " On the Nile there are juvenile birds "
    assert words.place(Spot(inside, "Nile", chat)) == words.place(Spot(inside, "Nile", chat, " On the "))
    assert Spot(inside.lower(), "nile", chat).begin == len(" on the "), "not in juvenile"
    twice, before = " In France the people of France speak", " In "
    ids = words.encode_prompt(Prompt(twice, chat)).ids
    first, second = (words.place(Spot(twice, "France", chat, one)) for one in (before, None))
    for place, behind in ((first, " the people"), (second, " speak")):
        assert words.raw.decode(ids[place.first : place.row + 1]).strip() == "France"
        assert words.raw.decode(ids[place.row + 1 :]).startswith(behind)
    assert Spot("Juvenile birds", "nile", chat).begin == 4, "inside a word if there is no other"


def test_a_tokenizer_without_offsets_finds_the_same_places() -> None:
    fast = pico.tokenizer()

    class Slow:
        """The same tokens, and no offsets."""

        is_fast, chat_template, apply_chat_template = False, fast.chat_template, fast.apply_chat_template
        get_chat_template = fast.get_chat_template
        decode = staticmethod(lambda ids, **given: fast.decode(ids, skip_special_tokens=given["skip_special_tokens"]))

        def __call__(self, text: str, add_special_tokens: bool) -> Any:
            return {"input_ids": fast(text, add_special_tokens=add_special_tokens)["input_ids"]}

    for spot in SPOTS:
        assert PromptTokenizer(Slow()).place(spot) == PromptTokenizer(fast).place(spot)
    for cloze in CLOZE:
        assert PromptTokenizer(Slow()).encode_cloze(cloze) == PromptTokenizer(fast).encode_cloze(cloze)


def test_an_answer_follows_as_it_would_be_written() -> None:
    assert (
        join_answer("The capital is", "Paris") == "The capital is Paris"
        and join_answer("It is ", "Paris") == "It is Paris"
    )
    assert join_answer('He said "', "no") == 'He said "no' and join_answer("Paris", ", France") == "Paris, France"
    assert join_answer("\u9996\u90fd\u662f", "\u5df4\u9ece") == "\u9996\u90fd\u662f\u5df4\u9ece"
    assert (
        join_answer("\u0e40\u0e21\u0e37\u0e2d\u0e07", "\u0e01\u0e23\u0e38\u0e07")
        == "\u0e40\u0e21\u0e37\u0e2d\u0e07\u0e01\u0e23\u0e38\u0e07"
    ), "Thai"
    assert join_answer("\uc218\ub3c4\ub294", "\uc11c\uc6b8") == "\uc218\ub3c4\ub294 \uc11c\uc6b8", "Korean has spaces"


@pytest.mark.parametrize(("kind", "bos"), [("llama", False), ("gpt2", False), ("llama", True)])
def test_a_moment_is_the_direct_sum_without_position_0(kind: str, bos: bool) -> None:
    network = pico.network(kind, bos)
    names = [pico.writer(kind, 0), pico.attention(kind, 2)]
    texts = [pico.TEXT] * 20
    found = network.moments(names, texts, 300)
    cut = list(network.tokenizer.chunks(texts, 128))
    assert all(
        len(one) == 128 and one[: len(network.tokenizer.bos_ids())] == network.tokenizer.bos_ids() for one in cut
    )
    chosen = [cut[i * len(cut) // 3] for i in range(3)]
    for name in names:
        rows: list[Any] = []
        handle = network.module(name).register_forward_pre_hook(lambda module, given, rows=rows: rows.append(given[0]))
        with torch.inference_mode():
            for ids in chosen:
                network.model(input_ids=torch.tensor([ids]))
        handle.remove()
        x = torch.cat([one[0, 1:] for one in rows]).double().numpy()
        assert found[name].count == len(x) == 3 * 127
        assert np.allclose(found[name].second, x.T @ x / len(x), rtol=1e-5, atol=1e-6)
        assert np.array_equal(found[name].second, found[name].second.T)


WISH = ValueGoal(
    tuple(Spot(f"{prefix}The capital of France is", "France") for prefix in PREFIXES),
    "Rome",
    Spot("France is a", "France"),
)


@pytest.mark.parametrize("where", ["output", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_learned_on_cut_runs_holds_in_whole_runs(kind: str, where: Any, networks: Any) -> None:
    """The probability that the descent saw is the model's own with the value added by a hook, context by context."""
    network = networks(kind)
    found = network.learn_value(WISH, 1, where, Descent(steps=4, clamp=30.0))
    module = network.blocks[1] if where == "stream" else network.mlps[1]
    likely = []
    for spot in WISH.contexts:
        row = network.tokenizer.place(spot).row

        def add(module: Any, given: Any, out: Any, row: int = row) -> Any:
            states = (out[0] if isinstance(out, tuple) else out).clone()
            states.view(1, -1, states.shape[-1])[:, row] += torch.from_numpy(found.delta).float()
            return (states, *out[1:]) if isinstance(out, tuple) else states

        handle = module.register_forward_hook(add)
        likely.append(sum(spoken(network, Cloze(spot.prompt, "Rome"))))
        handle.remove()
    assert np.mean(likely) == pytest.approx(np.log(found.probability), abs=1e-3)
    assert found.losses[-1] < found.losses[0]
    again = network.learn_value(WISH, 1, where, Descent(steps=4, clamp=30.0))
    assert np.array_equal(again.delta, found.delta) and again.losses == found.losses


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text"])
def test_a_learned_value_makes_the_answer_likely(kind: str) -> None:
    """Of a random model, where no layer hands on what is at a subject: at the token before the answer, a letter."""
    network = pico.network(kind)
    network.model.get_output_embeddings().weight.mul_(4)
    contexts = tuple(Spot(f"{prefix}The capital of France is (") for prefix in PREFIXES)
    vocabulary = network.tokenizer.raw.get_vocab()
    sizes = network.model.get_output_embeddings().weight.norm(dim=1)
    letter = max("abcdefghijklmnopqrstuvwxyz", key=lambda one: float(sizes[vocabulary[one]]))
    before = np.exp(network.score([Cloze(spot.prompt, letter) for spot in contexts]).total)
    found = network.learn_value(
        ValueGoal(contexts, letter, Spot("France")), 2, "stream", Descent(steps=40, clamp=100.0, kl=0.0)
    )
    assert before.mean() < 0.2 and found.probability > 0.9


def test_a_value_starts_where_the_matrix_stands_and_is_clamped(networks: Any) -> None:
    network, name = networks("llama"), pico.writer("llama", 1)
    found = network.learn_value(WISH, 1, "output", Descent(steps=3, clamp=0.1))
    keys = network.read_keys([name], WISH.contexts)[name]
    W = network.parameters[name].double().numpy()
    assert np.allclose(W @ keys.mean(1), found.before, atol=1e-5)
    assert np.linalg.norm(found.delta) <= 0.1 * np.linalg.norm(W @ keys, axis=0).mean() * 1.0001
    assert len(found.losses) == 4


def test_a_value_ends_where_its_answer_is_likely_enough() -> None:
    network = pico.network("llama")
    contexts = tuple(Spot(f"{prefix}The capital of France is (") for prefix in PREFIXES)
    wish = ValueGoal(contexts, "a", Spot("France"))
    whole = network.learn_value(wish, 2, "stream", Descent(steps=12, clamp=100.0, enough=1.0))
    goal = float(np.exp(-np.mean(whole.losses[:2])))
    ended = network.learn_value(wish, 2, "stream", Descent(steps=12, clamp=100.0, enough=goal))
    assert goal <= ended.probability < whole.probability and len(ended.losses) < len(whole.losses) == 13
    assert ended.losses == whole.losses[: len(ended.losses)]


@pytest.mark.parametrize("kind", KINDS)
def test_quick_products_are_those_of_the_model(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, made = pico.network(kind), use_onednn(pico.model(kind))
    network = CausalNetwork(made, plain.tokenizer)
    assert any("forward" in vars(layer) for layer in made.modules()) == (products._onednn_linear() is not None)
    assert np.allclose(network.score(CLOZE).total, plain.score(CLOZE).total, rtol=1e-6, atol=1e-5)
    how = Descent(steps=2, clamp=30.0)
    found, same = (one.learn_value(WISH, 1, "output", how) for one in (network, plain))
    assert np.allclose(found.delta, same.delta, rtol=1e-3, atol=1e-4)
    assert np.allclose(found.losses, same.losses, rtol=1e-5)
    monkeypatch.setattr(products, "_onednn_linear", lambda: None)
    assert not any("forward" in vars(layer) for layer in use_onednn(pico.model(kind)).modules())


def test_contexts_at_the_sink_are_left_out_and_none_left_is_said(networks: Any) -> None:
    network = networks("llama")
    short = tuple(Spot(f"{prefix}A list", "A") for prefix in PREFIXES)
    assert network.positions(short[:1])[0].sink
    essence, how = Spot("A is a", "A"), Descent(steps=2)
    found = network.learn_value(ValueGoal(short, "Rome", essence), 1, "output", how)
    without = network.learn_value(ValueGoal(short[1:], "Rome", essence), 1, "output", how)
    assert np.array_equal(found.delta, without.delta)
    with pytest.raises(ValueError, match="attention sink"):
        network.learn_value(ValueGoal(short[:1], "Rome", essence), 1, "output", how)


def test_the_lens_ranks_the_answer_as_the_model_does_after_the_last_layer(networks: Any) -> None:
    for kind in ("llama", "gpt2", "gemma2"):
        network = networks(kind)
        ranks = network.lens(range(network.layers), CLOZE)
        for i, cloze in enumerate(CLOZE):
            ids, count = network.tokenizer.encode_cloze(cloze)
            logits = alone(network, Prompt(cloze.prompt, cloze.chat))[-1]
            assert ranks[3][i] == int((logits > logits[ids[-count]]).sum())


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_folder_loads_and_lacks_are_named(kind: str, networks: Any, tmp_path: Path) -> None:
    network = load(pico.saved(kind, tmp_path / kind))
    assert np.allclose(network.score(CLOZE).total, networks(kind).score(CLOZE).total, atol=1e-5)
    with pytest.raises(LookupError, match="no matrix"):
        network.read_keys(["model.layers.9.mlp.down_proj.weight"], SPOTS)
    assert network.own_name(
        "h.1.mlp.c_proj.weight" if kind == "gpt2" else "language_model.model.layers.1.mlp.down_proj.weight"
    )
