"""Data to choose by and data to prove on.

Whoever chooses among many candidates by some data finds one that suits those data by chance. Where a strength or a
remedy is chosen, the proof is therefore about data that had no part in it: the experiment's ``test``, or, without
one, half of its validation data.

Source: Cawley and Talbot 2010, "On over-fitting in model selection and subsequent selection bias in performance
evaluation", JMLR 11:2079.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch

from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Experiment, InputError
from headwater.records.proof import HeldOutKind
from headwater.remedies import seeds
from headwater.remedies.trial import NO_VALIDATION, made, seed_everything

Purpose = Literal["choose", "prove"]

WHAT_TO_ADD = (
    "these candidates are chosen by the validation data, so the proof needs data that had no part in it. Validation of "
    "one batch that cannot be cut in two gives none: add Experiment(..., test=lambda: [(x_test, y_test)])."
)


def kind_of(experiment: Experiment, separate: bool) -> HeldOutKind:
    """What a proof's metric will be taken of.

    Args:
        experiment: With validation data.
        separate: Whether it must be data that nothing was chosen by.
    """
    if experiment.test is not None:
        return "test"
    return "half" if separate else "validation"


class HeldOut:
    """The held-out data of an experiment by purpose."""

    def __init__(self, experiment: Experiment, kind: HeldOutKind) -> None:
        if experiment.validation is None:
            raise InputError(NO_VALIDATION)
        self._experiment, self._kind = experiment, kind
        self._halves: dict[Purpose, list[Any]] = {}

    def batches(self, purpose: Purpose) -> Iterable[Any]:
        """The batches to choose by, or to prove on.

        Raises:
            InputError: If the validation data have to be split and cannot be, or the test data are empty.
        """
        if self._kind == "half":
            if not self._halves:
                self._halves = dict(zip(("choose", "prove"), halves(self._kept()), strict=True))
            return self._halves[purpose]
        part = "test" if self._kind == "test" and purpose == "prove" else "validation"
        batches: Iterable[Any] = made(self._experiment, part)
        if not isinstance(batches, Iterable):
            raise InputError(f"Experiment.{part}() must return an iterable of batches, got {type(batches).__name__}.")
        return batches

    def _kept(self) -> list[Any]:
        """The validation data, gone through once: if they are shuffled each time, so would the halves be."""
        outside = random_states()
        seed_everything(seeds.HELD_OUT)
        try:
            return list(made(self._experiment, "validation"))
        finally:
            restore_random_states(outside)


def halves(batches: list[Any]) -> tuple[list[Any], list[Any]]:
    """Two halves: every other row of each batch, or every other batch where batches have no rows.

    Every other, not the first and the second: data sorted by class keep their classes in both.

    Raises:
        InputError: If there is a single batch without rows.
    """
    if not batches:
        raise InputError("Experiment.validation() gave no batch, so there is nothing to score the model on.")
    if all(_rows(batch) >= 2 for batch in batches):
        return [_every_other(batch, 0) for batch in batches], [_every_other(batch, 1) for batch in batches]
    if len(batches) < 2:
        raise InputError(WHAT_TO_ADD)
    return batches[0::2], batches[1::2]


def _rows(batch: Any) -> int:
    """How many samples a batch has, if all of its tensors agree; else 0."""
    sizes = {len(tensor) if tensor.dim() else 0 for tensor in _tensors(batch)}
    return sizes.pop() if len(sizes) == 1 and _is_made_of_tensors(batch) else 0


def _tensors(batch: Any) -> list[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        return [batch]
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (tuple, list)) else ()
    return [tensor for part in parts for tensor in _tensors(part)]


def _is_made_of_tensors(batch: Any) -> bool:
    if isinstance(batch, Mapping):
        return type(batch) is dict and all(map(_is_made_of_tensors, batch.values()))
    if type(batch) in (tuple, list):
        return all(map(_is_made_of_tensors, batch))
    return isinstance(batch, torch.Tensor)


def _every_other(batch: Any, first: int) -> Any:
    if isinstance(batch, torch.Tensor):
        return batch[first::2]
    if isinstance(batch, dict):
        return {key: _every_other(part, first) for key, part in batch.items()}
    return type(batch)(_every_other(part, first) for part in batch)
