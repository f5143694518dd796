"""Everybody who is asked: each gets an experiment, a number of steps it may watch, and a seed.

A diagnoser is a function ``diagnose(experiment, steps, seed) -> Opinion`` in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from headwater.records import Experiment


@dataclass(frozen=True)
class Opinion:
    """What a diagnoser says about a program.

    Attributes:
        alarm: Whether it says that something is wrong, of severity warning or worse.
        symptom: What, by the ids of ``program.SYMPTOMS``, of the finding it puts first; ``None`` if it has no word.
        cause: Why, by the ids of ``program.CAUSES``.
        sites: Where, as ``named_modules()`` names it.
        verdict: The diagnoser's own words.
        value: The number its verdict rests on, if it is one.
        undecided: Whether it says that it cannot tell.
    """

    alarm: bool
    symptom: str | None = None
    cause: str | None = None
    sites: tuple[str, ...] = ()
    verdict: str = ""
    value: float | None = None
    undecided: bool = False


Diagnose = Callable[[Experiment, int, int], Opinion]


@dataclass(frozen=True)
class Diagnoser:
    """One of them.

    Args:
        label: Name for people.
        module: The file in this folder.
        is_usual: Whether it is asked if nobody is named.
    """

    label: str
    module: str
    is_usual: bool = True

    def diagnose(self, experiment: Experiment, steps: int, seed: int) -> Opinion:
        """Its opinion of an experiment of which it may watch so many steps."""
        return self._ask()(experiment, steps, seed)

    def require(self) -> None:
        """See to it that it can be asked.

        Raises:
            ImportError: If a package it needs is not installed.
        """
        self._ask()

    def _ask(self) -> Diagnose:
        # Loaded here and nowhere else: who is not asked brings no packages.
        ask: Diagnose = import_module(f"benchmarks.faults.diagnosers.{self.module}").diagnose
        return ask


DIAGNOSERS = {
    "headwater": Diagnoser("headwater", "headwater"),
    "intervening": Diagnoser("headwater with interventions", "intervening", is_usual=False),
    "torchmortem": Diagnoser("torchmortem", "torchmortem"),
    "autotrainer": Diagnoser("AUTOTRAINER's rules", "autotrainer"),
    "sagemaker": Diagnoser("SageMaker Debugger's rules", "sagemaker"),
    "grad_flow": Diagnoser("plot_grad_flow", "grad_flow"),
    "optimist": Diagnoser("always says healthy", "optimist"),
}

USUAL = tuple(name for name, diagnoser in DIAGNOSERS.items() if diagnoser.is_usual)

# These tools name symptoms. Each is credited with the cause that is usually meant by the word.
USUAL_CAUSE = {
    "vanishing": "activation_derivative",
    "exploding": "weights_too_large",
    "nonfinite": "numeric_overflow",
    "dead_units": "dead_relu",
    "saturation": "saturated_activation",
    "rank_collapse": "depth_without_shortcut",
    "bad_init_small": "weights_too_small",
    "bad_init_large": "weights_too_large",
    "not_updating": "learning_rate_low",
    "lr_too_low": "learning_rate_low",
    "lr_too_high": "learning_rate_high",
    "oscillation": "learning_rate_high",
    "overfitting": "capacity_or_label_noise",
    "underfitting": "capacity_or_label_noise",
}


def alarm(symptom: str, sites: tuple[str, ...] = (), verdict: str = "") -> Opinion:
    """An alarm of a tool that names no cause."""
    return Opinion(True, symptom, USUAL_CAUSE.get(symptom), sites, verdict)


FINE = Opinion(False)
