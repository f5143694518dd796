"""What a program of the benchmark is: an experiment, and what is known about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from headwater.records import Experiment

SYMPTOMS = frozenset(
    {
        *("vanishing", "exploding", "underflow", "overflow", "nonfinite", "dead_units", "saturation", "rank_collapse"),
        *("zigzag", "linear_collapse", "symmetric_init", "bad_init_small", "bad_init_large", "not_updating"),
        *("lr_too_high", "lr_too_low", "oscillation", "overfitting", "underfitting", "unscaled_input"),
        *("loss_activation_mismatch", "vanishing_through_time", "dropout_too_high", "normalization_misuse"),
        *("double_regularization", "gated_by_design"),
    }
)
"""What can be wrong, as docs/json.md names it."""

CAUSES = frozenset(
    {
        *("activation_derivative", "weights_too_small", "weights_too_large", "init_mismatch"),
        *("depth_without_shortcut", "saturated_activation", "dead_relu", "learning_rate_high", "learning_rate_low"),
        *("no_nonlinearity", "non_zero_centered", "optimizer_params", "detached_graph", "frozen", "data_scale"),
        *("capacity_or_label_noise", "weight_decay_high", "dropout_high", "loss_mismatch", "numeric_overflow"),
        *("numeric_underflow", "recurrent_weights", "normalization_misuse"),
    }
)
"""Why it can be wrong."""

STEPS = 150
WATCHED = 40


@dataclass(frozen=True)
class Fault:
    """What was planted.

    Attributes:
        symptoms: The expected one, then those that are as true.
        causes: The expected one, then those that are as true.
        sites: Globs of the modules where it is, names as ``named_modules()`` has them; ``None`` where the fault has no
            place (a learning rate, the data).
    """

    symptoms: tuple[str, ...]
    causes: tuple[str, ...]
    sites: tuple[str, ...] | None = None

    def at(self, *sites: str) -> Fault:
        """The same fault in a place."""
        return replace(self, sites=sites)


@dataclass(frozen=True)
class Program:
    """A training program as somebody could have written it.

    Attributes:
        id: Unique; diagnosers never see it.
        family: Kind of network; figures are told per family.
        make: Makes the experiment: a recipe with its arguments.
        fault: What was planted, ``None`` if the program is healthy.
        twin: The healthy program that this one is without its fault.
        steps: Optimizer steps that verification trains for.
        watched: Optimizer steps that a diagnoser may watch.
        chance: Metric of a network that has learnt nothing.
        learns: Metric that a healthy program must reach in ``steps`` with every seed.
    """

    id: str
    family: str
    make: partial[Experiment]
    fault: Fault | None = None
    twin: str | None = None
    steps: int = STEPS
    watched: int = WATCHED
    chance: float = 0.0
    learns: float = 0.0

    def but(self, name: str, fault: Fault, *, watched: int | None = None, **changes: Any) -> Program:
        """The program with a fault: the same recipe with some other arguments.

        Args:
            name: Of the fault; the id is that of this program, a slash and the name.
            fault: What the changes plant.
            watched: Steps after which the fault can show, if others than of this program.
            changes: Arguments of the recipe.
        """
        return replace(
            self,
            id=f"{self.id}/{name}",
            make=partial(self.make, **changes),
            fault=fault,
            twin=self.id,
            watched=self.watched if watched is None else watched,
        )
