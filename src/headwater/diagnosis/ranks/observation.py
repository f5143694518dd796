"""What rules about ranks look at: numbers of several processes that train one model, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headwater.records import Finding, Flow
from headwater.records.place import Place

Columns = Mapping[str, NDArray[np.float64]]
"""Statistics by name: rows by points, NaN where a rank has none."""

OF_SITES = ("activation_rms", "activation_mean", "activation_std")
OF_PARAMETERS = ("value_rms", "grad_norm", "local_grad_rms")


@dataclass(frozen=True)
class Ranks:
    """Several ranks of one training.

    Attributes:
        places: Where each stands among the others.
        flows: Of one step, what each kept of it; empty where they kept none together.
        steps: Of the points: recorded steps that all ranks have.
        site_names: Rows of ``sites``.
        parameter_names: Rows of ``parameters``.
        sites: By rank.
        parameters: By rank.
        pieces: Per parameter, for each rank which piece it holds; the same number is the same piece, -1 is none.
        taken: Optimizer steps that each took, of ranks that have ended; of the others nothing.
        recorded: Steps that each has recorded.
        differing: Two ranks whose models differ, and the first site or parameter that does.
    """

    places: Mapping[int, Place]
    flows: Mapping[int, Flow]
    steps: NDArray[np.int64]
    site_names: tuple[str, ...]
    parameter_names: tuple[str, ...]
    sites: Mapping[int, Columns]
    parameters: Mapping[int, Columns]
    pieces: Mapping[int, NDArray[np.int64]]
    taken: Mapping[int, int]
    recorded: Mapping[int, int]
    differing: tuple[int, int, str] | None = None

    @property
    def with_data(self) -> list[int]:
        """A rank for each batch: of those that share the pieces of a model among them, the first."""
        first: dict[int, int] = {}
        for rank in sorted(self.places):
            first.setdefault(self.places[rank].replica, rank)
        return sorted(first.values())


@dataclass(frozen=True)
class RankRule:
    """One symptom that only several ranks reveal.

    Attributes:
        symptom: Its id.
        look: Yields a finding for each place where it is there.
    """

    symptom: str
    look: Callable[[Ranks], Iterable[Finding]]


def named(ranks: Iterable[int]) -> str:
    """Ranks in a sentence: ``0, 1, 2``; of many the first ones."""
    listed = [str(rank) for rank in sorted(ranks)]
    return ", ".join(listed[:_MOST] + ["…"] * (len(listed) > _MOST))


_MOST = 8
