"""Small transformers: GPT-like on characters, BERT-like on masked or counted symbols, ViT-like on patches of digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Change,
    Draw,
    Loss,
    Metric,
    Optimize,
    adam,
    adamw,
    clipped,
    constant,
    drawn,
    experiment,
    frozen,
    normal,
    of_a_copy,
    of_the_last,
    redrawn,
    sgd,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.program import Program
from headwater.demo import accuracy, cross_entropy
from headwater.records import Experiment

USUAL = adamw(3e-3)


class Attention(nn.Module):
    """Self-attention with several heads, over the past only if asked."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same."""
        batch, time, width = x.shape
        q, k, v = self.inward(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.outward(y.transpose(1, 2).reshape(batch, time, width))


class Block(nn.Module):
    """Attention and two linear layers, each with a shortcut; normalised before (Xiong et al. 2020) or after."""

    def __init__(self, width: int, heads: int, causal: bool, recipe: dict[str, Any]) -> None:
        super().__init__()
        norm = nn.LayerNorm if recipe["normalised"] else (lambda width: nn.Identity())
        self.norm1, self.attention = norm(width), Attention(width, heads, causal)
        self.norm2, self.expand = norm(width), nn.Linear(width, 2 * width)
        self.act, self.contract = recipe["activation"](), nn.Linear(2 * width, width)
        self.drop = nn.Dropout(recipe["dropout"])
        self.before, self.shortcut, self.mixes = recipe["before"], recipe["shortcut"], recipe["mixes"]

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same."""
        x = self._added(x, self.norm1, self.attention)
        return self._added(x, self.norm2, lambda y: self.contract(self.act(self.expand(y)))) if self.mixes else x

    def _added(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        y = self.drop(branch(norm(x) if self.before else x))
        y = x + y if self.shortcut else y
        return y if self.before else norm(y)


class Transformer(nn.Module):
    """Embedded symbols or patches, positions, blocks, and a head on every place or on their mean."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        super().__init__()
        width = recipe["width"]
        self.embed = nn.Embedding(recipe["symbols"], width) if recipe["symbols"] else nn.Linear(recipe["inputs"], width)
        self.places = nn.Parameter(0.02 * torch.randn(recipe["length"], width))
        self.blocks = nn.ModuleList(
            Block(width, recipe["heads"], recipe["causal"], recipe) for _ in range(recipe["blocks"])
        )
        self.norm = nn.LayerNorm(width) if recipe["before"] and recipe["normalised"] else nn.Identity()
        self.head = nn.Linear(width, recipe["outputs"], bias=not recipe["tied"])
        self.every, self.cut, self.softmax = recipe["every"], recipe["cut"], recipe["softmax"]
        if isinstance(self.embed, nn.Embedding):
            nn.init.normal_(self.embed.weight, 0.0, 0.02 if recipe["tied"] else 1.0)
        if recipe["tied"]:
            self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        """To (batch, time, outputs), or (batch, outputs)."""
        x = self.embed(x) + self.places
        for index, block in enumerate(self.blocks):
            x = block(x.detach() if index == self.cut else x)
        x = self.norm(x)
        logits = self.head(x if self.every else x.mean(1))
        return logits.softmax(-1) if self.softmax else logits


def transformer(
    sequences: Callable[[], data.Split] = data.patches,
    inputs: int = 4,
    symbols: int = 0,
    length: int = 16,
    outputs: int = 10,
    width: int = 32,
    heads: int = 4,
    blocks: int = 2,
    causal: bool = False,
    every: bool = False,
    tied: bool = False,
    before: bool = True,
    normalised: bool = True,
    shortcut: bool = True,
    mixes: bool = True,
    activation: Callable[[], nn.Module] = nn.GELU,
    dropout: float = 0.0,
    softmax: bool = False,
    cut: int | None = None,
    draw: Draw | None = None,
    loss: Loss = cross_entropy,
    metric: Metric = accuracy,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """A transformer and its data.

    Args:
        sequences: The data.
        inputs: Features of a patch.
        symbols: Size of the vocabulary where places are symbols.
        length: Places.
        outputs: Classes.
        width: Of the residual stream.
        heads: Of the attention.
        blocks: Number of blocks.
        causal: Whether places see the past only.
        every: Whether each place has an output.
        tied: Whether the head is the embedding.
        before: Whether normalisation comes before a branch, or after the sum.
        normalised: Whether there is any.
        shortcut: Whether branches add to what comes in.
        mixes: Whether blocks have linear layers beside the attention.
        activation: Between those.
        dropout: In the branches.
        softmax: Whether the head ends in one.
        cut: Index of the block before which the graph is cut off.
        draw: How weights are drawn; PyTorch's way by default.
        loss: What is minimised.
        metric: Held-out.
        optimizer: Of all parameters.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """
    recipe = {
        "inputs": inputs,
        "symbols": symbols,
        "length": length,
        "outputs": outputs,
        "width": width,
        "heads": heads,
        "blocks": blocks,
        "causal": causal,
        "every": every,
        "tied": tied,
        "before": before,
        "normalised": normalised,
        "shortcut": shortcut,
        "mixes": mixes,
        "activation": activation,
        "dropout": dropout,
        "softmax": softmax,
        "cut": cut,
    }
    return experiment(
        lambda: drawn(Transformer(recipe), draw),
        sequences(),
        optimizer,
        loss=loss,
        metric=metric,
        batch_size=batch_size,
        change=change,
    )


def healthy(
    name: str, learns: float, chance: float = 0.1, steps: int = 150, watched: int = 40, **recipe: Any
) -> Program:
    """A healthy program of this family."""
    return Program(
        f"transformer/{name}",
        "transformer",
        partial(transformer, **recipe),
        steps=steps,
        watched=watched,
        chance=chance,
        learns=learns,
    )


GPT: dict[str, Any] = {
    "sequences": data.text,
    "symbols": data.vocabulary(),
    "length": data.CONTEXT,
    "outputs": data.vocabulary(),
    "width": 48,
    "causal": True,
    "every": True,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
    "batch_size": 32,
}
BERT: dict[str, Any] = {
    "sequences": data.motifs,
    "symbols": 9,
    "outputs": 9,
    "every": True,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
}
COUNTING: dict[str, Any] = {"sequences": data.sorting, "symbols": 8, "length": 8, "outputs": 8}

gpt = healthy("gpt", 0.28, chance=0.18, optimizer=adamw(3e-3), **GPT)
gpt_tied = healthy(
    "gpt-tied-dropout", 0.26, chance=0.18, tied=True, dropout=0.1, optimizer=adamw(5e-3, weight_decay=0.1), **GPT
)
bert = healthy("bert-masked", 0.85, chance=0.78, optimizer=adam(5e-3), steps=200, **BERT)
counting = healthy("bert-post-norm", 0.6, chance=0.125, before=False, optimizer=adam(2e-3), **COUNTING)
vit = healthy("vit", 0.8)
vit_deep = healthy("vit-6-clipped", 0.7, blocks=6, optimizer=clipped(adamw(3e-3), 0.1), steps=200)
vit_relu = healthy("vit-relu-sgd", 0.65, activation=nn.ReLU, optimizer=sgd(0.1, momentum=0.9), steps=250)
vit_plain = healthy("vit-unnormalised", 0.7, normalised=False, optimizer=adam(2e-3), steps=200)

BLOCKS = ("blocks.*",)
BODY = ("embed", "norm", *BLOCKS)

PROGRAMS = (
    gpt,
    gpt.but("rate-high", kinds.RATE_HIGH, optimizer=adamw(1.0)),
    gpt.but("head-only", kinds.WRONG_PARAMETERS.at(*BODY), optimizer=of_the_last(adamw(3e-3), 2)),
    gpt.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(3e-3, weight_decay=100.0)),
    gpt_tied,
    gpt_tied.but("dropout", kinds.DROPOUT.at("blocks.*.drop"), dropout=0.99),
    gpt_tied.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-8)),
    bert,
    bert.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adam(5e-3))),
    bert.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(30.0)),
    counting,
    counting.but("softmax-before-loss", kinds.SOFTMAX_TWICE.at("head"), softmax=True, optimizer=sgd(0.02)),
    counting.but(
        "labels-shuffled", kinds.SHUFFLED_LABELS, sequences=lambda: data.sorting().shuffled_targets(), watched=150
    ),
    vit,
    vit.but("frozen", kinds.FROZEN.at("embed", *BLOCKS), change=frozen("embed", "blocks")),
    vit.but("thirty-samples", kinds.OVERFITTING, sequences=lambda: data.patches().first(30), watched=150),
    vit_deep,
    vit_deep.but("attention-alone", kinds.RANK_COLLAPSE.at("*"), shortcut=False, mixes=False, normalised=False),
    vit_deep.but("detached", kinds.DETACHED.at("embed", "blocks.[0-4].*"), cut=5),
    vit_deep.but(
        "sigmoid-no-shortcut",
        kinds.NO_SHORTCUT.at("embed", "blocks.[0-2].*"),
        shortcut=False,
        normalised=False,
        activation=nn.Sigmoid,
    ),
    vit_relu,
    vit_relu.but("constant", kinds.SYMMETRIC.at("*"), draw=constant(0.02)),
    vit_relu.but("queries-large", kinds.LARGE_LOGITS.at("blocks.*.attention*"), change=redrawn(normal(5.0), "blocks")),
    vit_plain,
    vit_plain.but("bytes", kinds.UNSCALED, sequences=data.patch_bytes),
    vit_plain.but("weights-large", kinds.LARGE_WEIGHTS.at("embed", "head", *BLOCKS), draw=normal(1.0), blocks=6),
)
