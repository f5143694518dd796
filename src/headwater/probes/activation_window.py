"""Dead units over a window of measured steps: a unit that was silent once may only have met no input of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from headwater.probes.activation_state import ActivationState
from headwater.probes.rows import site_names
from headwater.probes.site_record import SiteRecord
from headwater.records import Flow, SiteFlow


class ActivationWindow:
    """Keeps one byte per unit and step.

    Args:
        length: Measured steps looked back over.
    """

    def __init__(self, length: int) -> None:
        self._steps: dict[str, deque[ActivationState]] = {}
        self._length = length

    def add(self, records: list[SiteRecord]) -> None:
        """A measured step's activations."""
        names: dict[int, str] | None = None
        for record in records:
            state = ActivationState.merge_all(record.states)
            if state is None:
                continue
            names = names or site_names(records)
            self._steps.setdefault(names[id(record)], deque(maxlen=self._length)).append(state)

    def largest_dead_fraction(self) -> float | None:
        """Of the site with most dead units; ``None`` where no site has units that can die."""
        found = [
            1.0 - float(np.mean(np.any([state.alive for state in states if state.units == states[-1].units], axis=0)))
            for states in self._steps.values()
            if states[-1].units and states[-1].count
        ]
        return max(found, default=None)

    def applied(self, flow: Flow) -> Flow:
        """A flow whose dead units are those of the window."""
        return replace(flow, sites=tuple(self._applied(flow.sites)))

    def _applied(self, rows: Iterable[SiteFlow]) -> Iterable[SiteFlow]:
        for row in rows:
            states = [state for state in self._steps.get(row.site.name, ()) if state.units == row.units]
            if not states:
                yield row
                continue
            alive = np.any([state.alive for state in states], axis=0)
            count = sum(state.count for state in states)
            yield replace(
                row,
                dead_fraction=float(np.mean(~alive)) if count else None,
                saturated_fraction=sum(state.saturated for state in states) / count if count else None,
                observations=sum(state.observations for state in states),
                window=len(states),
            )
