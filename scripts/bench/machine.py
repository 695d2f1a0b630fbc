"""The first line of every benchmark: the machine and the versions."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

INSTRUCTIONS = {
    "AVX2": "avx2", "AVX-512": "avx512f", "VNNI": "avx512_vnni", "BF16": "avx512_bf16", "AMX": "amx_int8",
}  # fmt: skip
"""Those that decide how fast a model runs, and their flags in /proc/cpuinfo."""


def machine(*packages: str) -> str:
    """Processor, its instructions, number of cores, and the versions of these packages."""
    facts = dict(
        (part.strip() for part in line.split(":", 1))
        for line in reversed(Path("/proc/cpuinfo").read_text().splitlines())
        if ":" in line
    )
    flags = facts.get("flags", "").split()
    able = ", ".join(name for name, flag in INSTRUCTIONS.items() if flag in flags) or "unknown instructions"
    versions = []
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} absent")
    model = facts.get("model name", platform.machine())
    return f"{model} ({able}), {os.cpu_count()} cores, Python {platform.python_version()}; " + ", ".join(versions)
