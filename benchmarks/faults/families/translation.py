"""From one sequence to another with attention: dates into ISO's order, digits into ascending order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import kinds
from benchmarks.faults import tasks_more as tasks
from benchmarks.faults.build import (
    adam,
    adamw,
    clipped,
    constant,
    frozen,
    normal,
    of_the_last,
    redrawn,
    sgd,
    token_accuracy,
    token_cross_entropy,
    undecayed,
    warmed,
)
from benchmarks.faults.recipe import healthy_of


class Attentive(nn.Module):
    """A GRU or LSTM reads, another one writes and looks back at every step (Luong et al. 2015, dot and general)."""

    def __init__(
        self,
        cell: str = "GRU",
        width: int = 48,
        general: bool = False,
        dropout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__()
        symbols = len(tasks.LETTERS)
        self.letters = nn.Embedding(symbols, 24)
        self.reader = getattr(nn, cell)(24, width // 2, batch_first=True, bidirectional=True)
        self.writer = getattr(nn, cell)(24, width, batch_first=True)
        self.compare = nn.Linear(width, width, bias=False) if general else nn.Identity()
        self.merge = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)
        self.say = nn.Linear(width, symbols)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, read and written letters) to (batch, written letters, letters)."""
        embedded = self.letters(x)
        read, _ = self.reader(embedded[:, : tasks.DATE])
        wrote, _ = self.writer(embedded[:, tasks.DATE :])
        weights = (wrote @ self.compare(read).mT).softmax(2)
        both = torch.cat([weights @ read, wrote], 2)
        both = both.detach() if self.cut else both
        return self.say(self.dropout(torch.tanh(self.merge(both))))


class Transformer(nn.Module):
    """PyTorch's own encoder and decoder with learned places (Vaswani et al. 2017)."""

    def __init__(
        self,
        width: int = 32,
        layers: int = 2,
        activation: str = "gelu",
        norm_first: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.symbols = nn.Embedding(tasks.SYMBOLS + 1, width)
        self.places = nn.Parameter(0.02 * torch.randn(2 * tasks.ROW, width))
        options: dict[str, Any] = {
            "d_model": width,
            "nhead": 4,
            "dim_feedforward": 2 * width,
            "dropout": dropout,
            "activation": activation,
            "batch_first": True,
            "norm_first": norm_first,
        }
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(**options), layers, enable_nested_tensor=False)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(**options), layers)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tasks.SYMBOLS)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, both rows) to (batch, places, symbols)."""
        h = self.symbols(x) + self.places
        read = self.encoder(h[:, : tasks.ROW])
        mask = torch.ones(tasks.ROW, tasks.ROW, dtype=torch.bool).triu(1)
        return self.head(self.norm(self.decoder(h[:, tasks.ROW :], read, tgt_mask=mask)))


def recurrent(draw: Callable[[Tensor], Any]) -> Callable[[Any], None]:
    """Draw the weights from state to state anew, in the reader and in the writer."""

    def change(model: nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if "weight_hh" in name:
                draw(parameter)

    return change


healthy = healthy_of(
    "translation",
    network=Attentive,
    task=tasks.dates,
    loss=token_cross_entropy,
    metric=token_accuracy,
    optimizer=adam(1e-2),
    steps=120,
)
ORDER: dict[str, Any] = {"network": Transformer, "task": tasks.rows_in_order}

gru = healthy("dates-gru", 0.7, chance=0.45)
lstm = healthy("dates-lstm", 0.65, chance=0.45, cell="LSTM", general=True, dropout=0.1, optimizer=adamw(1e-2))
plain = healthy("dates-rnn", 0.6, chance=0.45, cell="RNN", optimizer=clipped(adam(5e-3), 0.1), batch_size=32)
ordered = healthy("order", 0.6, chance=0.25, optimizer=adam(3e-3), **ORDER)
after = healthy(
    "order-post-norm", 0.55, chance=0.25, norm_first=False, activation="relu", optimizer=warmed(adam(3e-3), 40), **ORDER
)
decayed = healthy(
    "order-adamw-3", 0.5, chance=0.25, layers=3, optimizer=undecayed(torch.optim.AdamW, 0.1, lr=2e-3), **ORDER
)


PROGRAMS = (
    gru,
    gru.but("states-detached", kinds.DETACHED.at("letters", "reader", "writer"), cut=True),
    gru.but(
        "say-only",
        kinds.WRONG_PARAMETERS.at("letters", "reader", "writer", "merge"),
        optimizer=of_the_last(adam(1e-2), 2),
    ),
    lstm,
    lstm.but("rate-low", kinds.RATE_LOW, optimizer=adamw(1e-6)),
    lstm.but("thirty-dates", kinds.OVERFITTING, task=lambda: tasks.dates().first(30), dropout=0.0, watched=120),
    lstm.but("dropout", kinds.DROPOUT.at("dropout"), dropout=0.995),
    plain,
    plain.but("recurrent-large", kinds.SATURATED_TIME.at("reader", "writer"), change=recurrent(normal(3.0))),
    plain.but(
        "weights-alike",
        kinds.SYMMETRIC.at("*"),
        change=redrawn(constant(0.05), "letters", "reader", "writer", "merge", "say"),
    ),
    ordered,
    ordered.but(
        "rows-shuffled", kinds.SHUFFLED_LABELS, task=lambda: tasks.rows_in_order().shuffled_targets(), watched=120
    ),
    ordered.but("body-frozen", kinds.FROZEN.at("encoder*", "decoder*"), change=frozen("encoder", "decoder")),
    after,
    after.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(30.0, momentum=0.9)),
    decayed,
    decayed.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=undecayed(torch.optim.AdamW, 300.0, lr=2e-3)),
)
