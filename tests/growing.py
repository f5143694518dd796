"""A run that grows, written without a training: ``python -m tests.growing FOLDER STEPS PAUSE_S``."""

import sys
import time
from pathlib import Path

import numpy as np

from headwater.store import Writer
from headwater.store.columns import COURSE, PARAMETERS, SITES, Group
from headwater.store.payloads import Table

SITE_COUNT = 6


def grow(folder: Path, steps: int, pause_s: float = 0.0) -> None:
    """Record steps whose gradient falls by a decade from each site to the one before it."""
    writer = Writer(folder, {"model": "Grown"})
    rows = [{"name": f"layer.{i}", "op": "Linear", "kind": "affine", "order": i} for i in range(SITE_COUNT)]
    writer.add_rows("sites", rows)
    writer.add_rows("parameters", [{"name": "layer.0.weight"}])
    for step in range(steps):
        sites = np.full((SITE_COUNT, len(SITES)), np.nan)
        sites[:, SITES.index("activation_grad_rms")] = 10.0 ** (np.arange(SITE_COUNT) - SITE_COUNT) * (1 + step / 1000)
        sites[:, SITES.index("activation_rms")] = 0.5
        tables: dict[Group, Table] = {
            "sites": sites,
            "parameters": np.full((1, len(PARAMETERS)), np.nan),
            "course": np.full((1, len(COURSE)), np.nan),
        }
        writer.step(step, tables, loss=1.0 / (1 + step))
        time.sleep(pause_s)
    writer.close()


if __name__ == "__main__":
    grow(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
