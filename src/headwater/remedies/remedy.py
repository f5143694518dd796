"""What a remedy is."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from headwater.records import InputError
from headwater.remedies.edits import Edit
from headwater.remedies.order import Order


class NotApplicableError(InputError):
    """A remedy cannot do its work on this model; the message says why and what would."""


@dataclass(frozen=True)
class Remedy:
    """One change to a model.

    Attributes:
        id: Such as ``init.he``.
        plan: ``plan(model, order, seed)`` gives the edits; it changes nothing, and raises ``NotApplicableError`` where
            there is nothing it could do.
    """

    id: str
    plan: Callable[[nn.Module, Order, int], tuple[Edit, ...]]
