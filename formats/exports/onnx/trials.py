"""Run exported graphs in ONNX Runtime, on random weights or rows, and compare with float64.

ONNX Runtime sums in an order of its own. `bound` is the largest error that any order can cause: a sum of n products has
an error of at most n u / (1 - n u) times the sum of their absolute values (Higham, 2002, 3.5), where u is half the
spacing at 1.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from editc.core.delta import Array, Delta, Factors, Site
from editc.core.site_bytes import patch_as_stored, stored_shape
from editc.formats.exports.format import ConsumerTrial, Written
from editc.formats.exports.onnx.values import EDITED, EDITED_ROWS, ROWS, input_name
from editc.numerics.bits import dtypes

LARGEST = 1 << 30
"""The most bytes of random weights that a trial makes (1 GiB). Chosen by hand."""
_UNIT = {"F64": 2.0**-53, "F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}
"""Dtype -> u, half the spacing of its numbers at 1."""
_LEAST = {"F64": 2.0**-1074, "F32": 2.0**-149, "F16": 2.0**-24, "BF16": 2.0**-133}
"""Dtype -> its smallest positive number."""
_NUMPY = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
"""Dtype -> numpy's type."""


def try_graph(written: Written) -> ConsumerTrial:
    """Run an `onnx-graph` file on random weights."""
    delta = written.delta
    why = _why_skipped(sum(8 * record.site.shape[0] * record.site.shape[1] for record in delta.sites))
    if why:
        return ConsumerTrial("onnxruntime", skipped=why)
    rng = np.random.default_rng(0)
    bases = {
        input_name(delta, r.site): dtypes.round_to(rng.normal(size=stored_shape(r.site), scale=0.05), r.site.dtype)
        for r in delta.sites
    }
    feeds = {input_name(delta, r.site): (bases[input_name(delta, r.site)], r.site.dtype) for r in delta.sites}
    found = run_in_onnxruntime(written, feeds)
    matched, worst, most = 0, 0.0, 0.0
    for factors, k, site in _sites(delta):
        name = input_name(delta, site)
        if name + EDITED in found:
            result = dtypes.round_to(patch_as_stored(bases[name], site.transposed, factors, k), site.dtype)
            error = np.abs(found[name + EDITED] - result)
            bound = _error_bound(bases[name], site, factors, k)
            matched += bool((error <= bound).all())
            worst, most = max(worst, float(error.max())), max(most, float(bound.max()))
    return ConsumerTrial(_version(), matched, len(delta.sites), worst, bound=most)


def try_multiplier(written: Written) -> ConsumerTrial:
    """Run an `onnx-multiplier` file on random rows, and compare with I + U V times each row."""
    (factors,) = written.delta.factors.values()
    U, V = (part.astype(np.float64) for part in (factors.left[0], factors.right[0]))
    why = _why_skipped(0)
    if why:
        return ConsumerTrial("onnxruntime", skipped=why)
    rows = dtypes.round_to(np.random.default_rng(0).normal(size=(2, 7, len(U))), "F32")
    found = run_in_onnxruntime(written, {ROWS: (rows, "F32")})[EDITED_ROWS]
    error = np.abs(found - (rows + rows @ V.T @ U.T))
    bound = _sum_error(sum(U.shape) + 4, "F32") * (np.abs(rows) + np.abs(rows) @ np.abs(V.T) @ np.abs(U.T))
    whole = bool((error <= bound + _LEAST["F32"]).all())
    return ConsumerTrial(_version(), int(whole), 1, float(error.max()), bound=float(bound.max()))


def _error_bound(base: Array, site: Site, factors: Factors, k: int) -> Array:
    """The largest error of the graph's arithmetic at each entry, in the shape of `base` (the matrix as stored).

    It covers float64 sums in any order, with a reserve of 4 terms, chosen by hand, for the operations between the sums.
    If such an error crosses a rounding border, it also covers a step of the site's dtype.
    """
    absolute = Factors(
        factors.form,
        factors.sites,
        tuple(np.abs(part) for part in factors.left),
        tuple(np.abs(part) for part in factors.right),
    )
    size = patch_as_stored(np.abs(base), site.transposed, absolute, k)
    inner = len(factors.right[0]) if factors.right else 0
    inner += site.shape[1] if factors.form == "shared" else 0
    bound = _sum_error(inner + 4, "F64") * size + 4 * _LEAST[site.dtype]
    return bound if site.dtype == "F64" else bound + 2 * _UNIT[site.dtype] * size


def _sum_error(terms: int, dtype: str) -> float:
    """n u / (1 - n u) for a sum of `terms` products."""
    u = terms * _UNIT[dtype]
    return u / (1 - u)


def run_in_onnxruntime(written: Written, feeds: dict[str, tuple[Array, str]]) -> dict[str, Array]:
    """Run an exported graph on one thread. `feeds`: input -> (array, dtype). Returns output -> array in float64."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(written.files[0]), options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    inputs = [(name, _value(values, dtype)) for name, (values, dtype) in feeds.items()]
    for name, value in inputs:
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    session.run_with_iobinding(binding)
    values = zip(session.get_outputs(), binding.get_outputs(), strict=True)
    return {output.name: _array(value, output.type) for output, value in values}


def _value(values: Array, dtype: str) -> Any:
    """Convert an array to an ONNX Runtime value of that dtype."""
    from onnxruntime import OrtValue

    if dtype != "BF16":
        return OrtValue.ortvalue_from_numpy(values.astype(_NUMPY[dtype]))
    bits = np.frombuffer(dtypes.encode(values, "BF16"), np.uint16).reshape(values.shape)
    return OrtValue.ortvalue_from_numpy_with_onnx_type(bits, 16)


def _array(value: Any, kind: str) -> Array:
    """Convert an ONNX Runtime value of the type `kind` to float64."""
    if kind != "tensor(bfloat16)":
        return np.asarray(value.numpy(), np.float64)
    import ctypes

    shape = tuple(value.shape())
    raw = ctypes.string_at(value.data_ptr(), 2 * int(np.prod(shape)))
    return dtypes.decode(raw, "BF16", shape)


def _sites(delta: Delta) -> list[tuple[Factors, int, Site]]:
    """Each site of the delta with its group, and its number within the group."""
    return [(f, k, delta.sites[index].site) for f in delta.factors.values() for k, index in enumerate(f.sites)]


def _why_skipped(size: int) -> str:
    """Why a trial with `size` bytes of weights is not made, or ''."""
    if find_spec("onnxruntime") is None:
        return "not installed: onnxruntime"
    return "its weights are more than 1 GiB" if size > LARGEST else ""


def _version() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"
