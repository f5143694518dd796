"""What a site showed while its step is still running."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from headwater.probes.activation_state import ActivationState
from headwater.probes.attention import AttentionStatistics
from headwater.probes.catalogue import ModuleInfo
from headwater.probes.time_steps import TimeSteps
from headwater.records import SiteKind, TimeGradient
from headwater.records.site import Scalar


class GradientTaker(Protocol):
    """Whoever measures the gradients that arrive at sinks."""

    is_open: bool

    def note_gradient(self, sink: GradientSink, gradient: Tensor) -> None:
        """Measure a gradient that has arrived at a sink."""


@dataclass(eq=False, slots=True)
class GradientSink:
    """Takes the gradients that arrive at one tensor during the backward pass; keeps rows of a ledger only."""

    taker: GradientTaker | None
    nested: bool = False  # of a pass that checkpointing runs inside another one
    rows: list[int] = field(default_factory=list)
    tasks: list[int] = field(default_factory=list)

    def __call__(self, gradient: Tensor) -> None:
        if self.taker is not None and self.taker.is_open:
            self.taker.note_gradient(self, gradient)

    def __deepcopy__(self, memo: dict[int, Any]) -> GradientSink:
        return GradientSink(None)

    def __reduce__(self) -> Any:
        return GradientSink, (None,)


@dataclass(eq=False, slots=True)
class SiteRecord:
    """What a site showed, while the step is still running. Holds row numbers and graph nodes, never a tensor."""

    info: ModuleInfo
    op: str
    kind: SiteKind
    call: int
    functional: bool
    activation_id: str | None
    activation_parameters: dict[str, Scalar]
    settings: dict[str, Scalar]
    shape: tuple[int, ...]
    dtype: torch.dtype
    root_call: int  # the how-manieth call of the model or of a part of it from outside
    passes: int = 0
    activation: list[int] = field(default_factory=list)
    input: list[int] = field(default_factory=list)
    activation_grad: list[GradientSink] = field(default_factory=list)
    other_grad: list[GradientSink] = field(default_factory=list)  # of the outputs beside the main one
    input_grad: list[GradientSink] = field(default_factory=list)
    states: list[ActivationState] = field(default_factory=list)
    abs_cosine: float | None = None
    effective_rank: float | None = None
    unit_spread: float | None = None
    weight_gain: float | None = None
    attention: AttentionStatistics | None = None
    time_steps: TimeSteps | None = None
    time_gradients: tuple[TimeGradient, ...] = ()
    out_nodes: tuple[Any, ...] = ()
    in_nodes: tuple[Any, ...] = ()
    needs_gradient: bool = False
    input_needs_gradient: bool = False

    @property
    def base_name(self) -> str:
        """The site's name without the number of the call."""
        if not self.functional:
            return self.info.name or self.op
        return f"{self.info.name}/{self.op}" if self.info.name else self.op
