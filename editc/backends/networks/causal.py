"""A transformers model behind the port `Network`: it computes in float32 and returns float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editc.backends.networks import answers, descent, gradients, token_scores, tracing, tuning, vocabulary
from editc.backends.networks.batches import BATCH_TOKENS, batches
from editc.backends.networks.hooks import EnoughError, watch_modules
from editc.backends.networks.running import ChangedWeights, RunningModel
from editc.core.delta import Array
from editc.core.diagnostics import fail
from editc.core.measurements import TokenScores, Tuning
from editc.core.network import (
    AnswerScores,
    Continuation,
    DeltaTarget,
    Descent,
    LearnedValue,
    ModelComparison,
    Noise,
    SecondMoment,
    TracedFacts,
    TracedTokens,
    ValueGoal,
)
from editc.core.prompts import Cloze, KnownFact, Prompt, Spot, TokenPosition

CHUNK = 128
"""Tokens in one run of ordinary text. Chosen by hand."""


class CausalNetwork(RunningModel):
    """Answers the questions of the port by running the model."""

    def tokens(self, text: str) -> tuple[int, ...]:
        """Return the ids of a text by itself, without BOS or EOS."""
        return self.tokenizer.text_ids(text)

    def spell(self, ids: Sequence[int]) -> tuple[str, ...]:
        """Return the text of each token."""
        return tuple(self.tokenizer.raw.decode([int(one)]) for one in ids)

    def layer(self, name: str) -> Any:
        """Return the module whose weight a matrix is. Raises E353 where the layers are read from files as they run."""
        if self.store is not None:
            message = "the model is read layer by layer, because memory is short, and such a model cannot be trained"
            raise fail("E353", message, help="take a machine with more memory, or a method that is solved")
        return self.module(name)

    def encode(self, asked: Cloze) -> tuple[tuple[int, ...], int]:
        """Return the tokens of prompt and answer, and how many of the last belong to the answer."""
        if asked.prompt:
            return self.tokenizer.encode_cloze(asked)
        ids = self.tokenizer.with_bos(asked.answer).ids
        if len(ids) < 2:
            raise LookupError(f"`{asked.answer}` is a single token")
        return ids, len(ids) - 1

    def run_tokens(self, ids: Any, mask: Any, layer: int | None = None) -> Any:
        """Return the states (n, t, d) behind the final norm, or those after a layer, with gradients."""
        given = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        if layer is None:
            return self.decode(**given)
        seen: list[Any] = []

        def take(states: Any) -> None:
            seen.append(states)
            raise EnoughError

        with watch_modules(outputs={self.blocks[layer]: take}):
            self.decode(**given)
        return seen[0].view(*ids.shape, -1).cpu()

    def embedding(self) -> NDArray[np.float32]:
        """Return for each token the direction (v, d) of the residual stream that raises its logit."""
        weight = self.model.get_output_embeddings().weight.detach()
        return vocabulary.logit_directions(weight[: len(self.tokenizer.raw)].cpu(), self.norm)

    def positions(self, spots: Sequence[Spot]) -> Sequence[TokenPosition]:
        """Return the row of each spot."""
        return [self.tokenizer.place(spot) for spot in spots]

    def read_keys(
        self, names: Sequence[str], spots: Sequence[Spot], changed: ChangedWeights = None
    ) -> Mapping[str, Array]:
        """Return what each matrix reads at the spots (d_in, n), its keys, by the matrix's name."""
        modules = {name: self.reader(name) for name in names}
        found: Mapping[str, Array] = self._observe(modules, spots, changed, lambda show: watch_modules(inputs=show))
        return found

    def states(
        self, layers: Sequence[int], spots: Sequence[Spot], changed: ChangedWeights = None
    ) -> Mapping[int, Array]:
        """Return the residual stream (d, n) after each layer at the spots, by the layer's number."""
        modules = {layer: self.blocks[layer] for layer in layers}
        found: Mapping[int, Array] = self._observe(modules, spots, changed, lambda show: watch_modules(outputs=show))
        return found

    def _observe(
        self, modules: Mapping[Any, Any], spots: Sequence[Spot], changed: ChangedWeights, watch: Callable[..., Any]
    ) -> Any:
        """Run the prompts of the spots and collect what passes through `modules` there: (d, n) for each module's key.

        `watch` turns functions by module into a context manager that shows them inputs or outputs. A batch stops when
        every module was seen.
        """
        ids = [self.tokenizer.encode_prompt(Prompt(spot.prompt, spot.chat)).ids for spot in spots]
        rows = np.array([place.row for place in self.positions(spots)], np.int64)
        found: dict[Any, dict[int, Array]] = {key: {} for key in modules}

        def look(key: Any, which: list[int]) -> Callable[[Any], None]:
            def show(states: Any) -> None:
                lines = states.view(len(which), -1, states.shape[-1])
                taken = lines[range(len(which)), rows[which]].cpu().double().numpy()
                found[key].update(zip(which, taken, strict=True))
                if all(which[0] in seen for seen in found.values()):
                    raise EnoughError

            return show

        def read(which: list[int]) -> None:
            with watch({module: look(key, which) for key, module in modules.items()}):
                self.run([ids[i] for i in which])

        chosen = list(batches(ids))
        with self.use_weights(changed):
            list(self.each([partial(read, which) for which in chosen], [sum(len(ids[i]) for i in w) for w in chosen]))
        return {key: np.stack([seen[i] for i in range(len(ids))], axis=1) for key, seen in found.items()}

    def lens(self, layers: Sequence[int], cloze: Sequence[Cloze]) -> Mapping[int, NDArray[np.int64]]:
        """Return the logit lens: for each layer the rank (n,) of each answer's first token, 0 the likeliest, if the
        model ended after that layer at the prompt's last token."""
        import torch

        asked = [self.tokenizer.encode_cloze(one) for one in cloze]
        firsts = torch.tensor([ids[len(ids) - count] for ids, count in asked])
        streams = self.states(layers, [Spot(one.prompt, "", one.chat) for one in cloze])
        found = {}
        for layer, stream in streams.items():
            with torch.inference_mode():
                logits = self.logits(self.norm(torch.from_numpy(stream.T).float()))
            found[layer] = (logits > logits.gather(1, firsts[:, None])).sum(1).numpy()
        return found

    def trace(self, known: Sequence[KnownFact], noise: Noise) -> TracedFacts:
        """Trace each known fact causally."""
        return tracing.trace_causes(self, known, noise)

    def trace_tokens(self, known: KnownFact, spots: Sequence[Spot], layer: int, noise: Noise) -> TracedTokens:
        """Trace one fact at some tokens after one layer."""
        return tracing.trace_tokens(self, known, spots, layer, noise)

    def score(self, asked: Sequence[Cloze], changed: ChangedWeights = None) -> AnswerScores:
        """Measure how likely each answer is."""
        return answers.score_answers(self, asked, changed)

    def linear_weights(self, changed: ChangedWeights = None) -> Iterator[tuple[str, Array]]:
        """Yield each linear layer's name and matrix (d_out, d_in), or (d_in, d_out) in GPT-2, without the embedding."""
        with self.use_weights(changed):
            for name, module in self.model.named_modules():
                if tuning.is_linear(module) and module is not self.model.get_output_embeddings():
                    yield f"{name}.weight", module.weight.detach().double().cpu().numpy()

    def score_tokens(self, asked: Sequence[Cloze], changed: ChangedWeights = None) -> tuple[TokenScores, ...]:
        """Score every token of each answer."""
        return token_scores.score_tokens(self, asked, changed)

    def sample(
        self,
        prompts: Sequence[Prompt],
        tokens: int,
        times: int,
        seed: int,
        changed: ChangedWeights = None,
        without: Sequence[Sequence[str]] = (),
    ) -> tuple[tuple[str, ...], ...]:
        """Return how the model continues each prompt when tokens are drawn by their probability."""
        return token_scores.sample_continuations(self, prompts, tokens, times, seed, changed, without)

    def tune(
        self, asked: Sequence[Cloze], how: Tuning, changed: ChangedWeights, watch: Callable[[int, float], bool]
    ) -> Mapping[str, Array]:
        """Train factors on the answers, and return the trained weights; see `tuning.tune`."""
        return tuning.tune(self, asked, how, changed, watch)

    def compare(
        self,
        texts: Sequence[Prompt],
        changed: Mapping[str, Array],
        last: bool = False,
        base: Sequence[Array] | None = None,
    ) -> ModelComparison:
        """Compare the base with the model as changed, whose weights keep their shapes; see `answers.compare_models`."""
        return answers.compare_models(self, texts, changed, last, base)

    def final_states(self, texts: Sequence[Prompt]) -> tuple[Array, ...]:
        """Return the states (t, d) of each text behind the final norm."""
        return answers.final_states(self, texts)

    def generate(self, prompts: Sequence[Prompt], tokens: int, changed: ChangedWeights = None) -> tuple[str, ...]:
        """Return how the model continues each prompt, taking the likeliest token each time."""
        return answers.continue_prompts(self, prompts, tokens, changed)

    def generate_tokens(
        self, prompts: Sequence[Prompt], tokens: int, changed: ChangedWeights = None
    ) -> tuple[Continuation, ...]:
        """Return the same continuations token by token, with the log-probability of each."""
        return answers.generate_tokens(self, prompts, tokens, changed)

    def generate_both(
        self, prompts: Sequence[Prompt], tokens: int, changed: Mapping[str, Array]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return how the base and the changed model, whose weights keep their shapes, continue each prompt."""
        return answers.continue_with_both(self, prompts, tokens, changed)

    def moments(self, names: Sequence[str], texts: Sequence[str], tokens: int) -> Mapping[str, SecondMoment]:
        """Return the second moment (d_in, d_in) of what each matrix reads in ordinary text, by the matrix's name.

        Runs of 128 tokens are spread evenly over the texts, about `tokens` tokens in all. Position 0 is left out.
        """
        cut = list(self.tokenizer.chunks(texts, CHUNK))
        count = min(len(cut), -(-tokens // (CHUNK - 1)))
        chosen = [cut[i * len(cut) // count] for i in range(count)]
        modules = {name: self.reader(name) for name in names}
        sums: dict[str, Any] = {}

        def look(name: str, seen: set[str]) -> Callable[[Any], None]:
            def show(states: Any) -> None:
                rows = states.view(-1, CHUNK, states.shape[-1])[:, 1:].reshape(-1, states.shape[-1])
                sums[name] = sums.get(name, 0.0) + (rows.T @ rows).cpu().double()
                seen.add(name)
                if len(seen) == len(modules):
                    raise EnoughError

            return show

        def add(some: Sequence[Sequence[int]]) -> None:
            seen: set[str] = set()
            with watch_modules(inputs={module: look(name, seen) for name, module in modules.items()}):
                self.run(some)

        size = BATCH_TOKENS // CHUNK
        parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        list(self.each([partial(add, some) for some in parts], [CHUNK * len(some) for some in parts]))
        read = sum(len(one) - 1 for one in chosen)
        return {name: SecondMoment((sums[name] / read).numpy(), read) for name in names}

    def learn_value(
        self, wish: ValueGoal, layer: int, where: DeltaTarget, how: Descent, changed: ChangedWeights = None
    ) -> LearnedValue:
        """Learn what to add at the subject's last token, so that the answer follows."""
        with self.use_weights(changed), self.store.hold(layer) if self.store else nullcontext():
            return descent.descend(self, wish, layer, where, how)

    def answer_gradients(
        self, names: Sequence[str], asked: Sequence[Cloze], changed: ChangedWeights = None
    ) -> Mapping[str, tuple[Array, Array, NDArray[np.int64]]]:
        """Return keys and gradients at the tokens before the answers, by the matrix's name."""
        return gradients.answer_gradients(self, names, asked, changed)
