"""What this machine can compute with. PyTorch takes seconds to import, so it is asked only when it must be."""

import ctypes
import logging
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import ModelUnavailable
from app.models.extra import NETWORK, is_installed

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

NVIDIA_DRIVERS: Final = ("libcuda.so.1", "nvcuda.dll")
AMD_DRIVER: Final = Path("/dev/kfd")
CPU_FACTS: Final = Path("/proc/cpuinfo")
INT8_DOT: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})


def choose_device(wanted: str, setting: str = "MODEL_DEVICE") -> str:
    """`cpu` or `cuda`. `wanted` may be `auto` too: CUDA where it is present. Messages call it `setting`.

    Raises ModelUnavailable when CUDA is wanted and absent.
    """
    present = wanted != "cpu" and has_cuda()
    if wanted == "cuda" and not present:
        raise ModelUnavailable(
            f"{setting}=cuda, but PyTorch {version('torch')} finds no CUDA device. Set {setting}=cpu, or install"
            " a CUDA build of PyTorch and the NVIDIA driver."
        )
    return "cuda" if present else "cpu"


def has_cuda() -> bool:
    """Whether PyTorch finds a GPU. Without a GPU driver the answer is no, and PyTorch is not imported."""
    if not AMD_DRIVER.exists() and not any(_loads(library) for library in NVIDIA_DRIVERS):
        return False
    if not is_installed(NETWORK):
        logger.info("The model runs on the CPU: a GPU needs PyTorch, `pip install 'image2search[models]'`.")
        return False
    import torch

    return torch.cuda.is_available()


def float_type(device: str) -> "torch.dtype":
    """The arithmetic of networks that are not searched with: float32 on the CPU, 16 bits on CUDA."""
    import torch

    if device != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def has_int8_dot() -> bool:
    """Whether this CPU multiplies and sums 8-bit numbers in one instruction (VNNI, AMX). No when that can't be told.

    Without such an instruction int8 gains little.
    """
    if CPU_FACTS.exists():
        facts = CPU_FACTS.read_text().splitlines()
        flags = next((line for line in facts if line.startswith("flags")), "")
        return not INT8_DOT.isdisjoint(flags.split())
    if not is_installed(NETWORK):
        return False
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in INT8_DOT)


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
