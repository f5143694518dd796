"""One running call of a module or a function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from headwater.probes.activation_state import ActivationState
from headwater.probes.catalogue import ModuleInfo
from headwater.probes.site_record import GradientSink
from headwater.records.site import Scalar


@dataclass(eq=False, slots=True)
class Measured:
    """What is known of one tensor: its row, the sink its gradient will arrive in, and whether one will."""

    row: int
    gradient: GradientSink
    expects_gradient: bool


@dataclass(eq=False, slots=True)
class Frame:
    """What was noted between the beginning of a call and its end."""

    info: ModuleInfo
    called_child: bool = False
    input: Tensor | None = None
    measured: Measured | None = None
    in_nodes: tuple[Any, ...] = ()
    state: ActivationState | None = None
    parameters: dict[str, Scalar] = field(default_factory=dict)
    rng_state: Tensor | None = None
    nested_input: GradientSink | None = None
