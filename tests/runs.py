"""Runs to look at: a small training that is really recorded, and one as large as a report has to bear."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import headwater as hw
from headwater.recorded.viewing import course_of
from headwater.records import Event, Message, Site
from headwater.report.view import Course, Line
from headwater.report.view.levels import STATISTICS


def record(folder: Path, steps: int = 40, depth: int = 8, pause_s: float = 0.0, **watched: object) -> Path:
    """Train a deep sigmoid network for some steps, recorded into ``folder``."""
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Sequential(nn.Linear(16, 16), nn.Sigmoid()) for _ in range(depth)], nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with hw.watch(model, optimizer, run=folder, every=1, quiet=True, **watched) as watch:  # type: ignore[arg-type]
        for step in range(steps):
            x = torch.randn(32, 16)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
            loss.backward()
            watch.log(loss=loss, lr=0.1, **({"val_loss": float(loss.detach())} if step % 10 == 0 else {}))
            optimizer.step()
            time.sleep(pause_s)
    return folder


def recorded_course(folder: Path) -> Course:
    return course_of(hw.open_run(record(folder)))


def large_course(sites: int = 60, steps: int = 2000, name: str = "large") -> Course:
    """Every statistic at every site and step, with as much noise as a training has: nothing deflates well."""
    rng = np.random.default_rng(0)
    slope = np.linspace(-25, -2, sites)[:, None]
    walk = rng.normal(0, 0.02, (sites, steps)).cumsum(axis=1)
    levels = {}
    for statistic in STATISTICS.values():
        noise = rng.normal(0, 0.1, (sites, steps))
        size = slope + walk + noise if statistic.kind == "size" else np.minimum(-0.5 + noise, 0)
        levels[statistic.name] = size.astype(np.float32)
    known = np.arange(steps)
    loss = 2 * np.exp(-known / 800) + rng.normal(0, 0.05, steps)
    return Course(
        name=name,
        sites=tuple(Site(f"blocks.{i // 2}.{i % 2}", "Linear", "affine", i, f"blocks.{i // 2}") for i in range(sites)),
        steps=known.astype(np.int64),
        levels=levels,
        lines=(Line("loss", known, loss), Line("val_loss", known[::50], loss[::50])),
        events=(Event(700, Message("event.gradient_jump", {"decades": 1.4})),),
    )
