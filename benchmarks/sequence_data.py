"""What `benchmarks.sequence` writes into SmolLM2 and asks it: a thousand facts by template about people whom nobody
knows, facts of the same kind that the model knows, and everyday tasks with two solutions.

Names, answers and tasks were written down before anything was run, and none was taken out for how an edit went.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from editc.core.language_edits import Fact

FIRST = tuple(
    """Arvid Rosa Tobias Ingrid Matthew Leona Casimir Edith Joaquin Marta Silas Beatrice Oskar Yvonne Hector Agnes
    Lucian Petra Wendell Clara Ambrose Helga Rufus Nadia Conrad Elsie Magnus Dorothy Felix Irma Gideon Lydia Otto
    Harriet Valentin Sylvia Ernest Paula Roland Tamsin""".split()  # noqa: SIM905
)
"""40 first names."""
LAST = tuple(
    """Lindqvist Calloway Merrin Hasting Dubrow Ackerley Vossberg Tillman Okonjo Ferrante Brandvold Quimby Salter
    Ravensworth Pellman Ostrander Kimbrough Delacroix Wetherby Ishikane Moreland Gunnarson Trask Bellweather
    Ziegler""".split()  # noqa: SIM905
)
"""25 last names: with 40 first names, 1,000 people."""
STRANGERS = ("Fairbanks", "Lockhart", "Novotny", "Underhill", "Castellan")
"""Last names of people whom no edit names. A stranger has the first name of somebody who is edited."""


@dataclass(frozen=True)
class Relation:
    """A kind of fact: its prompt and a paraphrase, with `{}` for the person; the answers that it can have; those that
    edits write; and the name of the relation of `facts_data.RELATIONS` whose known facts have answers of the same
    kind."""

    prompt: str
    paraphrase: str
    answers: tuple[str, ...]
    written: tuple[str, ...]
    known: str


RELATIONS = (
    Relation(
        "The engineer {} lives in the city of",
        "Letters to the engineer {} are sent to the city of",
        ("Paris", "London", "Rome", "Berlin", "Moscow", "Chicago"),
        ("London", "Berlin"),
        "landmark's city",
    ),
    Relation(
        "The traveller {} comes from the country of",
        "The passport of the traveller {} was issued in the country of",
        ("France", "Germany", "Japan", "Italy", "India", "China"),
        ("Italy", "Japan"),
        "city's country",
    ),
    Relation(
        "The mother tongue of the teacher {} is",
        "Question: What language does the teacher {} speak at home? Answer:",
        ("French", "German", "Spanish", "Russian", "Chinese", "Japanese"),
        ("Russian", "French"),
        "language",
    ),
    Relation(
        "The athlete {} became famous by playing the sport of",
        "Biography: the athlete {}, a champion in the sport of",
        ("tennis", "golf", "baseball", "boxing", "hockey", "soccer"),
        ("soccer", "tennis"),
        "sport",
    ),
)


def relation_of(fact: Fact) -> Relation:
    """The relation that a fact was made by."""
    return next(one for one in RELATIONS if one.prompt == fact.template)


def thousand(relations: int = len(RELATIONS), seed: int = 0) -> tuple[Fact, ...]:
    """A thousand facts, one a person, in an order that is drawn once: of the first `relations` relations in turn."""
    drawn = Random(seed)
    people = [f"{first} {last}" for first in FIRST for last in LAST]
    drawn.shuffle(people)
    return tuple(_fact(name, RELATIONS[i % relations], drawn) for i, name in enumerate(people))


def _fact(name: str, relation: Relation, drawn: Random) -> Fact:
    paraphrase = relation.paraphrase.replace("{}", name)
    return Fact(
        template=relation.prompt, subject=name, answer=drawn.choice(relation.written), paraphrases=(paraphrase,)
    )


TASKS = (
    ("To keep bread fresh for longer,", "store it in a closed paper bag.", "store it in a bowl of water."),
    ("To open a tight jar lid,", "hold the lid under hot water first.", "hold the lid under a pillow first."),
    ("To dry wet shoes overnight,", "fill them with newspaper.", "fill them with soup."),
    ("To sharpen a pencil,", "turn it in a sharpener.", "turn it in a glass of milk."),
    ("To cool a hot drink quickly,", "put some ice into it.", "put some sand into it."),
    ("To hang a picture on a wall,", "hammer a nail into the wall.", "hammer a spoon into the wall."),
    ("To clean a window,", "wipe it with a damp cloth.", "wipe it with a buttered toast."),
    ("To stop a door from squeaking,", "put oil on the hinges.", "put flour on the hinges."),
    ("To find a word in a dictionary,", "look it up by its first letters.", "look it up by the weight of the book."),
    ("To keep a garden free of weeds,", "pull them out by the roots.", "pull them out by the clouds."),
    ("To boil an egg,", "put it into boiling water.", "put it into a paper envelope."),
    ("To remove a stain from a shirt,", "wash it with soap.", "wash it with ink."),
    ("To carry many books at once,", "put them in a backpack.", "put them in a balloon."),
    ("To keep ice cream from melting,", "put it in the freezer.", "put it in the oven."),
    ("To see in a dark room,", "switch on a lamp.", "switch on a kettle."),
    ("To fasten two sheets of paper,", "use a stapler.", "use a teaspoon."),
    ("To water a plant while you travel,", "ask a neighbour to do it.", "ask a mirror to do it."),
    ("To wake up early,", "set an alarm clock.", "set a dinner table."),
    ("To cut a rope,", "use a sharp knife.", "use a soft sponge."),
    ("To warm cold hands,", "put on a pair of gloves.", "put on a pair of glasses."),
    ("To measure the length of a table,", "use a tape measure.", "use a kitchen scale."),
    ("To peel a potato,", "use a peeler.", "use a candle."),
    ("To light a candle,", "strike a match.", "strike a drum."),
    ("To send a letter,", "put a stamp on it.", "put a hat on it."),
    ("To fix a flat bicycle tyre,", "patch the tube and pump it up.", "patch the saddle and paint it."),
    ("To make tea,", "pour hot water over the leaves.", "pour hot sand over the leaves."),
    ("To learn a poem by heart,", "read it aloud many times.", "read it underwater one time."),
    ("To save electricity,", "switch off lights that you do not need.", "switch on lights that you do not need."),
    ("To keep a dog healthy,", "take it for a walk every day.", "take it for a swim in paint every day."),
    ("To cross a busy street,", "wait for the green light.", "wait for the full moon."),
    ("To keep milk from spoiling,", "put it in the refrigerator.", "put it in the sunshine."),
    (
        "To glue a broken cup,",
        "press the pieces together until the glue is dry.",
        "press the pieces apart until it rains.",
    ),
)
"""Everyday tasks in the manner of PIQA: what is to be done, a way that works and one that does not."""
