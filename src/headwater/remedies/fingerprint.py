"""Is it the same experiment, here and in another process, today and after a kill?"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from headwater.probes.preserve import random_states, restore_random_states
from headwater.records import Experiment, InputError
from headwater.remedies import seeds
from headwater.remedies.trial import endless, fresh_model, in_use, loss_in_use, made, make_optimizer, score

_DIGITS = 5  # of a loss: the last places depend on the number of threads


@dataclass(frozen=True)
class Identity:
    """What an experiment gives under a seed.

    Attributes:
        mark: Hash of model, weights, first batch, optimizer, loss and metric.
        repeatable: Whether asking again under the same seed gives the same data; data with a random generator of
            their own, or that are read on from a file, do not.
        weights_vary: Whether another seed gives other weights.
        data_vary: Whether another seed gives other data.
        one_object: Whether ``model()`` hands out the same object each time.
    """

    mark: str
    repeatable: bool
    weights_vary: bool
    data_vary: bool
    one_object: bool


def identity(experiment: Experiment, seed: int) -> Identity:
    """Find out what an experiment gives; random states are as before afterwards.

    Raises:
        InputError: If a part is missing or does not fit, or the metric gives no number for the untrained model.
    """
    outside = random_states()
    try:
        one_object = made(experiment, "model") is made(experiment, "model")
        model = fresh_model(experiment, seed)
        optimizer = make_optimizer(experiment, model)
        metric = score(experiment, model)
        if metric != metric:
            raise InputError(
                "the metric gives nan for the untrained model, so nothing can be compared by it: does it divide by a "
                "count that is 0, or does validation() hold nan? metric(model, batches) -> float."
            )
        batch, again = next(endless(experiment, seed)), next(endless(experiment, seed))
        with in_use(model):
            loss = loss_in_use(model, batch, experiment.loss)
        elsewhere = seed + seeds.PLACEBO
        weights, other = _mark(model.state_dict()), _mark(fresh_model(experiment, elsewhere).state_dict())
        data, other_data = _mark(batch), _mark(next(endless(experiment, elsewhere)))
        parts = (repr(model), weights, data, repr(optimizer), f"{loss:.{_DIGITS}g}", f"{metric:.{_DIGITS}g}")
        return Identity(
            mark=hashlib.blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest(),
            repeatable=data == _mark(again),
            weights_vary=weights != other,
            data_vary=data != other_data,
            one_object=one_object,
        )
    finally:
        restore_random_states(outside)


def _mark(value: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu().contiguous()
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        if tensor.layout == torch.strided and tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, Mapping):
        for key in value:
            digest.update(str(key).encode("utf-8", "replace"))
            _add(digest, value[key])
    elif isinstance(value, (tuple, list)):
        for part in value:
            _add(digest, part)
    elif isinstance(value, (str, int, float, bool, bytes, type(None))):
        digest.update(repr(value).encode("utf-8", "replace"))
    else:  # its address would differ everywhere
        digest.update(type(value).__name__.encode())
