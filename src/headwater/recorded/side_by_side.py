"""What rules about ranks look at, from a recorded run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from headwater.diagnosis.ranks.observation import OF_PARAMETERS, OF_SITES, Ranks
from headwater.recorded.health import differing_models
from headwater.store.columns import Group
from headwater.store.reading import Wanted
from headwater.store.together import Points, at_points, holding_of

if TYPE_CHECKING:
    from headwater.recorded.together import TogetherRun

MOST_POINTS = 64
"""Of the last recorded steps; what has healed before is past."""


def side_by_side(run: TogetherRun) -> Ranks:
    """The ranks of a run over its last recorded steps."""
    points = Points(run.points.keys[-MOST_POINTS:], run.points.times[-MOST_POINTS:])
    sites, parameters = run.site_names, run.parameters
    members = run.members
    span = (int(points.steps.min()), int(points.steps.max()) + 1) if len(points) else (0, 0)
    holding = holding_of({rank: member.starts for rank, member in members.items()}, "parameters", parameters)

    def columns(
        group: Group, names: list[str], statistics: tuple[str, ...]
    ) -> dict[int, dict[str, NDArray[np.float64]]]:
        return {
            rank: {name: at_points(member.starts, points, Wanted(group, name, names, *span)) for name in statistics}
            for rank, member in members.items()
        }

    ended = {rank: member.facts.get("steps") for rank, member in members.items() if member.state.name == "ended"}
    return Ranks(
        places={rank: member.place for rank, member in members.items()},
        flows=run.flows_by_rank(),
        steps=points.steps,
        site_names=tuple(sites),
        parameter_names=tuple(parameters),
        sites=columns("sites", sites, OF_SITES),
        parameters=columns("parameters", parameters, OF_PARAMETERS),
        pieces=dict(zip(members, holding.pieces, strict=True)),
        taken={rank: steps for rank, steps in ended.items() if isinstance(steps, int)},
        recorded={rank: len(member) for rank, member in members.items()},
        differing=differing_models(members),
    )
