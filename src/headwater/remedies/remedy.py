"""What a remedy is, and how one of adjustable strength is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from headwater.records import InputError
from headwater.remedies.data import Data
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order

Plan = Callable[..., tuple[Edit, ...]]


class NotApplicableError(InputError):
    """A remedy cannot do its work on this model; the message says why and what would."""


@dataclass(frozen=True)
class Strength:
    """The number that may stand behind an id: ``regularisation.l2:0.01``.

    Attributes:
        meaning: What it is, for messages: ``λ, the weight of the penalty``.
        default: What the id alone stands for.
        plan: ``plan(strength, remedy_id, model, order, seed)`` gives the edits, with ``data`` behind them if the remedy
            needs some.
        below: It must be smaller than this, and positive.
    """

    meaning: str
    default: float
    plan: Callable[..., tuple[Edit, ...]]
    below: float = float("inf")


@dataclass(frozen=True)
class Remedy:
    """One change to a model, to how it is optimised, or to both.

    Attributes:
        id: Such as ``init.he``, or ``regularisation.l2:0.01`` with a strength.
        plan: ``plan(model, order, seed)`` gives the edits; it changes nothing, and raises ``NotApplicableError`` where
            there is nothing it could do. ``plan(model, order, seed, data)`` if it needs data; the model is then a copy
            with all earlier changes made, which the plan may run and change as it likes, and so are random states.
        strength: What may stand behind a colon; ``None`` if nothing may.
        is_cure: Whether anybody would try it against trouble. Lessons also show what makes networks ill; a proof never
            draws that as its random remedy, which would make the tested one look good.
        needs_data: Whether it measures something on the first batches of the training.
    """

    id: str
    plan: Plan
    strength: Strength | None = None
    is_cure: bool = True
    needs_data: bool = False

    def edits(self, model: nn.Module, order: Order, seed: int, data: Data | None) -> tuple[Edit, ...]:
        """The edits of the plan, which gets the data if it needs them.

        Raises:
            NotApplicableError: If it needs data and there are none, or it cannot do its work on this model.
        """
        if not self.needs_data:
            return self.plan(model, order, seed)
        if data is None:
            raise NotApplicableError(
                f"{self.id} measures on the training data and needs some: hw.apply(model, {self.id!r}, optimizer, "
                "batches=[batch], loss=loss), with loss(model, batch)."
            )
        return self.plan(model, order, seed, data)

    def at(self, written: str) -> "Remedy":
        """This remedy with the strength that was written behind the colon.

        Raises:
            InputError: If it takes none, or not this one.
        """
        if self.strength is None:
            raise InputError(f"{self.id} takes no strength: {self.id!r} instead of {f'{self.id}:{written}'!r}.")
        try:
            value = float(written)
        except ValueError:
            value = float("nan")
        if not 0.0 < value < self.strength.below:
            bound = "" if self.strength.below == float("inf") else f" and below {self.strength.below:g}"
            raise InputError(
                f"{self.id}:{written}: behind the colon stands {self.strength.meaning}, a number above 0{bound}: "
                f"{f'{self.id}:{self.strength.default:g}'!r}, which {self.id!r} alone means too."
            )
        return adjustable(f"{self.id}:{written}", self.strength, value, self.is_cure, self.needs_data)


def adjustable(
    remedy_id: str, strength: Strength, value: float | None = None, is_cure: bool = True, needs_data: bool = False
) -> Remedy:
    """A remedy at a strength, by default the one its id alone stands for."""
    plan: Plan = partial(strength.plan, strength.default if value is None else value, remedy_id)
    return Remedy(remedy_id, plan, strength, is_cure, needs_data)
