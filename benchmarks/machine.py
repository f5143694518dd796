"""The machine and the versions that a result belongs to: figures without them say little."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

PACKAGES = ("numpy", "numba", "transformers", "wandb", "tensorboard", "torchmortem", "torchinstruments")


def describe(threads: int | None = None) -> dict[str, object]:
    """CPU, memory, system, versions, date and load, as JSON.

    Args:
        threads: Threads that torch was given; its own default if ``None``.
    """
    return {
        "cpu": cpu_model(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads or torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "headwater": version("headwater"),
        "commit": commit(),
        "packages": {name: installed(name) for name in PACKAGES if installed(name)},
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load_1_min": round(psutil.getloadavg()[0], 2),  # above 0 before we start: someone else was computing
    }


def cpu_model() -> str:
    """The processor's name and family as the system gives them; a virtual machine may hide which one it is."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    first = path.read_text().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else name


def commit() -> str | None:
    """The checked-out commit, with "+changes" if files differ from it; ``None`` outside a repository."""
    root = Path(__file__).parents[1]
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+changes"], cwd=root, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def installed(name: str) -> str | None:
    """The version of a package, ``None`` if it is not there."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
