"""Whether inputs say anything about the targets they come with, told without any training of the model.

Kernel ridge regression of targets on inputs, every sample left out once, which has a closed form; then the same with
targets exchanged between samples. What it cannot learn of a few hundred samples (a parity, a rule of arithmetic) may
still be there. What it does learn is there surely, whatever becomes of the network.

Source: leave-one-out residuals of a linear smoother, Hastie, Tibshirani and Friedman 2009, equation 7.64; the bandwidth
is the median distance (Gretton et al. 2012, JMLR 13, section 8); exchanged targets as in Ojala and Garriga 2010.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from headwater.probes.measure import Loss
from headwater.probes.samples import inputs_and_targets
from headwater.records import Pairing

MOST_SAMPLES = 256
FEWEST_SAMPLES = 32
EXCHANGES = 40
RIDGE = 0.1  # beside a kernel of 1 for a sample with itself
MOST_FEATURES = 4096
MOST_TARGETS = 128  # columns; of more, as of an image's, random sums
BUCKETS = 1024  # that token numbers are thrown into, alone and with their position
MOST_CLASSES = 1024
FEWEST_CLASSES = 2
_KNUTH = 2654435761  # multiplicative hashing

Pairs = tuple[Tensor, Tensor]


def pairings(
    model: nn.Module, seen: Sequence[Any], held_out: Sequence[Any], loss: Loss
) -> tuple[Pairing | None, Pairing | None]:
    """What inputs tell of targets, in batches that are trained on and in others, on as many samples of both.

    Args:
        model: In eval mode, gradients off; it is only asked what it is called with.
        seen: Batches of the training.
        held_out: Batches of the validation.
        loss: ``loss(model, batch)``.

    Returns:
        ``None`` where nothing can be said: without targets of their own, too few samples, or targets all alike.
    """
    both = [_pairs(model, batches, loss) for batches in (seen, held_out)]
    most = min((len(pairs[1]) for pairs in both if pairs is not None), default=0)
    most = most if most >= FEWEST_SAMPLES else MOST_SAMPLES
    first, second = (_pairing(pairs, most) for pairs in both)
    return first, second


def _pairs(model: nn.Module, batches: Sequence[Any], loss: Loss) -> Pairs | None:
    """Features and targets of the first few hundred different samples."""
    found: list[Pairs] = []
    try:
        for batch in batches:
            inputs, targets = inputs_and_targets(model, batch, loss)
            if inputs and targets:
                found.append(_told(_features(inputs), targets[0].detach().cpu()))
            if sum(len(pair[1]) for pair in found) >= MOST_SAMPLES:
                break
        if not found:
            return None
        return _different(_standardised(torch.cat([x for x, _ in found])), _columns(torch.cat([y for _, y in found])))
    except Exception:
        return None  # samples that do not fit together say nothing, and the loss itself ran


def _told(features: Tensor, targets: Tensor) -> Pairs:
    """Without the samples whose class is not told: below 0, beside two classes or more from 0 on.

    So losses and libraries mark it: ``ignore_index`` is -100 in torch, a label that is unknown -1 in scikit-learn's
    semi-supervised methods. Signs, -1 and 1, are two classes.
    """
    whole = not targets.is_floating_point() and targets.dtype != torch.bool and targets[0].numel() == 1
    known = targets.reshape(len(targets)) >= 0 if whole else None
    if known is None or bool(known.all()) or len(targets[known].unique()) < FEWEST_CLASSES:
        return features, targets
    return features[known], targets[known]


def _features(inputs: list[Tensor]) -> Tensor:
    return torch.cat([_numbers(tensor.detach().cpu()) for tensor in inputs], 1)


def _numbers(tensor: Tensor) -> Tensor:
    """(samples, features), in double precision; of whole numbers, how often each is there and where."""
    if tensor.is_floating_point() or tensor.dtype == torch.bool:
        flat = tensor.reshape(len(tensor), -1).double()
        return flat[:, :: max(1, math.ceil(flat.shape[1] / MOST_FEATURES))]
    tokens = tensor.reshape(len(tensor), -1).long()
    places = tokens * (tokens.shape[1] + 1) + torch.arange(tokens.shape[1])
    return torch.cat([_counted(tokens), _counted(places * _KNUTH % (1 << 31))], 1)


def _counted(tokens: Tensor) -> Tensor:
    counts = torch.zeros(len(tokens), BUCKETS, dtype=torch.float64)
    return counts.scatter_add_(1, tokens % BUCKETS, torch.ones(tokens.shape, dtype=torch.float64))


def _standardised(x: Tensor) -> Tensor:
    spread = x.std(0)
    kept = spread != 0  # NaN too: what is not known says nothing
    return ((x - x.mean(0)) / spread)[:, kept]


def _columns(targets: Tensor) -> Tensor:
    """(samples, columns) of which a squared error can be taken: a class becomes a row of zeros and a one."""
    if targets.is_floating_point():
        columns = targets.reshape(len(targets), -1).double()
    else:
        flat = targets.reshape(len(targets), -1).long()
        flat = (flat - flat.min()) % MOST_CLASSES
        columns = F.one_hot(flat).double().flatten(1)
    if columns.shape[1] > MOST_TARGETS:
        generator = torch.Generator().manual_seed(0)
        columns = columns @ torch.randn(columns.shape[1], MOST_TARGETS, generator=generator, dtype=torch.float64)
    return columns


def _different(x: Tensor, y: Tensor) -> Pairs:
    """Each pair once: a sample that comes back with its own target would tell it."""
    if not x.shape[1]:
        return x[:MOST_SAMPLES], y[:MOST_SAMPLES]
    _, groups = torch.unique(torch.cat([x, y], 1), dim=0, return_inverse=True)
    first = torch.full((int(groups.max()) + 1,), len(x)).scatter_reduce_(0, groups, torch.arange(len(x)), "amin")
    rows = first.sort().values[:MOST_SAMPLES]
    return x[rows], y[rows]


def _pairing(pairs: Pairs | None, most: int) -> Pairing | None:
    if pairs is None:
        return None
    x, y = pairs[0][:most], pairs[1][:most]
    y = y - y.mean(0)
    total = float(y.square().sum())
    usable = len(x) >= FEWEST_SAMPLES and bool(x.isfinite().all())
    if not usable or not math.isfinite(total) or total <= 0:
        return None
    if not x.shape[1]:
        return Pairing(len(x), 0.0, 0.0)
    left_out = _left_out(x)
    generator = torch.Generator().manual_seed(0)
    errors = [
        float((left_out @ y[torch.randperm(len(y), generator=generator)]).square().sum()) for _ in range(EXCHANGES)
    ]
    error, spread = float((left_out @ y).square().sum()), float(torch.tensor(errors).std())
    if not math.isfinite(error) or not spread:
        return None
    return Pairing(len(x), 1.0 - error / total, (sum(errors) / len(errors) - error) / spread)


def _left_out(x: Tensor) -> Tensor:
    """The matrix that makes of targets what is missed of each when it is told from all others."""
    distances = torch.cdist(x, x)
    apart = distances[~torch.eye(len(x), dtype=torch.bool)]
    width = float(apart.median()) or float(apart.mean()) or 1.0
    kernel = torch.exp(-(distances / width).square())
    one = torch.eye(len(x), dtype=torch.float64)
    rest = RIDGE * torch.linalg.inv(kernel + RIDGE * one)  # 1 - H of the smoother H
    return rest / rest.diagonal()[:, None]
