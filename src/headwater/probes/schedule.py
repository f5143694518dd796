"""Which steps are measured: every Nth, or as many as a budget of time allows."""

from __future__ import annotations

import math
import statistics
from collections import deque
from typing import Literal

from headwater.records import InputError

Level = Literal["none", "light", "thorough"]
"""Unmeasured; one pass over each tensor; also what takes more than that (collapse, path, time steps, attention)."""

_MEMORY = 15  # durations whose median is what a step takes: a validation between two steps does not move it
_FIRST_LIGHT = (4, 9)  # steps measured whatever they cost, beside the very first: training changes fastest there
_AFTER_ALARM = 3
_FEW = 2  # costs, beside the one at hand, that make a median
_EAGER = 5  # steps that a step may take longer because it ran uncompiled
_THOROUGH_SHARE = 0.3  # of the budget
_THOROUGH_AFTER = (0, 10)  # measured steps at which a fixed schedule is thorough; then every hundredth
_THOROUGH_EVERY = 100
_RAREST = 20  # powers of two: of a million steps


class Schedule:
    """Decides after each step how the next one is measured, and keeps the account of what that cost.

    With ``every="auto"`` each step earns ``budget`` times its own duration, and a measurement is made when what it is
    expected to cost has been earned. Both are medians of the last few, so the rate follows when the model, the batch or
    the machine changes. The first step, two early ones and those after an alarm are measured on credit.

    Ranks that train together must measure the same steps, or there is nothing to put together, and all of them would
    wait for the one that measures. They cannot ask each other. So there a rank measures every 2ᵏth step, with k from
    its own account: whatever another one's k is, they meet at each step that is a multiple of the larger.

    Args:
        every: A whole number from 1, or ``"auto"``.
        budget: Share of the training time that measuring may take, above 0, for ``"auto"``.
        together: Whether other ranks train along.

    Raises:
        InputError: If either is something else.
    """

    def __init__(self, every: int | Literal["auto"] = "auto", budget: float = 0.02, together: bool = False) -> None:
        whole = isinstance(every, int) and not isinstance(every, bool) and every >= 1
        if every != "auto" and not whole:
            raise InputError(f'every={every!r}: give a whole number from 1 (every=10), or every="auto" with a budget.')
        if not isinstance(budget, (int, float)) or isinstance(budget, bool) or not 0 < budget <= 1:
            raise InputError(f"budget={budget!r} is a share of the training time: 0.02 stands for 2 %.")
        self.every = every
        self.budget = budget
        self._together = together
        self.steps = 0
        self.sampled = 0
        self.thorough = 0
        self._plain: deque[float] = deque(maxlen=_MEMORY)
        self._costs: dict[Level, deque[float]] = {level: deque(maxlen=_MEMORY) for level in ("light", "thorough")}
        self._credit: dict[Level, float] = {"light": 0.0, "thorough": 0.0}
        self._urgent = 0
        self._is_closer_look_due = False
        self._time_s = 0.0
        self._cost_s = 0.0

    @property
    def step_s(self) -> float | None:
        """What an unmeasured step takes, in seconds; ``None`` before one has been seen."""
        return statistics.median(self._plain) if self._plain else None

    @property
    def overhead(self) -> float | None:
        """Time that measuring has added so far, as a share of the training's own; ``None`` before the first step."""
        own = self._time_s - self._cost_s
        return self._cost_s / own if own > 0 else None

    def first(self) -> Level:
        """How the first step is measured."""
        return "thorough"

    def after(self, level: Level, duration_s: float, spent_s: float) -> Level:
        """Enter a step into the account and decide on the next.

        Args:
            level: How the step was measured.
            duration_s: From the step before to this one, measuring included.
            spent_s: Of it, what the probes know they took themselves.
        """
        self.steps += 1
        cost = 0.0
        if level == "none":
            self._plain.append(duration_s)
        else:
            cost = self._cost(level, duration_s, spent_s)
        self._time_s += duration_s
        self._cost_s += cost
        usual = self.step_s if self.step_s is not None else max(0.0, duration_s - cost)
        self._credit["light"] += (1 - _THOROUGH_SHARE) * self.budget * usual
        self._credit["thorough"] += _THOROUGH_SHARE * self.budget * usual
        return self._auto() if self.every == "auto" else self._fixed()

    def number(self, step: int) -> int:
        """The how-manieth of all steps that could be measured a step is."""
        return step // self.every if isinstance(self.every, int) else step

    def alarm(self) -> None:
        """Look closer: something has just gone wrong. While the account is far in debt this is ignored.

        With a fixed ``every`` the next step that is measured anyway is measured thoroughly.
        """
        self._is_closer_look_due = True
        allowance = -50 * self.budget * (self.step_s or 0.0) * _AFTER_ALARM
        if self.every == "auto" and self._credit["thorough"] > min(allowance, -3 * self._expected("thorough")):
            self._urgent = _AFTER_ALARM

    def _cost(self, level: Level, duration_s: float, spent_s: float) -> float:
        """What measuring a step cost: how much longer it was than usual, and at least what the probes know of."""
        self.sampled += 1
        self.thorough += level == "thorough"
        usual = self.step_s
        cost = max(spent_s, duration_s - usual) if usual is not None else spent_s
        known = self._costs[level]
        # A pause of the user's between two steps (a validation) is no cost of ours. While few costs are known, one is
        # told by the step itself: what the probes do not know of is at most that it ran eagerly.
        if len(known) >= _FEW:
            charged = max(spent_s, min(cost, 3 * statistics.median([*known, cost])))
        else:
            charged = cost = min(cost, 3 * spent_s + _EAGER * (usual or 0.0))
        known.append(cost)
        self._credit[level] -= charged
        return charged

    def _expected(self, level: Level) -> float:
        return statistics.median(self._costs[level]) if self._costs[level] else 0.0

    def _auto(self) -> Level:
        if self._urgent:
            self._urgent -= 1
            return "thorough" if self._urgent == _AFTER_ALARM - 1 and not self._together else "light"
        if self.steps in _FIRST_LIGHT:
            return "light"
        if self.steps <= max(_FIRST_LIGHT):
            return "none"
        if self._together:
            return self._together_with_others()
        for level in ("thorough", "light"):
            if self._credit[level] >= self._expected(level):
                return level
        return "none"

    def _together_with_others(self) -> Level:
        usual = self.step_s or 0.0
        share: dict[Level, float] = {"thorough": _THOROUGH_SHARE, "light": 1 - _THOROUGH_SHARE}
        for level, part in share.items():
            known = level if self._costs[level] else "thorough"
            if self.steps % _stride(self._expected(known), part * self.budget * usual, self._credit[level]) == 0:
                return level
        return "none"

    def _fixed(self) -> Level:
        assert isinstance(self.every, int)
        if self.steps % self.every:
            return "none"
        number = self.steps // self.every
        due, self._is_closer_look_due = self._is_closer_look_due and not self._together, False
        return "thorough" if due or number in _THOROUGH_AFTER or number % _THOROUGH_EVERY == 0 else "light"


def _stride(cost: float, allowance: float, credit: float) -> int:
    """Every how-manieth step is measured, a power of two: at least as rarely as a step's allowance pays for.

    Args:
        cost: Of a measurement, in seconds.
        allowance: What a step earns for such measurements, in seconds.
        credit: What was earned and not spent; in debt, every other one is left out until that is paid.
    """
    if allowance <= 0:
        return 1 << _RAREST
    wanted = max(1.0, cost / allowance)
    exponent = math.ceil(math.log2(wanted)) + (credit < -cost)
    return 1 << min(exponent, _RAREST)
