"""Networks that give back what they are given: plain, denoising, convolutional, sparse and variational."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    biased,
    constant,
    drawn,
    experiment,
    explained_input,
    frozen,
    he,
    normal,
    of_a_copy,
    of_the_last,
    reconstruction_error,
    sgd,
    xavier,
)
from benchmarks.faults.program import Program
from headwater.records import Experiment

USUAL = adam(3e-3)

Layer = Callable[[], nn.Module]


class Autoencoder(nn.Module):
    """An encoder and a decoder; the code may be cut off from the encoder, or noise added to the input."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, noise: float, cut: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.noise, self.cut = encoder, decoder, noise, cut

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        code = self.encoder(x)
        return self.decoder(code.detach() if self.cut else code)


class Variational(nn.Module):
    """Mean and log-variance of a code, one draw of it, and what is decoded from that (Kingma and Welling 2013)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction alone."""
        return self.parts(x)[0]

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, mean and log-variance."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        drawn_code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean) if self.training else mean
        return self.decoder(drawn_code), mean, log_variance


def evidence_bound(model: Any, batch: Any) -> Tensor:
    """Reconstruction error and a little of the divergence from N(0, 1), per pixel."""
    given, mean, log_variance = model.parts(batch[0])
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1).mean()
    return F.mse_loss(given, batch[0]) + 0.1 * divergence / batch[0].shape[1]


def autoencoder(
    images: Callable[[], data.Split] = data.digits,
    sizes: tuple[int, ...] = (64, 48, 16),
    convolutions: bool = False,
    variational: bool = False,
    activation: Layer | None = nn.ReLU,
    draw: Draw | None = None,
    head: Layer | None = None,
    noise: float = 0.0,
    dropout: float = 0.0,
    cut: bool = False,
    loss: Loss = reconstruction_error,
    metric: Metric = explained_input,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """Encoder of the given sizes, and the same backwards.

    Args:
        images: The data; targets are not used.
        sizes: From the input to the code.
        convolutions: Whether it is made of strided convolutions instead.
        variational: Whether the code is drawn.
        activation: Between layers; ``None`` for none.
        draw: How weights are drawn; PyTorch's way by default.
        head: What follows the last layer.
        noise: Added to the input in training.
        dropout: Share of the input that is dropped.
        cut: Whether the code is detached.
        loss: What is minimised.
        metric: Held-out.
        optimizer: Of all parameters.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """

    def chain(widths: list[int], last: list[nn.Module]) -> nn.Module:
        layers: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), *([activation()] if activation else [])]
        return Chain(*(layers[:-1] if activation else layers), *last)

    def model() -> nn.Module:
        end = [head()] if head else []
        if convolutions:
            assert activation is not None
            encoder = Chain(nn.Conv2d(1, 8, 3, 2, 1), activation(), nn.Conv2d(8, 8, 3, 2, 1), activation())
            decoder = Chain(nn.ConvTranspose2d(8, 8, 2, 2), activation(), nn.ConvTranspose2d(8, 1, 2, 2), *end)
            return drawn(Autoencoder(encoder, decoder, noise, cut), draw)
        encoder = chain([*sizes[:-1], sizes[-1] * (2 if variational else 1)], [])
        decoder = chain(list(reversed(sizes)), end)
        whole = Variational(encoder, decoder) if variational else Autoencoder(encoder, decoder, noise, cut)
        return drawn(whole, draw)

    return experiment(model, images(), optimizer, loss=loss, metric=metric, batch_size=batch_size, change=change)


def healthy(name: str, learns: float, steps: int = 200, watched: int = 40, **recipe: Any) -> Program:
    """A healthy program of this family; one that gives back the mean explains nothing."""
    return Program(
        f"autoencoder/{name}",
        "autoencoder",
        partial(autoencoder, **recipe),
        steps=steps,
        watched=watched,
        chance=0.0,
        learns=learns,
    )


def dark() -> data.Split:
    """Pixels from 0 to 1."""
    return data.digit_bytes().map(lambda x: x / 255)


def pixel_cross_entropy(model: nn.Module, batch: Any) -> Tensor:
    """Binary cross-entropy of each pixel's probability."""
    return F.binary_cross_entropy(model(batch[0]), batch[0])


DEEP = (64, 60, 56, 52, 48, 40, 32)

plain = healthy("plain", 0.4)
tanh = healthy("tanh-momentum", 0.35, activation=nn.Tanh, draw=xavier, optimizer=sgd(0.5, momentum=0.9))
denoising = healthy("denoising", 0.35, noise=0.5, activation=nn.GELU, optimizer=adamw(3e-3))
images = healthy("convolutions", 0.5, images=data.images, convolutions=True, optimizer=adam(1e-2))
variational = healthy("variational", 0.2, variational=True, loss=evidence_bound, activation=nn.SiLU)
probabilities = healthy(
    "sigmoid-head", 0.3, images=dark, head=nn.Sigmoid, loss=pixel_cross_entropy, optimizer=adam(5e-3)
)
deep = healthy("deep", 0.3, sizes=DEEP, activation=nn.ELU, draw=he, optimizer=adam(2e-3), steps=250)

PROGRAMS = (
    plain,
    plain.but("relu-head", kinds.WRONG_HEAD.at("decoder.3", "decoder.2"), head=nn.ReLU),
    plain.but("code-detached", kinds.DETACHED.at("encoder*"), cut=True),
    plain.but("one-number", kinds.UNDERFITTING, sizes=(64, 1), watched=200),
    plain.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-7)),
    tanh,
    tanh.but("sigmoid-head", kinds.WRONG_HEAD.at("decoder.3", "decoder.2"), head=nn.Sigmoid),
    tanh.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(100.0, momentum=0.9)),
    tanh.but("unit-normal", kinds.SATURATED.at("encoder*", "decoder*"), draw=normal(3.0)),
    denoising,
    denoising.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(3e-3, weight_decay=50.0)),
    denoising.but("dropout", kinds.DROPOUT.at("encoder.0", "decoder.0"), dropout=0.95),
    images,
    images.but("dead", kinds.DEAD_BY_BIAS.at("encoder.0", "encoder.1"), change=biased(-20.0, "encoder.0")),
    images.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(1e-2))),
    variational,
    variational.but("bytes", kinds.UNSCALED, images=data.digit_bytes, optimizer=sgd(1e-3)),
    probabilities,
    probabilities.but("decoder-only", kinds.WRONG_PARAMETERS.at("encoder*"), optimizer=of_the_last(adam(5e-3), 2)),
    probabilities.but("zeros", kinds.ZEROS.at("*"), draw=constant(0.0)),
    deep,
    deep.but("sigmoid", kinds.SIGMOID_DEPTH.at("encoder*"), activation=nn.Sigmoid, draw=xavier),
    deep.but("weights-small", kinds.SMALL_WEIGHTS.at("encoder*"), draw=normal(0.02)),
    deep.but("encoder-frozen", kinds.FROZEN.at("encoder*"), change=frozen("encoder")),
)
