"""Models, batches and losses as people write them; every measured promise is tried on all of them."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

ACTIVATIONS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
"""Activations as modules, by their id in ``theory.activations``."""


def _xavier(weight: Tensor) -> None:
    nn.init.xavier_normal_(weight)


def _he(weight: Tensor) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def _tanh_gain(weight: Tensor) -> None:
    nn.init.xavier_normal_(weight, gain=nn.init.calculate_gain("tanh"))


def _unit_normal(weight: Tensor) -> None:
    nn.init.normal_(weight)


INITS: dict[str, Callable[[Tensor], None] | None] = {
    "default": None,
    "xavier": _xavier,
    "he": _he,
    "tanh_gain": _tanh_gain,
    "unit_normal": _unit_normal,
}
"""Ways to draw weights; all but PyTorch's own start the biases at zero."""


@dataclass(frozen=True)
class Case:
    """A program: ``model()``, ``batch()`` and ``loss(model, batch)``; both functions draw from torch's own stream."""

    id: str
    model: Callable[[], nn.Module]
    batch: Callable[[], Any]
    loss: Callable[[Any, Any], Tensor]
    healthy: bool = False

    def make(self, seed: int = 0) -> tuple[nn.Module, Any, Callable[[Any, Any], Tensor]]:
        """Model, batch and loss, the same for the same seed."""
        torch.manual_seed(seed)
        return self.model(), self.batch(), self.loss


def plain_mlp(
    activation: str = "relu", init: str = "default", depth: int = 3, width: int = 16, inputs: int = 8, outputs: int = 3
) -> nn.Sequential:
    """``depth`` affine maps with activations between them: site ``2k`` is affine, ``2k + 1`` its activation."""
    sizes = [inputs, *[width] * (depth - 1), outputs]
    layers: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), ACTIVATIONS[activation]()]
    model = nn.Sequential(*layers[:-1])
    draw = INITS[init]
    if draw is not None:
        for layer in model:
            if isinstance(layer, nn.Linear):
                draw(layer.weight)
                nn.init.zeros_(layer.bias)
    return model


def cross_entropy(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def squared_error(model: Any, batch: Any) -> Tensor:
    return F.mse_loss(model(batch[0]), batch[1])


def vectors(samples: int = 64, inputs: int = 8, classes: int = 3, dtype: torch.dtype = torch.float32) -> Any:
    return torch.randn(samples, inputs, dtype=dtype), torch.randint(classes, (samples,))


def images(samples: int = 16) -> Any:
    return torch.randn(samples, 3, 8, 8), torch.randint(3, (samples,))


def tokens(samples: int = 16, length: int = 6, vocabulary: int = 20) -> Any:
    return torch.randint(vocabulary, (samples, length)), torch.randint(3, (samples,))


class Residual(nn.Module):
    """Blocks ``x + f(x)`` between two affine maps."""

    def __init__(self, blocks: int = 4, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Linear(8, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
            for _ in range(blocks)
        )
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class BatchNormCNN(nn.Sequential):
    """Convolutions with batch normalisation and ReLU, in place or not."""

    def __init__(self, inplace: bool = True) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=inplace),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 3),
        )


class FunctionalCNN(nn.Module):
    """Activations as functions inside ``forward``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x), inplace=True)
        return self.head(x.mean((2, 3)))


class Methods(nn.Module):
    """Activations as tensor methods and torch functions, one of them in a submodule."""

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.gate = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.value(x).tanh() * torch.sigmoid(self.gate(x))

    def __init__(self) -> None:
        super().__init__()
        self.layer = Methods.Gate()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).relu_())


class Shared(nn.Module):
    """One affine map and one activation, each called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.act, self.head = nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.mix(self.act(self.mix(x)))))


class Tied(nn.Module):
    """A language model whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.hidden, self.head = nn.Embedding(20, 8), nn.Linear(8, 8), nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.gelu(self.hidden(self.embed(x))))


class LSTMClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.embed(x))
        return self.head(states[:, -1])


class CellLoop(nn.Module):
    """A recurrent cell called once per time step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(len(x), 8)
        for _ in range(3):
            state = self.cell(x, state)
        return self.head(state)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        mixed, _ = self.attention(x, x, x, need_weights=False)
        return self.head(mixed.mean(1))


class PreNormTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True, norm_first=True) for _ in range(2)
        )
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor | None = None


class Structured(nn.Module):
    """Leaf modules that give a tuple, a dictionary and a dataclass."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 8) / 3)

        def forward(self, x: Tensor) -> tuple[None, Tensor, Tensor]:
            y = x @ self.weight
            return None, y, y * 2

    class Named(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"steps": 3, "value": x * 1.5}

    class Record(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 3) / 3)

        def forward(self, x: Tensor) -> Output:
            return Output(logits=x @ self.weight, hidden=x)

    def __init__(self) -> None:
        super().__init__()
        self.pair, self.named, self.record = Structured.Pair(), Structured.Named(), Structured.Record()

    def forward(self, x: Tensor) -> Output:
        _, y, _ = self.pair(x)
        output: Output = self.record(self.named(y.relu())["value"])
        return output


class KeywordOnly(nn.Module):
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 8) / 3)

        def forward(self, *, x: Tensor) -> Tensor:
            return x @ self.weight

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = KeywordOnly.Layer(), nn.Linear(8, 3)

    def forward(self, *, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.layer(x=x)))


class TwoHeads(nn.Module):
    """Only one head is part of the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.used, self.unused = nn.Linear(8, 8), nn.Linear(8, 3), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(torch.relu(self.body(x)))


class Noisy(nn.Module):
    """Draws from torch, numpy and Python in its ``forward``."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = x + 0.1 * torch.randn_like(x) + 0.01 * random.random() + 0.01 * float(np.random.rand())
        return self.head(F.silu(self.body(x)))


class BufferSwapper(nn.Module):
    """Replaces a buffer by a new tensor and changes its own mode while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 3)
        self.register_buffer("average", torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        self.average = 0.9 * self.average + 0.1 * x.detach().mean(0)
        self.linear.eval()
        return self.linear(x - self.average)


class ReZero(nn.Module):
    """``x + a·f(x)`` with ``a`` starting at zero: at step 0 no weight inside a branch gets a gradient, by design."""

    def __init__(self, blocks: int = 4, width: int = 16) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(8, width), nn.Linear(width, 3)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.gates = nn.Parameter(torch.zeros(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for gate, layer in zip(self.gates, self.layers, strict=True):
            x = x + gate * torch.relu(layer(x))
        return self.head(x)


class LoRA(nn.Module):
    """Frozen weights beside ``B·A`` with ``B`` starting at zero: ``A`` gets a zero gradient at step 0, by design."""

    class Adapted(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.base = nn.Linear(inputs, outputs).requires_grad_(False)
            self.down, self.up = nn.Linear(inputs, 4, bias=False), nn.Linear(4, outputs, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.base(x) + self.up(self.down(x))

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            LoRA.Adapted(8, 16), nn.ReLU(), LoRA.Adapted(16, 16), nn.ReLU(), LoRA.Adapted(16, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def _frozen() -> nn.Module:
    """Two layers that somebody has trained elsewhere: training leaves a direction that stands out of the draw."""
    model = plain_mlp(depth=4)
    for layer in (model[0], model[2]):
        nn.init.xavier_normal_(layer.weight)
        rows, columns = layer.weight.shape
        with torch.no_grad():
            layer.weight += 3.0 * torch.outer(torch.randn(rows), torch.randn(columns)) / (rows * columns) ** 0.5
        layer.requires_grad_(False)
    return model


def _weight_norm() -> nn.Module:
    model = plain_mlp("tanh", depth=3)
    for layer in (model[0], model[2]):
        parametrizations.weight_norm(layer)
    return model


def _spectral_norm() -> nn.Module:
    model = plain_mlp("relu", depth=3)
    parametrizations.spectral_norm(model[2])
    return model


def _autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8)
    )


def _sparse_embedding() -> nn.Module:
    return nn.Sequential(nn.Embedding(20, 8, sparse=True), nn.Flatten(), nn.Linear(48, 3))


def _embedding_bag() -> nn.Module:
    return nn.Sequential(nn.EmbeddingBag(20, 8), nn.Tanh(), nn.Linear(8, 3))


def gpt2() -> nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2, use_cache=False))


def _language_loss(model: Any, batch: Any) -> Tensor:
    return F.cross_entropy(model(batch[0]).flatten(0, 1), batch[0].flatten())


def _mlp(activation: str, init: str, depth: int) -> Case:
    return Case(f"mlp-{activation}-{init}-{depth}", lambda: plain_mlp(activation, init, depth), vectors, cross_entropy)


_TABLE = (
    *(_mlp(activation, init, 4) for activation in ACTIVATIONS for init in ("default", "he")),
    *(_mlp(activation, init, 30) for activation, init in (("sigmoid", "xavier"), ("relu", "default"), ("relu", "he"))),
    Case("mlp-shallow", lambda: plain_mlp(depth=2), vectors, cross_entropy, healthy=True),
    Case("mlp-tanh-xavier", lambda: plain_mlp("tanh", "xavier", 5), vectors, cross_entropy, healthy=True),
    Case("linear", lambda: nn.Linear(8, 3), vectors, cross_entropy, healthy=True),
    Case("residual", Residual, vectors, cross_entropy, healthy=True),
    Case("residual-deep", lambda: Residual(blocks=12), vectors, cross_entropy, healthy=True),
    Case("cnn-batchnorm", lambda: BatchNormCNN(inplace=True), images, cross_entropy, healthy=True),
    Case("cnn-batchnorm-eval", lambda: BatchNormCNN(inplace=False).eval(), images, cross_entropy, healthy=True),
    Case("cnn-functional", FunctionalCNN, images, cross_entropy, healthy=True),
    Case("methods", Methods, vectors, cross_entropy, healthy=True),
    Case("shared", Shared, vectors, cross_entropy, healthy=True),
    Case("tied", Tied, tokens, _language_loss, healthy=True),
    Case("lstm", LSTMClassifier, tokens, cross_entropy, healthy=True),
    Case("cell-loop", CellLoop, vectors, cross_entropy, healthy=True),
    Case("attention", SelfAttention, tokens, cross_entropy, healthy=True),
    Case("transformer-pre-norm", PreNormTransformer, tokens, cross_entropy, healthy=True),
    Case("structured", Structured, vectors, lambda m, b: F.cross_entropy(m(b[0]).logits, b[1]), healthy=True),
    Case("keyword-only", KeywordOnly, vectors, lambda m, b: F.cross_entropy(m(x=b[0]), b[1]), healthy=True),
    Case(
        "dictionary-batch",
        lambda: plain_mlp(depth=2),
        lambda: dict(zip(("x", "y"), vectors(), strict=True)),
        lambda m, b: F.cross_entropy(m(b["x"]), b["y"]),
        healthy=True,
    ),
    Case("frozen", _frozen, vectors, cross_entropy, healthy=True),
    Case("unused-head", TwoHeads, vectors, cross_entropy, healthy=True),
    Case("embedding-sparse", _sparse_embedding, tokens, cross_entropy, healthy=True),
    Case("embedding-bag", _embedding_bag, tokens, cross_entropy, healthy=True),
    Case(
        "dropout",
        lambda: nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3)),
        vectors,
        cross_entropy,
        healthy=True,
    ),
    Case("weight-norm", _weight_norm, vectors, cross_entropy, healthy=True),
    Case("spectral-norm", _spectral_norm, vectors, cross_entropy, healthy=True),
    Case("autoencoder", _autoencoder, vectors, lambda m, b: F.mse_loss(m(b[0]), b[0]), healthy=True),
    Case(
        "float64",
        lambda: plain_mlp("tanh").double(),
        lambda: vectors(dtype=torch.float64),
        cross_entropy,
        healthy=True,
    ),
    Case(
        "bfloat16",
        lambda: plain_mlp().bfloat16(),
        lambda: vectors(dtype=torch.bfloat16),
        lambda m, b: F.cross_entropy(m(b[0]).float(), b[1]),
        healthy=True,
    ),
    Case("noisy", Noisy, vectors, cross_entropy, healthy=True),
    Case("buffer-swapper", BufferSwapper, vectors, cross_entropy, healthy=True),
    Case("rezero", ReZero, vectors, cross_entropy),
    Case("lora", LoRA, vectors, cross_entropy),
    Case(
        "gpt2",
        gpt2,
        lambda: {"input_ids": torch.randint(50, (8, 12))},
        lambda m, b: m(**b, labels=b["input_ids"]).loss,
        healthy=True,
    ),
)

CASES: dict[str, Case] = {case.id: case for case in _TABLE}
HEALTHY: dict[str, Case] = {case.id: case for case in _TABLE if case.healthy}
