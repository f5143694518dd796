"""Where a recorded training broke."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from headwater.records.message import Message

Broken = Literal["nonfinite", "exploding", "loss_spike", "underflow", "nothing_found", "nothing_recorded", "unreadable"]
WELL: tuple[Broken, ...] = ("nothing_found", "nothing_recorded", "unreadable")
"""Of those the ones by which nothing is known to have broken."""
TensorKind = Literal["input", "activation", "grad", "param", "loss"]
Origin = Literal[
    "overflow",
    "zero_by_zero",
    "bad_input",
    "fp16_underflow",
    "spoiled_by_update",
    "between_sites",
    "growth",
    "unknown",
]


@dataclass(frozen=True)
class Sample:
    """One recorded step on the way there; a number is ``None`` where it was not measured or not told.

    Attributes:
        step: Optimizer steps taken before.
        loss: The loss.
        activation_rms: Of the site's output.
        activation_abs_max: Largest finite magnitude in the site's output.
        activation_grad_rms: Of the gradient at the site's output.
        activation_grad_abs_max: Largest finite magnitude in it.
        nonfinite: NaN and Inf in the site's output, its gradient and its input, or in the parameter and its gradient.
        log10_gradient: log₁₀ of the rms of all parameters' gradients.
        update_ratio: ‖Δw‖/‖w‖ over all parameters.
    """

    step: int
    loss: float | None
    activation_rms: float | None
    activation_abs_max: float | None
    activation_grad_rms: float | None
    activation_grad_abs_max: float | None
    nonfinite: int | None
    log10_gradient: float | None
    update_ratio: float | None


@dataclass(frozen=True)
class Why:
    """Where and why a training broke, by what was recorded of it.

    Attributes:
        run: Name of the run.
        verdict: What happened first; ``unreadable`` where nothing is known to have broken, but not all can be read.
        state: ``running``, ``ended`` or ``broken``: no end was written.
        recorded: Steps that were recorded.
        last_step: The last one of them, ``None`` if there is none.
        step: The first recorded step that shows it; ``None`` where single steps cannot be read any more.
        finite_until: The last recorded step before; the steps between were not measured.
        recovered_at: The first recorded step after, if there is one, from which on nothing of it is left.
        kind: In what kind of tensor it was seen first.
        site: Name of the site or parameter; ``None`` for the loss.
        op: What the site is.
        dtype: Of its elements.
        cause: What made it.
        message: All of it in a sentence.
        evidence: The numbers it rests on.
        affected: Further sites with NaN or Inf at the same step.
        samples: The recorded steps before, at most 20, and the one itself.
        damage: Byte ranges that could not be read on the way.
        rank: On which rank it was seen first, of several that trained together; ``None`` of one process.
    """

    SCHEMA: ClassVar[str] = "headwater/why/1"

    run: str
    verdict: Broken
    state: str
    recorded: int
    last_step: int | None
    step: int | None = None
    finite_until: int | None = None
    recovered_at: int | None = None
    kind: TensorKind | None = None
    site: str | None = None
    op: str | None = None
    dtype: str | None = None
    cause: Origin | None = None
    message: Message = field(default_factory=lambda: Message("why.nothing_recorded"))
    evidence: tuple[Message, ...] = ()
    affected: int = 0
    samples: tuple[Sample, ...] = ()
    damage: tuple[Message, ...] = ()
    rank: int | None = None
