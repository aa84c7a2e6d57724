"""A shared edit as an ONNX graph behind the text encoder: rows (batch, n, d) go in, and I + U V times each row comes
out.

W (I + U V) c = W c' with c' = (I + U V) c. So if the same factors edit every matrix that reads a row, the edit can be
made on the rows, and no weight changes. This holds only if the delta has all sites that read the rows: a
cross-attention layer without the edit would read edited rows too. The names of the model's weights are checked for
that.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from editc.core.delta import Delta
from editc.core.diagnostics import EditcError, fail
from editc.core.family import Family
from editc.core.storage.disk import guard_writes, replace_file
from editc.core.text import SHOWN_ROWS
from editc.formats.containers import onnx_write
from editc.formats.containers.canonical import DELTA_KEY
from editc.formats.containers.onnx_write import GraphValue, encode_node
from editc.formats.delta.container import tensor_name
from editc.formats.exports import embed
from editc.formats.exports.format import Format, Job, Written
from editc.formats.exports.onnx.trials import try_multiplier
from editc.formats.exports.onnx.values import EDITED_ROWS, ROWS, constants_of, parts
from editc.formats.exports.suits import SUITS
from editc.registry.families import FAMILIES

NAME = "onnx-multiplier"


def write(job: Job) -> Written:
    """Write one .onnx file. Raises E667 (the rows cannot be edited instead), E676 (the model is needed) and E632."""
    _check_form(job.delta)
    _check_readers(job)
    with guard_writes(job.out):
        replace_file(job.out, graph_bytes(job.delta))
    return Written((job.out,), job.delta, 0.0, ("give the rows of this multiplier to every layer, or to none",))


def graph_bytes(delta: Delta) -> bytes:
    """The bytes of the ONNX file that edits the rows. Raises E667."""
    _check_form(delta)
    (group,) = delta.factors
    left, right = tensor_name(group, "left", 0), tensor_name(group, "right", 0)
    width = len(delta.factors[group].left[0])
    nodes = [
        encode_node("Transpose", [right], "into", perm=[1, 0]),
        encode_node("Transpose", [left], "out_of", perm=[1, 0]),
        encode_node("MatMul", [ROWS, "into"], "along"),
        encode_node("MatMul", ["along", "out_of"], "change"),
        encode_node("Add", [ROWS, "change"], EDITED_ROWS),
    ]
    shape = ("batch", "n", width)
    values = [GraphValue(ROWS, "F32", shape)], [GraphValue(EDITED_ROWS, "F32", shape)]
    return onnx_write.encode_model(nodes, constants_of(delta), *values, {DELTA_KEY: embed.make_note(NAME, delta, {})})


def _check_form(delta: Delta) -> None:
    """Raise E667 unless the delta is one shared group."""
    forms = {factors.form for factors in delta.factors.values()}
    if len(delta.factors) != 1 or forms != {"shared"}:
        what = f"{len(delta.factors)} groups" if forms == {"shared"} else f"parts that are {', '.join(sorted(forms))}"
        raise _multiplier_error(f"the delta has {what}, and one multiplier of the rows is one shared group")


def _check_readers(job: Job) -> None:
    """Raise E667 unless the delta has every matrix that reads the rows, by the family's name patterns. Raises E676
    without a model."""
    if job.model is None:
        help_ = "name it with --model: only it shows which layers read the rows"
        raise fail("E676", "this export needs the names of the model's weights", help=help_)
    family: Family = FAMILIES.resolve(job.delta.family)
    (group,) = job.delta.factors
    if group not in family.groups:
        raise _multiplier_error(
            f"`{group[:80]}` is not a group of {family.name}, so editc does not know which layers read the same rows"
        )
    patterns = [family.patterns[role] for role in family.groups[group].roles if role in family.patterns]
    component = job.model.component(family.component)
    readers = {name for name in component.names() if any(fnmatchcase(name, one) for one in patterns)}
    left = sorted(readers - {record.site.name for record in job.delta.sites})
    if not readers:
        raise _multiplier_error("the model named has no layers by the names of torch")
    if left:
        message = f"{len(left)} of {len(readers)} layers that read the rows are not edited"
        raise _multiplier_error(message, tuple(left[:SHOWN_ROWS]))


def _multiplier_error(why: str, notes: tuple[str, ...] = ()) -> EditcError:
    """Make the error E667."""
    help_ = "use onnx-graph, or build with every site of the group and a method that shares its factors"
    return fail("E667", f"the rows cannot be edited instead of the weights: {why}", help=help_, notes=notes)


FORMAT = Format(
    name=NAME,
    output="multiplier.onnx",
    says="a shared edit of the text rows, weights untouched: any ONNX runtime",
    suits=SUITS[NAME],
    write=write,
    trials=lambda job, written: (try_multiplier(written),),
    parts=parts,
    whole=graph_bytes,
)
