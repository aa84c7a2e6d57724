"""What the last bits of a result depend on besides its inputs: libraries, processor, threads and GPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from editc.libraries.cores import available_cores
from editc.libraries.device import describe_device

LIBRARIES = ("editc", "numpy", "tokenizers", "torch", "transformers")
"""Packages whose versions may change the last bits of a result."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that set the number of threads, and so the order in which floats are summed."""
CPU_FILE = Path("/proc/cpuinfo")
"""Where Linux describes the processors."""
CPU_LINES = (
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "cache size",
    "flags",
    "CPU implementer",
    "CPU part",
    "CPU variant",
    "Features",
)
"""Lines of CPU_FILE by which libraries choose how they compute. The others, such as the clock rate, change while a
machine runs. The kernel is not among them: it computes no floats."""


def describe_environment() -> tuple[str, ...]:
    """List the libraries, the processor, the thread settings and a GPU that `--device` names, by which float sums may
    round differently. Two CPUs with the same list compute the same bits. Raises E225."""
    threads = (f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if os.environ.get(name))
    device = (one,) if (one := describe_device()) else ()
    system = " ".join(part for part in (platform.system(), platform.machine(), *platform.libc_ver()) if part)
    return (
        *map(_describe_library, LIBRARIES),
        system,
        _describe_processor(),
        f"{available_cores()} cores",
        *threads,
        *device,
    )


@cache
def _describe_processor() -> str:
    """The name of the first processor, and a hash of what it can do."""
    lines = dict(_processor_lines())
    name = lines.get("model name") or platform.processor() or platform.machine()
    return f"{name} {sha256(repr(sorted(lines.items())).encode()).hexdigest()[:8]}" if lines else name


def _processor_lines() -> Iterator[tuple[str, str]]:
    """The wanted lines of the first processor; none where the system has no CPU_FILE."""
    with suppress(OSError):
        for line in CPU_FILE.read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines():
            name, _, value = line.partition(":")
            if name.strip() in CPU_LINES:
                yield name.strip(), " ".join(value.split())


def _describe_library(name: str) -> str:
    """Name and version of a package; the name alone where it is not installed."""
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name
