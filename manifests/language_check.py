"""Rules over the whole manifest of a language model, one function each. `image_check` has those of image models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from editc.core.diagnostics import Diagnostic
from editc.core.edited import EditedPrompts, edited_texts
from editc.core.language_edits import Ablation, Fact, Forget, LanguageEdit, OnRows, PromptAnswer, Redirect
from editc.core.manifest import Manifest
from editc.core.text import fold_name
from editc.manifests.faults import Faults, tick
from editc.manifests.language_edits import leads_of
from editc.manifests.language_schema import COLUMNS
from editc.manifests.shared_rules import (
    EditedText,
    NamedList,
    keys_have_meaning,
    refuse_options,
    refuse_other_value,
    refuse_preserved,
    refuse_second_edits,
    strengths_are_not_zero,
    warn_repeats,
)

Rule = Callable[[Manifest, Faults], None]
"""A rule: adds to the faults what is wrong with a manifest."""


def check_language(manifest: Manifest) -> tuple[Diagnostic, ...]:
    """All errors and warnings that the rules find."""
    faults = Faults(manifest.source)
    for rule in RULES:
        rule(manifest, faults)
    return tuple(faults.found)


def texts_have_one_edit(manifest: Manifest, faults: Faults) -> None:
    """E120, E124: a prompt has one new answer, and a concept one edit. `erase` counts as `redirect`, `ablate` apart."""
    texts = (
        EditedText(edit, (edit.kind.replace("erase", "redirect"), fold_name(text)), text, span)
        for edit in manifest.language_edits
        for text, span in edited_texts(edit)
    )
    refuse_second_edits(texts, faults)


def facts_change(manifest: Manifest, faults: Faults) -> None:
    """E195: the new answer of a fact differs from `was`."""
    for fact in manifest.facts:
        if fact.was is not None and fold_name(fact.was) == fold_name(fact.answer):
            message = f"`answer` and `was` are both {tick(fact.answer)}, so this fact changes nothing"
            related = [(fact.at("was"), "`was` here")]
            faults.add("E195", message, fact.at("answer"), help="change one of the two", related=related)


def redirects_lead_somewhere(manifest: Manifest, faults: Faults) -> None:
    """E189: a concept leads to one other concept, to noise, or to a refusal, as far as its method can do that."""
    joint = _joint_method(manifest.redirects)
    for edit in manifest.redirects:
        named, toward = "to" in edit.spans, "toward" in edit.spans
        leads = leads_of(edit.method or joint)
        if not leads and (named or toward or edit.kind == "redirect"):
            place = edit.at("to:") if named else edit.at("toward:") if toward else edit.at("concept")
            message = f"{tick(COLUMNS)} removes columns from the weights and takes no target"
            help = "remove it" if edit.kind == "erase" else f"write `erase: {edit.concept}`"
            faults.add("E189", message, place, help=f"{help}, or name another method")
        elif named and toward:
            related = [(edit.at("to:"), "the other target")]
            help = "remove one of the two"
            faults.add("E189", "`to` and `toward` both name a target", edit.at("toward:"), help=help, related=related)
        elif not named and not toward and edit.kind == "redirect":
            help = "add `to: CONCEPT`, or `toward: noise` or `refusal`"
            faults.add("E189", f"no target is named for {tick(edit.concept)}", edit.at("concept"), help=help)
        if leads:
            _refuse_target(edit, str(edit.method or joint), leads, faults)


def _refuse_target(edit: Redirect, method: str, leads: Sequence[str], faults: Faults) -> None:
    """E189: the target of an edit is none that its method can lead to."""
    named, toward = "to" in edit.spans, "toward" in edit.spans
    if named or edit.to is not None:
        if "anchor" not in leads:
            message = f"{tick(method)} leads to `toward: {leads[0]}` only, and not to another concept"
            faults.add("E189", message, edit.at("to"), help="remove `to`, or write `method: rocr`")
    elif "anchor" in leads and len(leads) == 1 and (toward or edit.kind == "erase"):
        place = edit.at("toward") if toward else edit.at("concept")
        message = f"{tick(method)} needs another concept as target, and none is named"
        faults.add("E189", message, place, help="add `to: CONCEPT`, or write `method: rocr`")
    elif toward and edit.toward not in leads:
        message = f"{tick(method)} leads to `toward: {leads[0]}` only"
        faults.add("E189", message, edit.at("toward"), help="remove `toward`, or write `method: rocr`")


def targets_are_not_redirected(manifest: Manifest, faults: Faults) -> None:
    """E122, E123: a target is neither the concept itself nor one that is itself redirected."""
    moved = {fold_name(name): (edit, span) for edit in manifest.redirects for name, span in edited_texts(edit)}
    for edit in manifest.redirects:
        found = None if edit.to is None else moved.get(fold_name(edit.to))
        if found is None:
            continue
        if any(fold_name(name) == fold_name(str(edit.to)) for name in edit.names):
            message, help, why, code = "is the edited concept itself", "name another concept", "the concept", "E122"
        else:
            message, help, why, code = "is itself edited", "choose a target that no edit changes", "edited here", "E123"
        related = [(found[1], why)]
        faults.add(code, f"the target {tick(str(edit.to))} {message}", edit.at("to"), help=help, related=related)


def forget_stands_alone(manifest: Manifest, faults: Faults) -> None:
    """E127: a manifest that forgets has no edits of other kinds, and one that learns has no other edit."""
    first = next(iter(manifest.on_rows), None)
    if first is None:
        return
    rest = (edit for edit in manifest.language_edits if edit is not first)
    other = next((edit for edit in rest if not isinstance(edit, Forget) or edit.kind != first.kind), None)
    if other is not None:
        related = [(first.at(), "trained here")]
        help = "make two manifests of it, and `editc link` their deltas"
        solved = "is trained apart" if isinstance(other, OnRows) else "is solved"
        message = f"{tick(other.kind)} {solved}, and {tick(first.kind)} is trained on the whole model"
        faults.add("E127", message, other.at(), help=help, related=related)


def retain_is_named(manifest: Manifest, faults: Faults) -> None:
    """E128: a method that keeps a retain set has one."""
    if not manifest.on_rows:
        return
    from editc.registry.methods import DEFAULT_TRAINED

    joint = _joint_method(manifest.on_rows)
    for edit in manifest.on_rows:
        method = edit.method or joint or DEFAULT_TRAINED[edit.kind]
        if edit.retain is None and "retain" not in edit.spans and _needs_retain(method, manifest):
            message = f"{tick(method)} keeps what a retain set says, and {tick(edit.concept)} has none"
            help = "add `retain: {file: ...}`, or take `method: flat`, which needs none"
            faults.add("E128", message, edit.at("method"), help=help)


def rows_have_prompts(manifest: Manifest, faults: Faults) -> None:
    """E129: a method that puts a refusal in an answer's place has rows with prompts."""
    joint = _joint_method(manifest.on_rows)
    for edit in manifest.on_rows:
        method = edit.method or joint
        if method is not None and any(not row.prompt for row in edit.data.rows):
            from editc.registry.methods import METHODS

            if METHODS.resolve(method).needs_prompts:
                message = f"{tick(method)} puts a refusal after a question, and {tick(edit.data.file)} has plain text"
                help = "write rows with `question` and `answer`, or take `method: npo`"
                faults.add("E129", message, edit.at(f"{edit.kind}.file"), help=help)


def rows_have_subjects(manifest: Manifest, faults: Faults) -> None:
    """E129: a method that puts a stranger in a subject's place has rows that name theirs."""
    joint = _joint_method(manifest.on_rows)
    for edit in manifest.on_rows:
        method = edit.method or joint
        named = all(row.subject and row.subject in (row.prompt or str(row.answer)) for row in edit.data.rows)
        if method is not None and not named:
            from editc.registry.methods import METHODS

            if METHODS.resolve(method).needs_subjects:
                message = f"{tick(method)} needs to know whom each row of {tick(edit.data.file)} is about"
                help = 'give each row a `"subject"` that its question names, or take `method: npo`'
                faults.add("E129", message, edit.at(f"{edit.kind}.file"), help=help)


def _needs_retain(method: str, manifest: Manifest) -> bool:
    """True if a method with the options of the manifest keeps a retain set. False for options that E132 refuses."""
    from editc.registry.options import construct

    options = {name: value for edit in manifest.on_rows for name, value in edit.options.items()}
    try:
        return bool(construct(method, options, manifest.seed).needs_retain)
    except (TypeError, ValueError):
        return False


def forgotten_is_not_retained(manifest: Manifest, faults: Faults) -> None:
    """E121: no row is both forgotten and retained."""
    for edit in manifest.on_rows:
        kept = set(edit.retain.rows) if edit.retain is not None else set()
        both = next((row for row in edit.data.rows if row in kept), None)
        if both is not None:
            what = tick(" ".join((both.prompt or str(both.answer)).split()))
            related = [(edit.at(f"{edit.kind}.file"), "forgotten here")]
            message = f"{what} is in the retain set and in what is forgotten"
            faults.add("E121", message, edit.at("retain.file"), help="remove it from one of the two", related=related)


def neighbours_stay(manifest: Manifest, faults: Faults) -> None:
    """E196, a warning: a neighbour that is itself edited is not counted."""
    edited = EditedPrompts(manifest)
    for edit in manifest.language_edits:
        for i, asked in enumerate(() if isinstance(edit, Ablation | OnRows) else edit.neighbours):
            if edited.contains(asked.prompt):
                message = f"the neighbour {tick(asked.prompt)} is itself edited, so it is not counted"
                related = [(edited.span_of(asked.prompt), "edited here")]
                faults.warn("E196", message, edit.at(f"neighbours.{i}"), help="remove it", related=related)


def preserve_excludes_redirects_and_facts(manifest: Manifest, faults: Faults) -> None:
    """E121: what a redirect, an erasure or a fact edits is not preserved as well."""
    edited = {fold_name(name): span for edit in manifest.redirects for name, span in edited_texts(edit)}
    edited |= {fold_name(fact.subject): fact.at("subject") for fact in manifest.facts}
    refuse_preserved(edited, manifest.preserve, faults)


def sets_differ(manifest: Manifest, faults: Faults) -> None:
    """E188: a direction comes from two sets of prompts; each has more than one, and no prompt is in both."""
    for edit in manifest.ablations:
        for name, prompts in (("present", edit.present), ("absent", edit.absent)):
            if len(prompts) == 1:
                message = f"{tick(name)} has one prompt: everything that this prompt says would count as the concept"
                faults.add("E188", message, edit.at(name), help="give several prompts, 8 or more for each set")
        absent = {fold_name(text): i for i, text in reversed(tuple(enumerate(edit.absent)))}
        for i, text in enumerate(edit.present):
            if (j := absent.get(fold_name(text))) is not None:
                related = [(edit.at(f"absent.{j}"), "and absent here")]
                message = f"{tick(text)} is in both sets"
                faults.add("E188", message, edit.at(f"present.{i}"), help="remove one of the two", related=related)


def no_repeats(manifest: Manifest, faults: Faults) -> None:
    """E124: no list of the manifest has an item twice."""
    lists: list[NamedList] = [
        (manifest.retain, "retain", manifest.at, str),
        (manifest.contexts or (), "contexts", manifest.at, str),
        (manifest.emit, "emit", manifest.at, str),
        (manifest.preserve.concepts, "concepts", manifest.preserve.at, str),
    ]
    for edit in manifest.language_edits:
        lists.append((edit.contexts or (), "contexts", edit.at, str))
        for name in ("paraphrases", "implied", "neighbours", "relations", "present", "absent"):
            items = getattr(edit, name, ())
            lists.append(([one.prompt if isinstance(one, PromptAnswer) else one for one in items], name, edit.at, str))
    warn_repeats(lists, faults)


def one_method_per_kind(manifest: Manifest, faults: Faults) -> None:
    """E133: edits that are solved together name the same method and options."""
    groups: tuple[Sequence[LanguageEdit], ...] = (
        manifest.facts,
        manifest.redirects,
        manifest.ablations,
        manifest.on_rows,
    )
    for edits in groups:
        for name in ("method", *dict.fromkeys(option for edit in edits for option in edit.options)):
            own = [edit.method if name == "method" else edit.options.get(name) for edit in edits]
            given = [(value, edit.at(name)) for value, edit in zip(own, edits, strict=True)]
            refuse_other_value(name, given, "kind", faults)


def options_fit(manifest: Manifest, faults: Faults) -> None:
    """E132: the method itself accepts the options. Without a method, nothing is checked."""
    groups: tuple[Sequence[LanguageEdit], ...] = (
        manifest.facts,
        manifest.redirects,
        manifest.ablations,
        manifest.on_rows,
    )
    for edits in groups:
        for edit in edits:
            refuse_options(edit, edit.method or _joint_method(edits), manifest.seed, faults)


def one_key(manifest: Manifest, faults: Faults) -> None:
    """E132: `denominator: bare` needs a single key: one fact, and no `chat`."""
    bare = next((fact for fact in manifest.facts if fact.options.get("denominator") == "bare"), None)
    if bare is None:
        return
    help = "take `denominator: mean`" + (", or leave `chat` out" if manifest.chat else "")
    why, related = "", [(manifest.at("chat"), "a second key")]
    if manifest.chat:
        why = "with `chat: true` each fact has two, as plain text and in the chat template"
    elif len(manifest.facts) > 1:
        why, related = f"there are {len(manifest.facts)} facts", []
    if why:
        message = f"`denominator: bare` is for a single key, and {why}"
        faults.add("E132", message, bare.at("denominator"), help=help, related=related)


def bounds_have_answers(manifest: Manifest, faults: Faults) -> None:
    """E141: each bound counts something that the edits have."""
    edits = manifest.language_edits
    answers = {
        "efficacy": (
            "no edit has an answer",
            "this bound is for `fact` and `forget`, and for `redirect` and `erase` with `relations`",
            any(isinstance(edit, Fact | OnRows) or "relations" in edit.spans for edit in edits),
        ),
        "paraphrase": (
            "no fact has paraphrases",
            "add `paraphrases: [...]` to a fact",
            any("paraphrases" in edit.spans for edit in edits),
        ),
        "neighbourhood": (
            "no edit has neighbours",
            "add `neighbours: {PROMPT: ANSWER}` to an edit",
            any("neighbours" in edit.spans for edit in edits),
        ),
    }
    for name, (why, help, fine) in answers.items():
        if name in manifest.constraints.spans and edits and not fine:
            message = f"`{name}` has nothing to count: {why}"
            faults.add("E141", message, manifest.constraints.at(name), help=help)


def rounds_have_contexts(manifest: Manifest, faults: Faults) -> None:
    """E141: `rounds` feeds phrasings back into edits that read keys in contexts."""
    redirects = () if _joint_method(manifest.redirects) == COLUMNS else manifest.redirects
    if manifest.worst_rounds and manifest.language_edits and not (manifest.facts or redirects):
        message = "`rounds` has nothing to feed phrasings back into: no edit reads keys in contexts"
        help = "it is for `fact`, and for `redirect` and `erase` but by `concept-vectors`; write `worst: COUNT`"
        faults.add("E141", message, manifest.at("worst"), help=help)


def rank_holds_keys(manifest: Manifest, faults: Faults) -> None:
    """E143, a warning: each fact and each name of a concept needs a rank of its own.

    With `chat` they need two, because each has a key in plain text and one in a chat. A direction always needs one.
    """
    redirects = () if _joint_method(manifest.redirects) == COLUMNS else manifest.redirects
    keyed: Sequence[LanguageEdit] = (*manifest.facts, *redirects)
    named = sum(len(edit.names) for edit in keyed)
    directions = sum(len(edit.names) for edit in manifest.ablations)
    rank, keys = manifest.constraints.rank, named * (1 + manifest.chat) + directions
    if rank is not None and rank < keys:
        message = f"rank {rank} is too low: {keys} facts and names are edited, and each needs a rank of 1"
        if manifest.chat and named:
            message = f"rank {rank} is too low: a rank of {keys} is needed, 1 for each fact and name, or 2 with `chat`"
        faults.warn("E143", message, manifest.constraints.at("rank"), help=f"allow a rank of {keys} or more")


def layers_have_one_source(manifest: Manifest, faults: Faults) -> None:
    """E198: layers are either named or searched for."""
    choice = manifest.sites
    if choice.layers and "auto" in choice.spans:
        related = [(choice.at("layers"), "named here")]
        help = "remove one of the two"
        faults.add(
            "E198",
            "`auto` chooses the layers, and `layers` names them as well",
            choice.at("auto"),
            help=help,
            related=related,
        )


def _joint_method(edits: Sequence[LanguageEdit]) -> str | None:
    """The first method that one of the edits names. None if none does."""
    return next((edit.method for edit in edits if edit.method is not None), None)


RULES: tuple[Rule, ...] = (
    texts_have_one_edit,
    facts_change,
    redirects_lead_somewhere,
    targets_are_not_redirected,
    neighbours_stay,
    preserve_excludes_redirects_and_facts,
    sets_differ,
    forget_stands_alone,
    retain_is_named,
    rows_have_prompts,
    rows_have_subjects,
    forgotten_is_not_retained,
    no_repeats,
    one_method_per_kind,
    options_fit,
    one_key,
    bounds_have_answers,
    rounds_have_contexts,
    strengths_are_not_zero,
    rank_holds_keys,
    layers_have_one_source,
    keys_have_meaning,
)
"""The rules, in the order in which they run."""
