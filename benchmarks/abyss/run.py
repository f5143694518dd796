"""Bring a thousand plain layers to life, and ten thousand, and show what is usually tried and fails.

    python -m benchmarks.abyss [--quick] [--only relu,fix-relu] [--seeds 3] [--again] [--out docs/benchmarks]

Each training is written to ``abyss.json`` as soon as it is there, and one that is there with the same settings is not
run again (``--again`` does). With ``--out docs/benchmarks`` the page docs/abyss.md and its picture are made anew.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.abyss import page
from benchmarks.abyss.networks import Attempt, run, seen
from benchmarks.options import RESULTS, load, one_of, parser, save, say
from benchmarks.worker import Worker

NAME = "abyss"
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = "examples/thousand_layers.py"
# From Adam's default down to what suits a thousand layers: the kindest of them is told of what fails.
RATES = (1e-3, 1e-4, 2e-5)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Fix:
    """``headwater fix`` on the example, as anybody would call it.

    Attributes:
        target: Name of the experiment in the example.
        layers: Of its network.
        steps: Of a full run.
        seeds: Of the proof.
    """

    target: str
    layers: int = 1000
    steps: int = 60
    seeds: int = 3


Part = Attempt | Fix

PARTS: dict[str, Part] = {
    "deep": Attempt(
        remedies=("init.mirrored",), layers=10_000, width=32, batch=128, rates=(8e-6,), seeds=SEEDS, probed=False
    ),
    "four": Attempt(remedies=("init.he",), layers=4, rates=(3e-3,), seeds=SEEDS, steps=300, probed=False),
    "linear": Attempt(layers=0, rates=(1e-2,), seeds=SEEDS, steps=300, probed=False),
    "relu": Attempt(rates=RATES),
    "relu-he": Attempt(remedies=("init.he",), rates=RATES),
    "relu-orthogonal": Attempt(remedies=("init.orthogonal",), rates=RATES),
    "relu-lsuv": Attempt(remedies=("init.lsuv",), rates=RATES),
    "relu-mirrored": Attempt(remedies=("init.mirrored",), seeds=SEEDS),
    "sigmoid": Attempt("sigmoid", rates=RATES),
    "sigmoid-xavier": Attempt("sigmoid", remedies=("init.xavier",), rates=RATES),
    "sigmoid-lsuv": Attempt("sigmoid", remedies=("init.lsuv",), rates=RATES),
    "sigmoid-tailored": Attempt("sigmoid", remedies=("activation.tailored",), seeds=SEEDS),
    "fix-relu": Fix("relu"),
    "fix-sigmoid": Fix("sigmoid"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run what is not there yet, print, write."""
    given = _options().parse_args(arguments)
    parts = {name: quick(part) if given.quick else with_seeds(part, given.seeds) for name, part in PARTS.items()}
    known = {} if given.again else load(given.out, NAME).get("parts", {})
    found = {name: part for name, part in known.items() if name in parts and part["settings"] == settings(parts[name])}
    result = {"machine": machine.describe(1), "quick": given.quick, "parts": found}
    for name in given.only or parts:
        for part in made(parts[name], found.get(name)):
            found[name] = {"settings": settings(parts[name]), **part}
            result["parts"] = {each: found[each] for each in parts if each in found}
            save(given.out, NAME, result)
            say(f"{name}: {page.told(found[name])}")
    print("\n\n".join(page.sections(result).values()))
    if given.out and given.out.resolve() == RESULTS and not given.quick:
        page.write(result)


def _options() -> argparse.ArgumentParser:
    options = parser(__doc__)
    options.add_argument("--only", type=partial(one_of, PARTS), help=f"some parts: {', '.join(PARTS)}")
    options.add_argument("--seeds", type=int, default=len(SEEDS), help=f"of what trains ({len(SEEDS)})")
    options.add_argument("--again", action="store_true", help="run what is there already, too")
    return options


def quick(part: Part) -> Part:
    """The same in small: does it run?"""
    if isinstance(part, Fix):
        return replace(part, layers=12, steps=10)
    layers = part.layers if part.layers < 100 else part.layers // 25
    return replace(part, layers=layers, steps=6, seeds=part.seeds[:1], rates=part.rates[:1])


def with_seeds(part: Part, seeds: int) -> Part:
    """With so many of its seeds."""
    return part if isinstance(part, Fix) else replace(part, seeds=part.seeds[:seeds])


def settings(part: Part) -> dict[str, Any]:
    """What a result hangs on, as it stands in the file; the rates and seeds are those of its runs."""
    told: dict[str, Any] = json.loads(json.dumps(asdict(part)))
    return told if isinstance(part, Fix) else {k: v for k, v in told.items() if k not in ("rates", "seeds")}


def made(part: Part, known: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """The part after each training that was missing, in a process of its own, on one thread."""
    if isinstance(part, Fix):
        if known is None:
            yield fixed(part)
        return
    runs: list[dict[str, Any]] = list(known["runs"]) if known else []
    there = {(one["seed"], one["rate"]) for one in runs}
    missing = [(seed, rate) for seed, rate in product(part.seeds, part.rates) if (seed, rate) not in there]
    if not missing:
        return
    with Worker(threads=1) as worker:
        before = known["before"] if known else worker.call(seen, part)
        for seed, rate in missing:
            runs.append(worker.call(run, part, rate, seed))
            yield {"before": before, "runs": runs}


def fixed(part: Fix) -> dict[str, Any]:
    """Let the command find and prove a cure.

    Raises:
        RuntimeError: If it comes to no answer.
    """
    wanted = [f"{EXAMPLE}:{part.target}", "--steps", str(part.steps), "--seeds", str(part.seeds), "--json"]
    started, before = time.perf_counter(), _seconds_of_children()
    done = subprocess.run(
        [sys.executable, "-m", "headwater", "fix", *wanted],
        cwd=ROOT,
        env={**os.environ, "LAYERS": str(part.layers), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"headwater fix {' '.join(wanted)} ended with status {done.returncode}")
    seconds = time.perf_counter() - started, _seconds_of_children() - before
    return told_of(json.loads(done.stdout), part.steps, *seconds)


def told_of(cure: dict[str, Any], steps: int, wall_s: float, cpu_s: float) -> dict[str, Any]:
    """What the benchmark keeps of a cure's JSON."""
    proof = cure["proof"] or {}
    cost = proof.get("cost") or {}
    return {
        "verdict": cure["verdict"],
        "remedies": cure["remedies"],
        "candidates": [
            {key: one[key] for key in ("remedies", "standing", "rate", "steps", "metric")} for one in cure["candidates"]
        ],
        "left_out": [note["values"] for note in cure["notes"] if note["id"] == "cure.note_merges"],
        "before": cure["metric_before"],
        "after": cure["metric_after"],
        "interval": proof.get("interval"),
        "placebo": proof.get("placebo"),
        "random_remedy": proof.get("random_remedy"),
        "training_s": cost["step_s_after"] * steps if cost else None,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
    }


def _seconds_of_children() -> float:
    """Processor seconds of all processes that were started and have ended, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
