"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from importlib.resources import files
from pathlib import Path

import psutil

from .. import __version__

PACKAGE = Path(str(files("ostensor"))).resolve()


def described() -> str:
    """Processor, cores, memory, versions and commit, one line."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "openvino", "mcp"))
    memory = psutil.virtual_memory().total / 1e9
    return (
        f"{processor()}, {psutil.cpu_count()} logical cores, {memory:.0f} GB, Python {platform.python_version()}, "
        f"{versions}, commit {commit()}"
    )


def processor() -> str:
    """Model name, with the vector width that matters here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    found = {key.strip(): value.strip() for key, value in facts.items()}
    flags = found.get("flags", "").split()
    width = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    bf16 = "bf16" if any(flag in flags for flag in ("avx512_bf16", "amx_bf16")) else "no bf16"
    return f"{found.get('model name', 'unknown processor')} ({width}, {bf16})"


def commit() -> str:
    """Short hash, with a plus sign when files are changed; the version where the package is no checkout."""
    try:
        if Path(_git("rev-parse", "--show-toplevel")) != PACKAGE:
            return f"of version {__version__}"
        short = _git("rev-parse", "--short", "HEAD")
        return short + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return f"of version {__version__}"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=PACKAGE, capture_output=True, text=True, check=True).stdout.strip()
