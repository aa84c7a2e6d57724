"""Seeded changes of a signed delta and of what lies beside it, and what editc makes of each."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from command import editc
from publish_cases import files_of
from signing_cases import BASE, DELTAS, KeyFiles, key_files

from editc.formats.delta.container import write_delta
from editc.formats.exports.read import read_delta
from editc.signing.places import statements_place
from editc.signing.policy_file import load_policy
from editc.verbs import evidence, public

ATTACK = {"attack": "rows", "concept": "circle", "shown": 1, "of": 20, "control": 19, "seed": 7}
LINES = {line: {"state": "green"} for line in ("works", "costs", "robust")}
POLICY = """policy: 1
keys:
  - {id: now, file: now.pub, not_before: 2020-01-01, not_after: 2999-12-31}
  - {id: old, file: old.pub}
revoked: [old]
detectors: [cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc]
at_most: {erase_residual: 0.5, erased: 0.05}
attacks: {rows: 0.1}
tiers: [exact, cast]
verdict: {works: green, costs: amber}
"""
TARGETS = ("delta", "bundle", "folder", "statements", "policy", "bom", "card", "layout")
"""What is changed: the delta, its signature, that of its folder, the statements, the policy, the bill of materials, the
model card, and any file of the OCI layout that the folder was pushed to."""
Rule = Callable[[random.Random, bytes], bytes]


@dataclass(frozen=True)
class Scene:
    """A signed delta in a signed folder, with a policy that admits it, pushed to an OCI layout."""

    files: Mapping[str, Sequence[Path]]
    """Target -> its files, in the order of their names. The layout has several, each other target one."""
    pulled: Mapping[str, bytes]
    """Name -> bytes of every file that comes out of the layout."""

    def file(self, target: str) -> Path:
        """The first file of a target."""
        return self.files[target][0]


@dataclass(frozen=True)
class Outcome:
    """What came of one change."""

    target: str
    rule: str
    codes: tuple[str, ...]
    """The codes by which it was refused. Empty: it was accepted."""
    wrong: str
    """Why the outcome is not as it must be. Empty: it is."""
    seconds: float
    """Processor time."""


def make_scene(folder: Path, name: str = "now", form: str = "low-rank") -> Scene:
    """Write everything, signed by the key of this name."""
    out = folder / "out"
    out.mkdir(parents=True)
    now, _ = key_files(folder, name), key_files(folder, "old")
    if name != "now":
        shutil.copyfile(now.shown, folder / "now.pub")
    claims = ({"name": "erase_residual", "value": 0.125}, {"name": "erased", "subject": "circle", "value": 0.0})
    extra = {"detector": {"name": "seer", "sha256": "c" * 64}, "attacks": [ATTACK]}
    delta = write_delta(
        replace(read_delta(DELTAS / f"{form}.safetensors"), claims=claims, extra=extra), out / "delta.safetensors"
    )
    (out / "report.json").write_text(json.dumps({"delta_id": delta.delta_id, "verdict": LINES}))
    (folder / "policy.yaml").write_text(POLICY)
    return _signed(folder, out, now)


def _signed(folder: Path, out: Path, key: KeyFiles) -> Scene:
    delta, layout = out / "delta.safetensors", folder / "layout"
    bom, card = evidence.sbom(delta), public.write_card(out)
    bundle = evidence.sign(delta, key.secret).file
    whole = evidence.sign(out, key.secret).file
    public.push(out, f"oci:{layout}")
    single = (delta, bundle, whole, statements_place(delta), folder / "policy.yaml", bom, card)
    files = {target: [file] for target, file in zip(TARGETS[:-1], single, strict=True)}
    files["layout"] = sorted(path for path in layout.rglob("*") if path.is_file())
    return Scene(files, files_of(public.pull(f"oci:{layout}", folder / "pulled").folder))


def tamper(scene: Scene, other: Scene, seed: int) -> Outcome:
    """Change one file by the seed, run what reads it, and put the file back."""
    rng = random.Random(seed)
    target = TARGETS[seed % len(TARGETS)]
    at = rng.randrange(min(len(one.files[target]) for one in (scene, other)))
    file, stranger = scene.files[target][at], other.files[target][at]
    before = file.read_bytes()
    rules = {**BYTES, **_rules_of(target, before)}
    name = rng.choice([*sorted(rules), "other"])
    changed = stranger.read_bytes() if name == "other" else rules[name](rng, before)
    file.write_bytes(changed)
    try:
        started = time.process_time()
        codes, odd = read_all(scene, target)
        seconds = time.process_time() - started
        same = bool(codes) or _means_the_same(scene, target, before, changed)
        return Outcome(target, name, codes, odd or ("" if same else "accepted, and it says more"), seconds)
    finally:
        file.write_bytes(before)


def _rules_of(target: str, data: bytes) -> Mapping[str, Rule]:
    """The changes of a file by what is in it."""
    if target in ("policy", "card"):
        return LINEWISE
    return STRUCTURED if target != "delta" and data.startswith(b"{") and data.strip() != b"{}" else {}


def read_all(scene: Scene, target: str) -> tuple[tuple[str, ...], str]:
    """The codes by which the commands that read a target refuse it, and what is wrong with how they end."""
    delta, policy = scene.file("delta"), str(scene.file("policy"))
    commands = [["verify-signature", str(delta), "--policy", policy]]
    if target in ("folder", "bom", "card"):
        commands = [["verify-signature", str(delta.parent), "--policy", policy]]
    elif target == "layout":
        got = delta.parent.parent / "got"
        shutil.rmtree(got, ignore_errors=True)
        commands = [["pull", f"oci:{delta.parent.parent / 'layout'}", "-o", str(got)]]
    elif target != "statements":
        commands.append(["apply", str(delta), "--to", str(BASE), "--dry-run", "--policy", policy])
    found: list[str] = []
    for command in commands:
        ran = editc(*command, "--json")
        if ran.returncode not in (0, 2, 3) or "Traceback" in ran.stderr:
            return (), f"{command[0]} exits {ran.returncode}: {ran.stderr[-300:]}"
        told = json.loads(ran.stdout)
        found += [one["code"] for one in told.get("diagnostics", ())]
        if bool(ran.returncode) != bool(told.get("diagnostics")):
            return (), f"{command[0]} exits {ran.returncode} and says {told}"
    return tuple(found), ""


def _means_the_same(scene: Scene, target: str, before: bytes, after: bytes) -> bool:
    """True where an accepted file says nothing that it did not say before."""
    if target in ("bundle", "folder"):
        return _payload(json.loads(before)["dsseEnvelope"]) == _payload(json.loads(after)["dsseEnvelope"])
    if target == "statements":  # one that is not asked for may be taken away
        return _stated(after) <= _stated(before)
    if target == "policy":
        return _as_written(scene.file("policy"))
    if target == "layout":
        return files_of(scene.file("delta").parent.parent / "got") == scene.pulled
    return before == after


def _payload(envelope: Any) -> bytes:
    return base64.b64decode(envelope["payload"])


def _stated(data: bytes) -> set[bytes]:
    return {_payload(json.loads(line)) for line in data.splitlines()}


def _as_written(file: Path) -> bool:
    """True where the policy that is read is what YAML's own reader finds in the file. Nobody signs a policy: it is the
    receiver's, so a changed one counts as it is written, and nothing in it may be overlooked."""
    text, policy = yaml.load(file.read_bytes(), yaml.BaseLoader), load_policy(file)
    limits = all(
        {name: float(one) for name, one in text.get(key, {}).items()} == dict(getattr(policy, key))
        for key in ("at_most", "at_least", "attacks")
    )
    ids = [one["id"].strip() for one in text["keys"]] == [one.public.name for one in policy.keys]
    words = (policy.tiers, policy.detectors) == (tuple(text.get("tiers", ())), tuple(text.get("detectors", ())))
    return limits and ids and words and dict(policy.verdict) == text.get("verdict", {})


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _slice(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.randint(1, 40))


def _drop(rng: random.Random, data: bytes) -> bytes:
    start, end = _slice(rng, data)
    return data[:start] + data[end:]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start, end = _slice(rng, data)
    return data[:end] + data[start:]


def _exchange(rng: random.Random, data: bytes) -> bytes:
    size = rng.randint(1, max(1, len(data) // 3))
    one = rng.randrange(0, len(data) - 2 * size + 1)
    two = rng.randrange(one + size, len(data) - size + 1)
    return data[:one] + data[two : two + size] + data[one + size : two] + data[one : one + size] + data[two + size :]


def _digit(rng: random.Random, data: bytes) -> bytes:
    places = [found.start() for found in re.finditer(rb"[0-9a-fA-F]", data)]
    place = rng.choice(places or range(len(data)))
    return data[:place] + rng.choice(b"0123456789abcdefABCDEF").to_bytes() + data[place + 1 :]


BYTES: dict[str, Rule] = {
    "flip": _flip,
    "truncate": lambda rng, data: data[: rng.randrange(len(data))],
    "insert": lambda rng, data: data[: (at := rng.randrange(len(data)))] + rng.randbytes(rng.randint(1, 9)) + data[at:],
    "append": lambda rng, data: data + rng.choice([b"\0", b"{}", b"\n", data]),
    "drop": _drop,
    "repeat": _repeat,
    "exchange": _exchange,
    "digit": _digit,
}
"""Changes of any file's bytes."""


def _nodes(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(node for one in inner for node in _nodes(one))]


def _structured(change: Callable[[random.Random, list[Any]], object]) -> Rule:
    """A change of a file's JSON; of one line where each has its own."""

    def rule(rng: random.Random, data: bytes) -> bytes:
        whole = data.strip().split(b"\n{")
        parts = [json.loads(data)] if len(whole) == 1 else [json.loads(line) for line in data.splitlines()]
        change(rng, _nodes(parts[at := rng.randrange(len(parts))]))
        parts[at] = _shuffled(rng, parts[at])
        space = (", ", ": ") if len(parts) > 1 or rng.random() < 0.5 else (" ,\n", " : ")
        return "\n".join(json.dumps(one, separators=space) for one in parts).encode()

    return rule


def _shuffled(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _shuffled(rng, value[name]) for name in rng.sample(sorted(value), len(value))}
    return [_shuffled(rng, one) for one in value] if isinstance(value, list) else value


def _blocks(nodes: list[Any]) -> list[dict[str, Any]]:
    return [one for one in nodes if isinstance(one, dict) and one]


def _swap(rng: random.Random, nodes: list[Any]) -> None:
    one, two = rng.choice(_blocks(nodes)), rng.choice(_blocks(nodes))
    a, b = rng.choice(sorted(one)), rng.choice(sorted(two))
    one[a], two[b] = (two[b], one[a]) if not {id(one), id(two)} & {id(one[a]), id(two[b])} else (one[a], two[b])


def _replace_value(rng: random.Random, nodes: list[Any]) -> None:
    block = rng.choice(_blocks(nodes))
    block[rng.choice(sorted(block))] = rng.choice(
        [None, 0, -1, 1e308, "", [], {}, True, "\ud800", "x" * 300, [[]], 10**30]
    )


def _rename(rng: random.Random, nodes: list[Any]) -> None:
    block = rng.choice(_blocks(nodes))
    block[rng.choice(["note", "payload", "_type", "\u0000"])] = block.pop(rng.choice(sorted(block)))


def _encoding(rng: random.Random, nodes: list[Any]) -> None:
    """Another spelling of a text in base64, or of any text where there is none."""
    pairs = [(block, key) for block in _blocks(nodes) for key, text in block.items() if isinstance(text, str) and text]
    block, key = rng.choice([(one, key) for one, key in pairs if key in ("payload", "sig")] or pairs)
    text = block[key]
    at = rng.randrange(len(text))
    spellings = (text.rstrip("="), text + "=", text + "\n", f" {text}", text.replace("+", "-").replace("/", "_"))
    block[key] = rng.choice([*spellings, text[:at] + rng.choice("AQgw+/09az") + text[at + 1 :], text.swapcase()])


STRUCTURED: dict[str, Rule] = {
    "reorder": _structured(lambda rng, nodes: None),
    "swap": _structured(_swap),
    "value": _structured(_replace_value),
    "rename": _structured(_rename),
    "remove": _structured(lambda rng, nodes: (one := rng.choice(_blocks(nodes))).pop(rng.choice(sorted(one)))),
    "base64": _structured(_encoding),
}
"""Changes of JSON."""


def _lines(change: Callable[[random.Random, list[bytes]], object]) -> Rule:
    def rule(rng: random.Random, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        change(rng, lines)
        return b"".join(lines)

    return rule


def _indent(rng: random.Random, lines: list[bytes]) -> None:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice([b"  ", b"\t", b"- "]) + lines[at]


LINEWISE: dict[str, Rule] = {
    "line removed": _lines(lambda rng, lines: lines.pop(rng.randrange(len(lines)))),
    "line twice": _lines(lambda rng, lines: lines.insert(rng.randrange(len(lines)), rng.choice(lines))),
    "lines mixed": _lines(lambda rng, lines: rng.shuffle(lines)),
    "indented": _lines(_indent),
}
"""Changes of a policy's lines."""
