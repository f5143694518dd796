"""What a rule is: one symptom, looked for in one observation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headwater.records import Finding, Flow, Message, Waterfall


@dataclass(frozen=True)
class Observation:
    """What rules look at.

    Attributes:
        flow: The measured step.
        waterfall: Its gradient budget, ``None`` where no gradient reached a site.
    """

    flow: Flow
    waterfall: Waterfall | None


@dataclass(frozen=True)
class Rule:
    """One symptom and how to find it.

    Attributes:
        symptom: Its id.
        look: Yields a finding for each place where the symptom is there.
        blocked: Why the symptom cannot be looked for in this observation, ``None`` if it can.
    """

    symptom: str
    look: Callable[[Observation], Iterable[Finding]]
    blocked: Callable[[Observation], Message | None] = lambda observation: None


def needs_path(observation: Observation) -> Message | None:
    """For rules that read the gradient's path: why there is none, or none that shows a trend."""
    budget = observation.waterfall
    if budget is None:
        return Message("unchecked.no_path")
    matrices = sum(len(p.shape) > 1 and p.grad is not None for p in observation.flow.parameters)
    alone = budget.first == budget.last and matrices > 1
    return Message("unchecked.one_site") if alone else None


def needs_update(observation: Observation) -> Message | None:
    """For rules that read an optimizer's step: why there is none."""
    return None if observation.flow.optimizer else Message("unchecked.no_optimizer")
