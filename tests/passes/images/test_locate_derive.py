"""From a header to sites, and from names to rows: locate, the key rules, what is kept, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from derive_cases import ERASE, WIDTH, FakeWeights, K, V, WordEncoder, context, manifest
from hypothesis import given
from hypothesis import strategies as st

from editc.core.diagnostics import EditcError
from editc.core.ports import Context, EncodedPrompt
from editc.core.problem import Block, PreservedRows
from editc.core.text import mentions
from editc.families.images.unet import SD1, SD2
from editc.passes.images.keys.derive import Derive
from editc.passes.images.keys.rules.aligned import aligned_rows
from editc.passes.images.keys.rules.in_contexts import NAMED_SHARE
from editc.passes.images.keys.rules.last import LAST
from editc.passes.images.keys.rules.span import SPAN
from editc.passes.images.locate.locate import Locate
from editc.passes.images.rows import preserved_rows
from editc.passes.images.rows.phrases import Phrase, PromptLookup, fill_context, last_text_row
from editc.passes.images.solve.solve import Solve
from editc.passes.locate import recognise


@pytest.mark.parametrize(("proj", "name"), [((8, 8, 1, 1), "sd1"), ((8, 8), "sd2")])
def test_the_header_tells_the_families_apart(proj: tuple[int, ...], name: str) -> None:
    plan = Locate((SD1, SD2))(manifest(ERASE), context(proj=proj))
    assert plan.family.name == name
    assert [(site.name, site.role, site.shape) for site in plan.sites] == [(K, "k", (8, WIDTH)), (V, "v", (8, WIDTH))]
    assert all(plan.evidence[site.name] for site in plan.sites)


@pytest.mark.parametrize(
    ("sites", "chosen"),
    [("roles: [v]", [V]), ('include: ["*to_k*"]', [K]), ('exclude: ["*to_k*"]', [V])],
)
def test_roles_include_and_exclude_choose(sites: str, chosen: list[str]) -> None:
    plan = Locate((SD1,))(manifest(ERASE + f"sites: {{{sites}}}\n"), context())
    assert [site.name for site in plan.sites] == chosen


@pytest.mark.parametrize(
    ("sites", "kind", "code"),
    [
        ('include: ["nothing*"]', "F32", "E202"),
        ('exclude: ["*"]', "F32", "E203"),
        ("roles: [k]", "F8_E4M3", "E204"),
    ],
)
def test_choices_that_cannot_be(sites: str, kind: str, code: str) -> None:
    with pytest.raises(EditcError) as error:
        Locate((SD1,))(manifest(ERASE + f"sites: {{{sites}}}\n"), context(kind))
    assert [one.code for one in error.value.diagnostics] == [code]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("encoder_hid_proj.weight", "E206"),
        ("encoder_hid_proj.image_embeds.weight", "E206"),
        ("model.layers.0.x", "E206"),
        ("add_embedding.linear_1.weight", "E201"),
        ("whatever", "E201"),
    ],
)
def test_strangers_are_named(name: str, code: str) -> None:
    with pytest.raises(EditcError, match=code):
        Locate((SD1, SD2))(manifest(ERASE), Context(FakeWeights({name: (2, 2)})))


ATTN, MLP = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k", "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize(
    ("names", "said", "way"),
    [
        (
            (f"{ATTN}.base_layer.weight", f"{ATTN}.lora_A.default.weight"),
            "an adapter attached",
            "merge the adapter first",
        ),
        (
            (f"{MLP}.base_layer.weight", f"{MLP}.lora_A.default.weight"),
            "an adapter attached",
            "merge the adapter first",
        ),
        (
            (f"{MLP}.base_layer.weight", f"{MLP}.base_layer.weight.absmax"),
            "an adapter attached",
            "merge the adapter first",
        ),
        (("module.conv_in.weight", "module.conv_out.weight"), "DataParallel", "model.module"),
        ((f"base_model.model.{MLP}.lora_A.weight", f"base_model.model.{MLP}.lora_B.weight"), "not a model", "its base"),
        (
            ("lora_unet_x.lora_up.weight", "lora_unet_x.lora_down.weight", "lora_unet_x.alpha"),
            "not a model",
            "its base",
        ),
        ((f"unet.{ATTN}.lora.up.weight", f"unet.{ATTN}.lora.down.weight"), "not a model", "its base"),
        (("lora_unet_x.hada_w1_a", "lora_unet_x.dora_scale"), "not a model", "its base"),
    ],
)
def test_an_adapter_is_no_model_and_is_merged_first(names: Sequence[str], said: str, way: str) -> None:
    weights = FakeWeights({name: (2, 2) for name in names})
    for settings in ({}, {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}):
        with pytest.raises(EditcError) as error:
            recognise((SD1, SD2), weights, "m", settings)
        (found,) = error.value.diagnostics
        assert found.code == "E206" and said in found.message and way in found.help


@given(st.integers(3, 30), st.integers(0, 28), st.integers(1, 4), st.integers(0, 4))
def test_aligned_rows_meet_their_counterparts(total: int, first: int, count: int, width: int) -> None:
    first = min(first, total - 1)
    at, target = (
        Phrase(first, min(first + count, total)),
        Phrase(first, min(first + width, total)),
    )
    sources, counterparts = aligned_rows(total, at, target)
    pairs = dict(zip(sources.tolist(), counterparts.tolist(), strict=True))
    assert all(0 <= row < total for row in (*pairs, *[min(p, total - 1) for p in pairs.values()]))
    assert all(pairs[row] == row for row in range(first))
    assert all(pairs[row] == row + target.end - at.end for row in pairs if row >= at.end)
    inside = [pairs[row] for row in range(at.first, at.end)]
    assert inside == sorted(inside)
    if target.end > target.first:
        assert inside[-1] == target.end - 1
        if len(inside) > 1:
            assert inside[0] == target.first


def test_span_and_last_are_the_published_rows() -> None:
    assert SPAN.rows(10, 2, 10, 4) == (slice(2, 8), slice(4, 10))
    assert LAST.rows(10, 3, 10, 0) == (slice(3, 4), slice(0, 1))


def test_phrases_are_found_by_their_characters() -> None:
    book = PromptLookup.encode(
        WordEncoder(), [fill_context("a red {} here", name) for name in ("round shape", "disc", "")]
    )
    assert [book.find("a red {} here", name)[1] for name in ("round shape", "disc", "")] == [
        Phrase(3, 5),
        Phrase(3, 4),
        Phrase(3, 3),
    ]
    assert fill_context("a {} here", "") == "a here"
    assert last_text_row(book.entries["a red disc here"]) == 4


def test_what_is_kept_leaves_out_what_is_edited() -> None:
    asked = manifest(
        ERASE.replace("circle", "Red Circle") + "preserve: {prompts: [a red circle here, a circle, Circles]}\n"
    )
    assert preserved_rows.preserved_prompts(asked, ("a {}",), ()) == preserved_rows.PreservedPrompts(
        (), ("a circle", "Circles")
    )
    assert mentions("A RED-CIRCLE, please", "red circle") and not mentions("", "x")
    plain = manifest(ERASE)
    assert preserved_rows.preserved_prompts(plain, ("a {}",), ("a circle", "a dog")) == preserved_rows.PreservedPrompts(
        ("a dog",), ()
    )


@pytest.mark.parametrize("rule", ["aligned", "last", "span", "matched", "eot"])
@pytest.mark.parametrize("preserve", ["", "preserve: {concepts: [tree, house], prompts: [a dog], weight: 2}\n"])
def test_the_moment_of_what_is_kept_is_that_of_its_rows(rule: str, preserve: str) -> None:
    """For a method that asks for them row by row."""
    ctx = context()
    plan = Locate((SD1,))(manifest(f"{ERASE}    keys: {rule}\n    method: project\n{preserve}"), ctx)
    kept = Derive(("a dog", "a cat on grass"))(plan, ctx).systems["text"].preserved
    assert kept.keys.shape == (WIDTH, len(kept.weights))
    assert np.allclose((kept.keys * kept.weights) @ kept.keys.T, kept.moment)
    if rule == "last":
        assert kept.keys.shape[1] == (3 if preserve else 0)


DEFAULT = ("a dog", "a cat on grass", "two birds")
RULES = ["aligned", "last", "span", "matched", "eot"]


def kept_of(rule: str, preserve: str, default: tuple[str, ...] = DEFAULT) -> PreservedRows:
    ctx = context()
    plan = Locate((SD1,))(manifest(f"{ERASE}    keys: {rule}\n{preserve}"), ctx)
    return Derive(default)(plan, ctx).systems["text"].preserved


@pytest.mark.parametrize("weight", ["", ", weight: 2"])
@pytest.mark.parametrize("rule", RULES)
def test_what_is_named_adds_to_the_default_list_and_takes_nothing_away(rule: str, weight: str) -> None:
    """The moment grows by a positive semidefinite part, and drift is measured over the same default rows."""
    plain = kept_of(rule, f"preserve: {{{weight[2:]}}}\n" if weight else "")
    more = kept_of(rule, f"preserve: {{concepts: [tree, house], prompts: [a red tree]{weight}}}\n")
    added = np.linalg.eigvalsh(more.moment - plain.moment)
    assert added.min() > -1e-9 * np.abs(plain.moment).max() - 1e-12 and added.max() > 1e-6
    assert np.array_equal(more.rows, plain.rows) and plain.named is None
    assert more.named is not None and more.prompts[: len(DEFAULT)] == DEFAULT and "a red tree" in more.prompts


@pytest.mark.parametrize("rule", ["matched", "eot"])
def test_what_is_named_counts_a_fixed_share_of_the_default_list(rule: str) -> None:
    """To name the whole default list adds that share of it. (Aligned keys count the empty prompt besides, once.)"""
    plain, twice = kept_of(rule, ""), kept_of(rule, f"preserve: {{prompts: [{', '.join(DEFAULT)}]}}\n")
    assert np.allclose(twice.moment, (1 + NAMED_SHARE) * plain.moment)


@pytest.mark.parametrize("rule", RULES)
def test_without_the_default_list_only_what_is_named_is_kept_and_the_default_is_measured(rule: str) -> None:
    named = "concepts: [tree, house], prompts: [a red tree]"
    alone, before = (
        kept_of(rule, f"preserve: {{corpus: none, {named}}}\n"),
        kept_of(rule, f"preserve: {{{named}}}\n", ()),
    )
    assert np.array_equal(alone.moment, before.moment)
    assert np.array_equal(alone.rows, kept_of(rule, "").rows) and not alone.default and before.default
    assert alone.named is not None and np.array_equal(alone.all_rows, alone.named.rows)


@pytest.mark.parametrize(
    ("before", "name", "code"),
    [
        ("one two three four five six seven eight nine ten eleven", "circle", "E302"),
        ("one two three four five six seven eight nine", "circle of old grey stone", "E302"),
        ("a", "unheard", "E301"),
    ],
    ids=["longer than the encoder reads", "its end is", "no token"],
)
def test_names_without_rows_are_refused(before: str, name: str, code: str) -> None:
    class Blind(WordEncoder):
        def _one(self, prompt: str) -> EncodedPrompt:
            return super()._one(prompt.replace("unheard", " "))

    ctx = Context(context().weights, Blind())
    asked = manifest(f'edits:\n  - erase: "{name}"\n    to: square\ncontexts: ["{before} {{}}"]\n')
    with pytest.raises(EditcError) as error:
        Derive(("a dog",))(Locate((SD1,))(asked, ctx), ctx)
    assert [one.code for one in error.value.diagnostics] == [code]


def test_an_encoder_of_another_width_is_refused() -> None:
    ctx = context(width=WIDTH + 1)
    with pytest.raises(EditcError, match="E303"):
        Derive(("a dog",))(Locate((SD1,))(manifest(ERASE), ctx), ctx)


def test_an_edit_to_itself_is_refused_and_a_joint_solve_keeps_order_out() -> None:
    ctx = context()

    def solution(text: str):  # type: ignore[no-untyped-def]
        return Solve()(Derive(("a dog", "a cat on grass"))(Locate((SD1,))(manifest(text), ctx), ctx), ctx)

    with pytest.raises(EditcError, match="E404"):
        solution("edits:\n  - moderate: {concept: circle, toward: {square: 0}}\n")
    one, other = "  - erase: circle\n    to: square\n", "  - erase: tree\n    to: house\n"
    first, second = (solution("edits:\n" + text).edits["text"] for text in (one + other, other + one))
    assert np.allclose(first.left[0] @ first.right[0], second.left[0] @ second.right[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("expand", "first", "last_"),
    [("object", "image of circle", "painting of circle"), ("art", "painting by circle", "style of circle")],
)
@pytest.mark.parametrize("rule", ["last", "span"])
def test_expand_adds_five_phrases_with_the_same_phrase_of_the_target(
    rule: str, expand: str, first: str, last_: str
) -> None:
    block = derived_block(ERASE + f"    keys: {rule}\n    expand: {expand}\n")
    plain = derived_block(ERASE + f"    keys: {rule}\n")
    prompts = list(dict.fromkeys(label.rsplit(" ", 1)[0] for label in block.labels))
    assert (len(prompts), prompts[0], prompts[1], prompts[-1]) == (6, "circle", first, last_)
    assert np.array_equal(block.keys[:, : plain.keys.shape[1]], plain.keys)
    assert np.array_equal(block.weights, np.ones(block.keys.shape[1]))
    begin = next(i for i, label in enumerate(block.labels) if label.startswith(last_))
    old, new = WordEncoder().encode([last_, last_.replace("circle", "square")])
    assert np.array_equal(block.keys[:, begin], old.rows[3])
    assert np.array_equal(block.targets[:, begin], new.rows[3])


def test_expand_without_a_target_closes_the_phrase() -> None:
    block = derived_block("edits:\n  - erase: circle\n    keys: last\n    expand: object\n")
    (new,) = WordEncoder().encode(["image of"])
    assert np.array_equal(block.targets[:, 1], new.rows[2])


def test_expand_of_moderate_pulls_in_the_same_phrase() -> None:
    text = "edits:\n  - moderate: {concept: circle, toward: {square: 0.5}}\n    keys: last\n    expand: art\n"
    block = derived_block(text)
    old, new = WordEncoder().encode(["style of circle", "style of square"])
    assert np.allclose(block.targets[:, 5] - block.keys[:, 5], 0.5 * new.rows[3])
    assert np.array_equal(block.keys[:, 5], old.rows[3])


def derived_block(text: str) -> Block:
    ctx = context()
    problem = Derive(("a tree", "a star"))(Locate((SD1,))(manifest(text), ctx), ctx)
    return next(iter(problem.systems.values())).blocks[0]
