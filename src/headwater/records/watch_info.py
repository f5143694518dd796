"""What is known of a training that was watched, beside the measurements."""

from dataclasses import dataclass

from headwater.records.message import Message


@dataclass(frozen=True)
class Event:
    """Something that happened at one step.

    Attributes:
        step: Optimizer steps taken before.
        message: What happened.
    """

    step: int
    message: Message


@dataclass(frozen=True)
class WatchInfo:
    """How a training was watched, and what that cost it.

    Attributes:
        every: ``"auto"``, or the number of steps from one measured step to the next, as text.
        budget: Share of the training time that measuring was allowed to take, for ``"auto"``.
        steps: Optimizer steps taken.
        sampled: Of them, how many were measured.
        thorough: Of those, how many with everything there is: collapse, path, time steps, attention.
        step_s: What an unmeasured step takes, in seconds; ``None`` if there was none.
        overhead: Time that measuring added, as a share of the training's own; without unmeasured steps to compare
            with, what the probes' own clock says, which leaves out the hooks' way in and out.
        events: What happened, oldest first.
        events_left_out: How many more happened than are listed.
    """

    every: str
    budget: float
    steps: int
    sampled: int
    thorough: int
    step_s: float | None
    overhead: float | None
    events: tuple[Event, ...] = ()
    events_left_out: int = 0
