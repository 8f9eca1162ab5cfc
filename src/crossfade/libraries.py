"""Optional libraries: whether they are there, transformers without log lines, torch with a seed and in bfloat16."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from crossfade.errors import missing_extra

if TYPE_CHECKING:
    import torch


def require_libraries(*packages: str, extra: str = "torch") -> None:
    """Raise the error that names the extra when one of the packages, by its import name, is missing.

    Raises:
        DependencyError: A package is missing.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise missing_extra(package.replace("_", "-"), extra)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log lines and progress bars of transformers, and restore them afterwards."""
    from transformers.utils import logging as library_logging

    verbosity, bars = library_logging.get_verbosity(), library_logging.is_progress_bar_enabled()
    library_logging.set_verbosity(logging.ERROR)
    library_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library_logging.set_verbosity(verbosity)
        if bars:
            library_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw from a seed, on every device, and go on afterwards where it was."""
    import torch

    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def reads_bfloat16(device: "torch.device") -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older releases of torch cannot tell.
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


def bfloat16_products(device: "torch.device") -> AbstractContextManager[None]:
    """Multiply in bfloat16 inside, where the device does so faster; parameters, and sums over many, stay in float32."""
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=reads_bfloat16(device))
