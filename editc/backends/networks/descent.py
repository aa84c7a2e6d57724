"""Learn by gradient descent what a layer should output at a subject, so that an answer follows (ROME, section 3.1).

A change at the subject's last token reaches that token and later ones, in that layer and those above. So everything
else runs once: the tokens before are kept as keys and values of the attention, the layers below as states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from editc.backends.networks.batches import pad_tokens
from editc.backends.networks.hooks import skip_layers, watch_modules
from editc.backends.networks.past import cache_arguments, keys_and_values, new_cache
from editc.backends.networks.running import RunningModel
from editc.core.network import DeltaTarget, Descent, LearnedValue, ValueGoal
from editc.core.prompts import Cloze, Prompt, Spot


@dataclass(frozen=True)
class Suffixes:
    """Texts from their subject's last token on, which is column 0, with everything that is needed to run them again.

    n texts of t columns; at most c tokens stand before a subject.
    """

    ids: Any
    """(n, t): tokens."""
    positions: Any
    """(n, t): the position of each token in its own text."""
    mask: Any
    """(n, c + t): 1 where a column is text, 0 for padding."""
    past: tuple[tuple[Any, Any], ...]
    """Keys and values (n, h, c, e) of each layer for the tokens before the subject's last one."""
    lower: Any
    """(n, t, d): the residual stream that enters the layer."""
    before: Any
    """(n, d): what the layer outputs at the subject."""


def descend(network: RunningModel, wish: ValueGoal, layer: int, where: DeltaTarget, how: Descent) -> LearnedValue:
    """Learn the change delta by Adam, and return it with the losses.

    The loss is the mean NLL of the answer over contexts + kl KL(before | now) at the essence + decay |delta|^2 /
    |v0|^2. delta never grows longer than clamp |v0|. Learning ends when the answer's probability reaches `enough`.
    """
    import torch

    texts, rows, answers = _tokenize(network, wish)
    suffixes = _run_and_cut(network, texts, rows, layer, where)
    contexts = len(answers)
    before = suffixes.before[:contexts].mean(0)
    size = suffixes.before[:contexts].norm(dim=1).mean()
    delta = torch.zeros_like(before, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=how.rate)
    read = _make_reader(network, suffixes, layer, where)
    base, losses = None, list[float]()
    for _ in range(how.steps + 1):
        with torch.enable_grad():
            likely, essence = _log_probabilities(network, read(delta), rows, texts, answers)
            base = essence.detach() if base is None else base
            apart = (base.exp() * (base - essence)).sum()
            loss = -likely.mean() + how.kl * apart + how.decay * (delta @ delta) / size**2
        losses.append(float(loss.detach()))
        probability = float(likely.detach().mean().exp())
        if probability >= how.enough or len(losses) > how.steps:
            break
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            delta.mul_(min(1.0, how.clamp * float(size) / max(float(delta.norm()), 1e-30)))
    found, v0 = (one.detach().double().numpy() for one in (delta, before))
    return LearnedValue(found, v0, tuple(losses), probability)


def _tokenize(network: RunningModel, wish: ValueGoal) -> tuple[list[tuple[int, ...]], list[int], list[tuple[int, ...]]]:
    """Tokenize the contexts and then the essence. Return the texts, the subject's row in each, and the answers' tokens.

    Each context has its answer behind it without the answer's last token, whose successor nobody asks for. Contexts
    whose subject is at position 0 are left out; ValueError if that leaves none.
    """
    usable = [spot for spot in wish.contexts if not network.tokenizer.place(spot).sink]
    if not usable:
        raise ValueError(
            "every context begins with the subject, at the attention sink, where no edit acts: put some words before it"
        )
    asked = [network.tokenizer.encode_cloze(Cloze(spot.prompt, wish.answer, spot.chat)) for spot in usable]
    essence = _move_off_sink(network, wish.essence)
    ids = [*(one[:-1] for one, _ in asked), network.tokenizer.encode_prompt(Prompt(essence.prompt, essence.chat)).ids]
    rows = [network.tokenizer.place(spot).row for spot in (*usable, essence)]
    return ids, rows, [one[len(one) - count :] for one, count in asked]


def _move_off_sink(network: RunningModel, essence: Spot) -> Spot:
    """Put the essence behind a full stop where its subject would be at position 0, the attention sink."""
    if not network.tokenizer.place(essence).sink:
        return essence
    before = None if essence.before is None else f". {essence.before}"
    return Spot(f". {essence.prompt}", essence.subject, essence.chat, before)


def _run_and_cut(
    network: RunningModel, texts: list[tuple[int, ...]], rows: list[int], layer: int, where: DeltaTarget
) -> Suffixes:
    """Run the whole texts once, padded on the right, and cut them at the subjects' last tokens, which become column
    0."""
    import torch

    given, mask = pad_tokens(texts)
    at, seen, cache = torch.tensor(rows), dict[str, Any](), new_cache()
    edited, whole = _edited_module(network, layer, where), (*given.shape, -1)
    inputs = {network.blocks[layer]: lambda states: seen.__setitem__("lower", states)}
    outputs = {edited: lambda states: seen.__setitem__("before", states.detach().clone().view(whole))}
    with watch_modules(inputs, outputs), torch.no_grad():
        network.decode(input_ids=given, attention_mask=mask, **cache_arguments(network.decoder, cache))
    back = torch.arange(max(rows)) - (max(rows) - at[:, None])
    ahead = at[:, None] + torch.arange(int((mask.sum(1) - at).max()))
    inside = ahead.clamp(max=given.shape[1] - 1)
    valid = torch.cat([back >= 0, ahead < mask.sum(1, keepdim=True)], dim=1).long()
    every = torch.arange(len(texts))
    past = tuple(
        (_gather_columns(keys, back), _gather_columns(values, back)) for keys, values in keys_and_values(cache)
    )
    lower = seen["lower"][every[:, None], inside]
    return Suffixes(given.gather(1, inside), ahead, valid, past, lower, seen["before"][every, at].cpu())


def _gather_columns(states: Any, columns: Any) -> Any:
    """Take the columns (n, c) of keys or values (n, h, t, e). A negative column gives the first one, which the mask
    hides."""
    import torch

    return states[torch.arange(len(states))[:, None], :, columns.clamp(min=0)].transpose(1, 2)


def _edited_module(network: RunningModel, layer: int, where: DeltaTarget) -> Any:
    """Return the module whose output changes: the layer for the residual stream, else its MLP."""
    return network.blocks[layer] if where == "stream" else network.mlps[layer]


def _make_reader(network: RunningModel, suffixes: Suffixes, layer: int, where: DeltaTarget) -> Callable[[Any], Any]:
    """Return a function from delta (d,) to the states (n, t, d) behind the final norm, with delta added to the layer's
    output in column 0."""
    import torch

    def adder(delta: Any) -> Callable[[Any], Any]:
        def add(states: Any) -> Any:
            rows = states.view(*suffixes.ids.shape, -1)
            return torch.cat([rows[:, :1] + delta.to(rows.device), rows[:, 1:]], dim=1).view(states.shape)

        return add

    def read(delta: Any) -> Any:
        cache = new_cache(suffixes.past) if suffixes.past[0][0].shape[2] else None
        given = {"input_ids": suffixes.ids, "attention_mask": suffixes.mask, "position_ids": suffixes.positions}
        outputs = {_edited_module(network, layer, where): adder(delta)}
        with (
            skip_layers(list(network.blocks[:layer]), suffixes.lower, network.extra_outputs),
            watch_modules(outputs=outputs),
        ):
            return network.decode(**given, **cache_arguments(network.decoder, cache))

    return read


def _log_probabilities(
    network: RunningModel, states: Any, rows: list[int], texts: Any, answers: list[Any]
) -> tuple[Any, Any]:
    """Return the log-probability (contexts,) of each whole answer, and those (v,) of the token that follows the
    essence.

    One product with the output embedding serves both, because it is most of a small model's weights.
    """
    import torch

    ends = [len(text) - row for text, row in zip(texts, rows, strict=True)]
    places = [(i, ends[i] - len(answer) + k) for i, answer in enumerate(answers) for k in range(len(answer))]
    lines, columns = zip(*places, (len(texts) - 1, ends[-1] - 1), strict=True)
    likely = network.logits(states[list(lines), list(columns)]).log_softmax(-1)
    tokens = [token for answer in answers for token in answer]
    parts = likely[range(len(tokens)), tokens].split([len(answer) for answer in answers])
    return torch.stack([part.sum() for part in parts]), likely[-1]
