"""All programs, one file per family of networks."""

from __future__ import annotations

from importlib import import_module

from benchmarks.faults.program import Program

MADE_WITH = ("mlp", "cnn", "resnet", "recurrent", "transformer", "autoencoder", "gan", "lora", "regression")
"""Families whose answers were in sight while headwater's rules were worked over."""

HELD_OUT = {
    "mixer": "6b294f2",
    "segmentation": "6b294f2",
    "text": "6b294f2",
    "tabular": "6b294f2",
    "contrastive": "6b294f2",
    "generative": "6b294f2",
    "graph": "6b294f2",
}
"""Families written without sight of the rules, and the commit of the rules that met each of them first."""

HELD_OUT_SECOND = (
    *("signals", "translation", "moves", "physics", "recommender", "experts", "flows", "dense", "language"),
    *("deep", "targets", "pixels", "distilled", "precision"),
)
"""More of them, written when rules had been mended by the answers about the first ones.

The commit of the rules that met them first is stored with the answers of that run.
"""

HELD_OUT_THIRD = (
    *("everyday", "sets", "alignment", "control", "fields", "dynamics", "parametrised"),
    *("discrete", "likelihoods", "selfsupervised", "forecasting", "rare", "episodes", "restoration"),
    *("statespace", "molecules"),
)
"""A third set, mostly of healthy programs of many kinds: how often a healthy program is called faulty is what it asks.

Written without sight of the rules, of their thresholds, and of any answer.
"""

HELD_OUT_FOURTH = (
    *("forum", "decoder", "mobile", "stepping", "equilibrium", "capsules", "sounds", "video", "trees", "finetuned"),
    *("spiking", "classic", "multimodal", "opposed"),
)
"""A fourth set: present-day building blocks, unusual but working ones, and the mistakes people ask about in forums.

Written without sight of the rules, of their thresholds, and of any answer.
"""

HELD_OUT_FIFTH = (
    *("perceptrons", "convolved", "shortcuts", "gated", "gpt", "encoders", "codings", "adversaries", "adapters"),
    *("curves", "halves", "usual"),
)
"""A fifth set: the usual networks with the usual faults, each in a way of writing of its own.

Written without sight of the rules, of their thresholds, and of any answer.
"""

HELD_OUT_SIXTH = ("layered", "vision", "sequences", "estimates", "attending", "compressing", "skips", "lowrank")
"""A sixth set: plain networks on other data, most of them healthy, as an examiner from outside would set them.

Written without sight of the rules, of their thresholds, and of any answer.
"""

FAMILIES = (
    *(*MADE_WITH, *HELD_OUT, *HELD_OUT_SECOND, *HELD_OUT_THIRD),
    *(*HELD_OUT_FOURTH, *HELD_OUT_FIFTH, *HELD_OUT_SIXTH),
)


def programs(families: tuple[str, ...] = FAMILIES) -> dict[str, Program]:
    """Programs of some families by id, each healthy one before those made from it.

    Raises:
        ValueError: If two have one id.
    """
    known: dict[str, Program] = {}
    for family in families:
        for program in import_module(f"benchmarks.faults.families.{family}").PROGRAMS:
            if program.id in known:
                raise ValueError(f"two programs are called {program.id}: give one of them another name.")
            known[program.id] = program
    return known
