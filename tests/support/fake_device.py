"""A device `fake` of torch that behaves as a GPU does, for tests of what runs on one: it has memory of its own.

The CPU computes for it, so its numbers are the CPU's. It refuses what a GPU refuses: to compute with tensors of the
CPU, to become an array of numpy before it is moved, and, as Apple's `mps`, to hold float64. Registering it changes
torch for the rest of a process, so such tests run in a process of their own: see `on_fake_device`.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, wraps
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing import get_context
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

NAME = "fake"
"""The name of the device."""
FACTORIES = ("empty.memory_format", "empty_strided", "arange", "arange.start", "arange.start_step", "linspace")
"""What makes a tensor on a device from nothing. torch derives the others, such as `zeros`, from the first two."""
ATEN = torch.ops.aten
MOVES = frozenset({ATEN._to_copy.default, ATEN.copy_.default, ATEN.to.other})
"""What moves numbers between devices."""
INDEXED = frozenset({ATEN.index.Tensor, ATEN.index_put.default, ATEN.index_put_.default})
"""What takes indices of the CPU, as a GPU does."""
LIBRARIES: list[Any] = []
"""What registers the device, for as long as it lives. Empty: the device is not known in this process."""


class FakeModule(_DummyBackendModule):  # type: ignore[misc]
    """What `torch.fake` is."""

    free = 0
    """Bytes that the device says are free."""

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """What is free and what there is."""
        return self.free, 1 << 40

    def get_amp_supported_dtype(self) -> list[Any]:
        """No dtype in which torch would compute by itself. A backward pass that computes anew asks for it."""
        return []


class FakeTensor(torch.Tensor):  # type: ignore[misc]
    """A tensor of the device: shape and dtype for torch, and `inner`, the tensor of the CPU that computes for it."""

    inner: Any

    @staticmethod
    def __new__(cls, inner: Any, requires_grad: bool = False) -> Any:
        if inner.device.type == "meta":  # accelerate makes a parameter anew, of the class that it had
            return torch.nn.Parameter(inner, requires_grad)
        if inner.dtype == torch.float64:
            raise TypeError(f"the device `{NAME}` has no float64")
        layout = inner.shape, inner.stride(), inner.storage_offset()
        with torch.inference_mode(inner.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(cls, *layout, dtype=inner.dtype, device=f"{NAME}:0")
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"FakeTensor({self.inner!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == torch.Tensor.data.__set__:  # which swaps the memory of a tensor, and is no operation
            args[0].inner = args[1].inner
        if func == torch.Tensor.tolist:  # which torch refuses to any class of tensors but its own
            args = (args[0].inner,)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func not in MOVES:
            require_one_device(func, args, given)
        where = next((one.type for one in tree_leaves([args, given]) if isinstance(one, torch.device)), NAME)
        found = func(*tree_map(_on_cpu, tuple(args)), **tree_map(_on_cpu, given))
        changed = _changed(func, args, given)
        if changed is not None:
            return changed
        return tree_map(_on_device, found) if where == NAME else found


def require_one_device(func: Any, args: Any, given: Any) -> None:
    """Raise RuntimeError where a tensor of the CPU that is more than a number comes with one of the device."""
    for one in tree_leaves(args[0] if func in INDEXED else [args, given]):
        if isinstance(one, torch.Tensor) and not isinstance(one, FakeTensor) and one.ndim:
            raise RuntimeError(f"expected all tensors to be on the same device, but found {NAME}:0 and cpu in {func}")


def _on_cpu(one: Any) -> Any:
    """What the CPU computes with in place of an argument."""
    if isinstance(one, torch.device):
        return torch.device("cpu") if one.type == NAME else one
    return one.inner if isinstance(one, FakeTensor) else one


def _on_device(one: Any) -> Any:
    """What the device returns in place of a result of the CPU."""
    return FakeTensor(one) if isinstance(one, torch.Tensor) else one


def _changed(func: Any, args: Sequence[Any], given: Mapping[str, Any]) -> Any:
    """The argument that an operation in place (`add_`, `out=`) changed and returns; None for another."""
    written = [(i, one) for i, one in enumerate(func._schema.arguments) if one.alias_info and one.alias_info.is_write]
    if len(func._schema.returns) != 1 or not written:
        return None
    place, named = written[0]
    found = args[place] if place < len(args) else given[named.name]
    assert not isinstance(found, FakeTensor) or found.shape == found.inner.shape, f"{func} changed a shape"
    return found


def register() -> None:
    """Make the device known to torch. Attention is then composed of products on the CPU too, as torch does for a device
    that it does not know, and modules keep their parameters when they are moved, as they do for a GPU."""
    _setup_privateuseone_for_python_backend(NAME, FakeModule())
    LIBRARIES.append(torch.library.Library("aten", "IMPL"))
    for name in FACTORIES:
        packet, _, overload = name.partition(".")
        _implement(name, _factory(getattr(getattr(ATEN, packet), overload or "default")))
    _implement("_copy_from", _copy)
    _implement("silu_backward", lambda *given: FakeTensor(ATEN.silu_backward(*map(_on_cpu, given))))
    torch.backends.cuda.enable_flash_sdp(False)
    torch.__future__.set_swap_module_params_on_conversion(True)


def _implement(name: str, own: Callable[..., Any]) -> None:
    LIBRARIES[0].impl(name, own, "PrivateUse1")


def _factory(own: Any) -> Callable[..., Any]:
    return lambda *args, **given: FakeTensor(own(*args, **{**given, "device": "cpu", "pin_memory": None}))


def _copy(source: Any, target: Any, non_blocking: bool = False) -> Any:
    _on_cpu(target).copy_(_on_cpu(source))
    return target


def on_fake_device(test: Callable[..., None]) -> Callable[..., None]:
    """A test that runs in another process, in which the device is known. It is given values that can be sent there."""

    @wraps(test)
    def run(**given: Any) -> None:
        if LIBRARIES:
            test(**given)
        else:
            _process().submit(_run, inspect.getfile(test), test.__name__, given).result()

    return run


@cache
def _process() -> ProcessPoolExecutor:
    """The other process, which serves all tests of this one."""
    return ProcessPoolExecutor(1, get_context("spawn"), register)


def _run(path: str, name: str, given: Mapping[str, Any]) -> None:
    """Run a test of a file. What it raises is told in words, since not every error can be sent back."""
    try:
        getattr(_load(path), name)(**given)
    except Exception as error:
        raise AssertionError(traceback.format_exc()) from error


@cache
def _load(path: str) -> Any:
    spec = spec_from_file_location("on_fake_device", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
