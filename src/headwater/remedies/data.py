"""What some remedies look at before they decide."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Data:
    """One batch, and how it is fed to the model.

    Attributes:
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch) -> scalar tensor``.
    """

    batch: Any
    loss: Callable[[Any, Any], Any]
