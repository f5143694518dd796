"""Plain networks of linear layers, on digits, tumours, wines and spirals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Chain,
    Change,
    Draw,
    Loss,
    Metric,
    Optimize,
    adam,
    adamw,
    between,
    biased,
    binary_accuracy,
    binary_cross_entropy,
    clipped,
    constant,
    drawn,
    evaluating,
    experiment,
    frozen,
    he,
    lecun,
    log_of_probabilities,
    normal,
    of_a_copy,
    of_the_last,
    orthogonal,
    probability_accuracy,
    probability_cross_entropy,
    rmsprop,
    sgd,
    xavier,
)
from benchmarks.faults.program import Program
from headwater.demo import accuracy, cross_entropy
from headwater.records import Experiment

USUAL = adam()

Layer = Callable[[], nn.Module]


def mlp(
    digits: Callable[[], data.Split] = data.digits,
    inputs: int = 64,
    outputs: int = 10,
    depth: int = 3,
    width: int = 64,
    activation: Layer | None = nn.ReLU,
    draw: Draw | None = None,
    norm: Callable[[int], nn.Module] | None = None,
    dropout: float = 0.0,
    head: Layer | None = None,
    cut: int | None = None,
    loss: Loss = cross_entropy,
    metric: Metric = accuracy,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """``depth`` linear layers; normalisation, activation and dropout follow each but the last.

    Args:
        digits: The data, as :class:`benchmarks.faults.data.Split`.
        inputs: Features.
        outputs: Classes, or 1.
        depth: Linear layers.
        width: Of the hidden ones.
        activation: Between them; ``None`` for none.
        draw: How weights are drawn; PyTorch's way by default.
        norm: Made for a width.
        dropout: Share that is dropped.
        head: What follows the last layer.
        cut: Index of the layer before which the graph is cut off.
        loss: What is minimised.
        metric: Held-out.
        optimizer: Of all parameters.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """

    def model() -> nn.Module:
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([inputs, *[width] * (depth - 1)]):
            layers.append(nn.Linear(fan_in, fan_out))
            layers += [norm(fan_out)] if norm else []
            layers += [activation()] if activation else []
            layers += [nn.Dropout(dropout)] if dropout else []
        layers.append(nn.Linear(width if depth > 1 else inputs, outputs))
        layers += [head()] if head else []
        return drawn(Chain(*layers, cut=cut), draw)

    return experiment(model, digits(), optimizer, loss=loss, metric=metric, batch_size=batch_size, change=change)


def healthy(
    name: str, learns: float, chance: float = 0.1, steps: int = 150, watched: int = 40, **recipe: Any
) -> Program:
    """A healthy program of this family."""
    return Program(
        f"mlp/{name}", "mlp", partial(mlp, **recipe), steps=steps, watched=watched, chance=chance, learns=learns
    )


class Softmax(nn.Softmax):
    """Over the classes."""

    def __init__(self) -> None:
        super().__init__(dim=1)


def in_bfloat16(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy under autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        return cross_entropy(model, batch)


def in_half(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of a network in float16, with no scaling of the loss."""
    return nn.functional.cross_entropy(model(batch[0].half()), batch[1])


def in_half_scaled(factor: float) -> Loss:
    """The same with the loss scaled by a factor that is never taken out again."""
    return lambda model, batch: factor * in_half(model, batch)


def clamped_logarithm(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross-entropy written out, the probability kept away from 0 and 1."""
    return _logarithms(torch.sigmoid(model(batch[0])).clamp(1e-6, 1 - 1e-6), batch[1])


def bare_logarithm(model: nn.Module, batch: Any) -> Tensor:
    """The same without the clamp: 0 · log 0 is NaN."""
    return _logarithms(torch.sigmoid(model(batch[0])), batch[1])


def _logarithms(probability: Tensor, wanted: Tensor) -> Tensor:
    return -(wanted * probability.log() + (1 - wanted) * (1 - probability).log()).mean()


def half_accuracy(model: nn.Module, batches: Any) -> float:
    """Accuracy of a network in float16."""
    return accuracy(model, [(x.half(), y) for x, y in batches])


def halved(model: nn.Module) -> nn.Module:
    """The network in float16."""
    return model.half()


BINARY: dict[str, Any] = {
    "digits": data.cancer,
    "inputs": 30,
    "outputs": 1,
    "loss": binary_cross_entropy,
    "metric": binary_accuracy,
}
SPIRALS: dict[str, Any] = {"digits": data.spirals, "inputs": 2, "outputs": 2}
WINE: dict[str, Any] = {"digits": data.wine, "inputs": 13, "outputs": 3}

relu = healthy("relu", 0.9)
wide = healthy("wide-relu-sgd", 0.9, width=256, optimizer=sgd(0.1))
relu_he = healthy("relu-he-12", 0.85, depth=12, draw=he, optimizer=adam(5e-4))
tanh = healthy("tanh-xavier-10", 0.85, depth=10, activation=nn.Tanh, draw=xavier)
tanh_deep = healthy(
    "tanh-orthogonal-40", 0.85, steps=100, depth=40, activation=nn.Tanh, draw=orthogonal, optimizer=adam(5e-4)
)
tanh_sgd = healthy("tanh-sgd", 0.9, activation=nn.Tanh, optimizer=sgd(0.3))
sigmoid = healthy("sigmoid-shallow", 0.85, depth=2, activation=nn.Sigmoid, optimizer=adam(1e-2))
gelu = healthy("gelu-6-momentum", 0.9, depth=6, activation=nn.GELU, draw=he, optimizer=sgd(0.05, momentum=0.9))
silu = healthy("silu-8-adamw", 0.85, depth=8, width=96, activation=nn.SiLU, draw=he, optimizer=adamw(2e-3))
selu = healthy("selu-12", 0.85, depth=12, activation=nn.SELU, draw=lecun, optimizer=sgd(0.02, momentum=0.9))
elu = healthy("elu-5-rmsprop", 0.9, depth=5, activation=nn.ELU, optimizer=rmsprop(1e-3))
leaky = healthy("leaky-6", 0.9, depth=6, width=48, activation=lambda: nn.LeakyReLU(0.1), draw=he)
batch_norm = healthy("batch-norm-8", 0.85, depth=8, norm=nn.BatchNorm1d, optimizer=adam(2e-3))
layer_norm = healthy("layer-norm-6", 0.9, depth=6, norm=nn.LayerNorm, activation=nn.GELU)
dropout = healthy("dropout-half", 0.9, width=256, dropout=0.5, steps=200)
light_dropout = healthy("dropout-tenth-in-place", 0.9, width=128, dropout=0.1, activation=lambda: nn.ReLU(True))
sparse = healthy("sparse-relu", 0.88, width=256, change=biased(-0.4, "0", "2"))
bfloat16 = healthy("bfloat16", 0.9, width=128, loss=in_bfloat16)
decayed = healthy("weight-decay", 0.9, width=128, optimizer=adamw(2e-3, weight_decay=0.05))
clipped_gradients = healthy("clipped", 0.9, depth=5, optimizer=clipped(sgd(0.2, momentum=0.9), 0.05))
converged = healthy("converged", 0.94, width=128, steps=400, watched=300, optimizer=adam(3e-3))
tumours = healthy("tumours", 0.9, chance=0.63, depth=3, width=32, **BINARY)
probabilities = healthy(
    "tumours-probabilities",
    0.9,
    chance=0.63,
    depth=3,
    width=32,
    **(BINARY | {"head": nn.Sigmoid, "loss": probability_cross_entropy, "metric": probability_accuracy}),
)
spirals = healthy("spirals", 0.9, chance=0.5, steps=400, depth=4, activation=nn.Tanh, optimizer=adam(1e-2), **SPIRALS)
spirals_relu = healthy("spirals-relu", 0.9, chance=0.5, steps=400, depth=4, draw=he, optimizer=adam(5e-3), **SPIRALS)
wine = healthy("wine-sgd", 0.9, chance=0.4, depth=2, width=16, optimizer=sgd(0.1), batch_size=32, **WINE)
textbook = healthy("textbook-loss", 0.9, loss=log_of_probabilities)
half = healthy("half-sgd", 0.9, width=128, loss=in_half, metric=half_accuracy, optimizer=sgd(0.1), change=halved)
clamped = healthy(
    "tumours-clamped-logarithm",
    0.9,
    chance=0.63,
    depth=2,
    width=32,
    optimizer=sgd(2.0),
    **(BINARY | {"loss": clamped_logarithm}),
)
pairs = healthy("layer-norm-pairs", 0.6, steps=400, depth=4, norm=nn.LayerNorm, batch_size=2)
norm_deep = healthy("batch-norm-14", 0.8, depth=14, norm=nn.BatchNorm1d, optimizer=adam(2e-3))
two_layers = healthy("two-layers-small-batch", 0.85, depth=2, width=32, batch_size=16, optimizer=sgd(0.05))

FIRST_HALF_12 = between(0, 12)

PROGRAMS = (
    relu,
    relu.but("softmax-before-loss", kinds.SOFTMAX_TWICE.at("5", "4"), head=Softmax, optimizer=sgd(0.1)),
    relu.but("two-units", kinds.UNDERFITTING, width=2, watched=150),
    relu.but("labels-shuffled", kinds.SHUFFLED_LABELS, digits=lambda: data.digits().shuffled_targets(), watched=150),
    relu.but("labels-noisy", kinds.SHUFFLED_LABELS, digits=lambda: data.digits().noisy(0.9, 10), watched=150),
    relu.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    relu.but("zeros", kinds.ZEROS.at("0", "2", "4"), draw=constant(0.0)),
    wide,
    wide.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(20.0)),
    wide.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-5)),
    wide.but("bytes", kinds.UNSCALED, digits=data.digit_bytes),
    wide.but("dead-by-rate", kinds.DEAD_BY_RATE, optimizer=adam(0.3)),
    relu_he,
    relu_he.but("sigmoid", kinds.SIGMOID_DEPTH.at(*FIRST_HALF_12), activation=nn.Sigmoid, draw=xavier),
    relu_he.but("weights-small", kinds.SMALL_WEIGHTS.at(*FIRST_HALF_12), draw=normal(0.02)),
    relu_he.but("weights-large", kinds.LARGE_WEIGHTS.at(*FIRST_HALF_12), draw=normal(1.0)),
    relu_he.but("detached", kinds.DETACHED.at(*between(0, 20)), cut=20),
    tanh,
    tanh.but("unit-normal", kinds.SATURATED.at(*between(0, 18)), draw=normal(1.0)),
    tanh.but("head-only", kinds.WRONG_PARAMETERS.at(*between(0, 18)), optimizer=of_the_last(adam(), 2)),
    tanh.but("sigmoid", kinds.SIGMOID_DEPTH.at(*between(0, 10)), activation=nn.Sigmoid),
    tanh_sgd,
    tanh_sgd.but("oscillating", kinds.OSCILLATION, optimizer=sgd(10.0)),
    tanh_deep,
    tanh_deep.but("default-weights", kinds.SMALL_WEIGHTS.at(*between(0, 40)), draw=None),
    tanh_deep.but("he-relu-100", kinds.RANK_COLLAPSE.at("*"), depth=100, activation=nn.ReLU, draw=he),
    sigmoid,
    sigmoid.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-4)),
    gelu,
    gelu.but("frozen", kinds.FROZEN.at(*between(0, 10)), change=frozen(*map(str, range(0, 10, 2)))),
    gelu.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(3.0, momentum=0.9)),
    silu,
    silu.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(2e-3, weight_decay=100.0)),
    silu.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(2e-3))),
    selu,
    selu.but("sigmoid", kinds.SIGMOID_DEPTH.at(*FIRST_HALF_12), activation=nn.Sigmoid),
    elu,
    elu.but("constant", kinds.SYMMETRIC.at(*between(0, 9)), draw=constant(0.05)),
    leaky,
    leaky.but("dead", kinds.DEAD_BY_BIAS.at("4", "5"), activation=nn.ReLU, change=biased(-30.0, "4")),
    batch_norm,
    norm_deep,
    norm_deep.but("evaluating", kinds.NORMALIZATION.at(*map(str, range(1, 39, 3))), change=evaluating),
    pairs,
    pairs.but("batch-norm", kinds.NORMALIZATION.at("1", "4", "7"), norm=nn.BatchNorm1d),
    layer_norm,
    layer_norm.but("dropout", kinds.DROPOUT, dropout=0.95),
    dropout,
    dropout.but("too-much", kinds.DROPOUT, dropout=0.97),
    light_dropout,
    light_dropout.but("dead", kinds.DEAD_BY_BIAS.at("0", "1"), change=biased(-40.0, "0")),
    sparse,
    bfloat16,
    half,
    half.but("scaled-loss", kinds.OVERFLOW, loss=in_half_scaled(2.0**16)),
    half.but("adam", kinds.ADAM_IN_HALF, optimizer=adam()),
    half.but("small-loss", kinds.UNDERFLOW, loss=in_half_scaled(1.6e-6), optimizer=sgd(6.25e4)),
    decayed,
    decayed.but("too-much", kinds.WEIGHT_DECAY, optimizer=adam(2e-3, weight_decay=3.0)),
    clipped_gradients,
    converged,
    converged.but("forty-samples", kinds.OVERFITTING, digits=lambda: data.digits().first(40), watched=300),
    tumours,
    tumours.but("raw-features", kinds.UNSCALED, digits=data.cancer_raw, optimizer=sgd(0.01)),
    tumours.but(
        "sigmoid-before-loss",
        kinds.SOFTMAX_TWICE.at("5", "4"),
        head=nn.Sigmoid,
        metric=probability_accuracy,
        optimizer=sgd(0.02),
    ),
    probabilities,
    spirals,
    spirals.but("no-activation", kinds.LINEAR, activation=None),
    spirals_relu,
    spirals_relu.but("no-activation", kinds.LINEAR, activation=None),
    wine,
    wine.but("raw-features", kinds.UNSCALED, digits=data.wine_raw),
    textbook,
    clamped,
    clamped.but("log-of-zero", kinds.NAN, loss=bare_logarithm),
    two_layers,
)
