"""What a remedy is, and how one of adjustable strength is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from headwater.records import InputError
from headwater.remedies.data import Data
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order

Plan = Callable[[nn.Module, Order, int], tuple[Edit, ...]]
PlanWithData = Callable[[nn.Module, Order, int, Data], tuple[Edit, ...]]


class NotApplicableError(InputError):
    """A remedy cannot do its work on this model; the message says why and what would."""


@dataclass(frozen=True)
class Strength:
    """The number that may stand behind an id: ``regularisation.l2:0.01``.

    Attributes:
        meaning: What it is, for messages: ``λ, the weight of the penalty``.
        default: What the id alone stands for.
        plan: ``plan(strength, remedy_id, model, order, seed)`` gives the edits.
        below: It must be smaller than this, and positive.
    """

    meaning: str
    default: float
    plan: Callable[[float, str, nn.Module, Order, int], tuple[Edit, ...]]
    below: float = float("inf")


@dataclass(frozen=True)
class Remedy:
    """One change to a model, to how it is optimised, or to both.

    Attributes:
        id: Such as ``init.he``, or ``regularisation.l2:0.01`` with a strength.
        plan: ``plan(model, order, seed)`` gives the edits; it changes nothing, and raises ``NotApplicableError`` where
            there is nothing it could do.
        strength: What may stand behind a colon; ``None`` if nothing may.
        is_cure: Whether anybody would try it against trouble. Lessons also show what makes networks ill; a proof never
            draws that as its random remedy, which would make the tested one look good.
        plan_with_data: In the place of ``plan``, ``plan_with_data(model, order, seed, data)`` of a remedy that runs the
            model on a batch before it decides. It leaves the model as it was, too.
    """

    id: str
    plan: Plan | None = None
    strength: Strength | None = None
    is_cure: bool = True
    plan_with_data: PlanWithData | None = None

    @property
    def needs_data(self) -> bool:
        """Whether it runs the model on a batch before it decides."""
        return self.plan_with_data is not None

    def edits(self, model: nn.Module, order: Order, seed: int, data: Data | None = None) -> tuple[Edit, ...]:
        """What it would change.

        Raises:
            NotApplicableError: If there is nothing it could do, or it needs data and there are none.
        """
        if self.plan_with_data is None:
            assert self.plan is not None, f"{self.id} has no plan"
            return self.plan(model, order, seed)
        if data is None:
            raise NotApplicableError(
                f"{self.id} looks at what the model makes of a batch before it decides: "
                f"hw.apply(model, {self.id!r}, batch=batch, loss=loss)."
            )
        return self.plan_with_data(model, order, seed, data)

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
        return adjustable(f"{self.id}:{written}", self.strength, value)


def adjustable(remedy_id: str, strength: Strength, value: float | None = None) -> Remedy:
    """A remedy at a strength, by default the one its id alone stands for."""
    return Remedy(remedy_id, partial(strength.plan, strength.default if value is None else value, remedy_id), strength)
