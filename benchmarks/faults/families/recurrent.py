"""Recurrent networks: rows and pixels of digits, a symbol to be remembered, sums, forecasts, and characters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults.build import (
    Change,
    Loss,
    Metric,
    Optimize,
    adagrad,
    adam,
    adamw,
    clipped,
    experiment,
    explained,
    frozen,
    normal,
    of_a_copy,
    of_the_last,
    redrawn,
    rmsprop,
    sgd,
    squared_error,
    token_accuracy,
    token_cross_entropy,
)
from benchmarks.faults.program import Program
from headwater.demo import accuracy, cross_entropy
from headwater.records import Experiment

USUAL = adam(5e-3)


class Reader(nn.Module):
    """A recurrent layer over (batch, time, features), or over symbols, and a linear one on its last or every state."""

    def __init__(
        self,
        cell: str,
        inputs: int,
        width: int,
        outputs: int,
        *,
        symbols: int,
        layers: int,
        both: bool,
        every: bool,
        sparse: bool,
    ) -> None:
        super().__init__()
        self.embed = nn.Embedding(symbols, inputs, sparse=sparse) if symbols else None
        self.body = getattr(nn, cell)(inputs, width, layers, batch_first=True, bidirectional=both)
        self.head = nn.Linear(width * (2 if both else 1), outputs)
        self.every = every

    def forward(self, x: Tensor) -> Tensor:
        """To (batch, outputs), or (batch, time, outputs)."""
        states, _ = self.body(self.embed(x) if self.embed is not None else x)
        return self.head(states if self.every else states[:, -1])


class Stepping(nn.Module):
    """The same with a cell called in a loop; its state may be cut off from the step before."""

    def __init__(self, cell: str, inputs: int, width: int, outputs: int, *, cut: bool = False) -> None:
        super().__init__()
        self.body = getattr(nn, cell)(inputs, width)
        self.head = nn.Linear(width, outputs)
        self.cut = cut

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, inputs) to (batch, outputs)."""
        state = None
        for step in x.unbind(1):
            if self.cut and state is not None:
                state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
            state = self.body(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


def reader(
    sequences: Callable[[], data.Split] = data.rows,
    cell: str = "LSTM",
    inputs: int = 8,
    width: int = 32,
    outputs: int = 10,
    symbols: int = 0,
    layers: int = 1,
    both: bool = False,
    every: bool = False,
    sparse: bool = False,
    stepping: bool = False,
    cut: bool = False,
    loss: Loss = cross_entropy,
    metric: Metric = accuracy,
    optimizer: Optimize = USUAL,
    batch_size: int = 64,
    change: Change | None = None,
) -> Experiment:
    """A recurrent network and what it reads.

    Args:
        sequences: The data.
        cell: ``RNN``, ``LSTM`` or ``GRU``; with ``stepping`` one of their cells.
        inputs: Features per time step.
        width: Of the state.
        outputs: Classes or numbers.
        symbols: Size of the vocabulary where time steps are symbols.
        layers: Recurrent layers.
        both: Whether it reads in both directions.
        every: Whether each time step has an output.
        sparse: Whether the embedding gives sparse gradients.
        stepping: Whether the cell is called in a loop of Python's.
        cut: Whether that loop detaches its state.
        loss: What is minimised.
        metric: Held-out.
        optimizer: Of all parameters.
        batch_size: Samples per step.
        change: What is done to the finished network.
    """

    def model() -> nn.Module:
        if stepping:
            return Stepping(cell, inputs, width, outputs, cut=cut)
        return Reader(
            cell, inputs, width, outputs, symbols=symbols, layers=layers, both=both, every=every, sparse=sparse
        )

    return experiment(model, sequences(), optimizer, loss=loss, metric=metric, batch_size=batch_size, change=change)


def healthy(
    name: str, learns: float, chance: float = 0.1, steps: int = 150, watched: int = 40, **recipe: Any
) -> Program:
    """A healthy program of this family."""
    return Program(
        f"recurrent/{name}",
        "recurrent",
        partial(reader, **recipe),
        steps=steps,
        watched=watched,
        chance=chance,
        learns=learns,
    )


def remembering(bias: float) -> Change:
    """Start the forget gates of an LSTM open (Gers et al. 2000; Jozefowicz et al. 2015)."""

    def change(model: nn.Module) -> None:
        for name, parameter in model.body.named_parameters():
            if name.startswith("bias_ih"):
                with torch.no_grad():
                    parameter[len(parameter) // 4 : len(parameter) // 2] = bias

    return change


def recurrent_weights(draw: Callable[[Tensor], Any]) -> Change:
    """Draw the weights from state to state anew; those of each gate by themselves."""

    def change(model: nn.Module) -> None:
        for name, parameter in model.body.named_parameters():
            if name.startswith("weight_hh"):
                for gate in parameter.split(parameter.shape[1]):
                    draw(gate)
            elif name.startswith("bias"):
                nn.init.zeros_(parameter)

    return change


RECALL: dict[str, Any] = {"inputs": 8, "outputs": 4}
ADDING: dict[str, Any] = {
    "sequences": partial(data.adding, 20),
    "inputs": 2,
    "outputs": 1,
    "loss": squared_error,
    "metric": explained,
}
FORECAST: dict[str, Any] = {
    "sequences": data.forecast,
    "inputs": 1,
    "outputs": 1,
    "loss": squared_error,
    "metric": explained,
}
TEXT: dict[str, Any] = {
    "sequences": data.text,
    "inputs": 24,
    "width": 64,
    "outputs": data.vocabulary(),
    "symbols": data.vocabulary(),
    "every": True,
    "loss": token_cross_entropy,
    "metric": token_accuracy,
    "batch_size": 32,
}

lstm = healthy("lstm-rows", 0.85)
gru = healthy("gru-rows", 0.85, cell="GRU")
rnn = healthy("rnn-rows", 0.8, cell="RNN", optimizer=adam(3e-3))
both = healthy("both-directions", 0.85, cell="GRU", both=True, width=24, optimizer=adamw(5e-3))
stacked = healthy("two-layers", 0.8, layers=2, cell="LSTM", optimizer=rmsprop(3e-3))
stepping = healthy("cell-in-a-loop", 0.85, cell="GRUCell", stepping=True)
clipped_rnn = healthy("clipped-rnn", 0.75, cell="RNN", optimizer=clipped(sgd(0.3), 0.05), steps=200)
recall = healthy(
    "recall-30-open-gates",
    0.9,
    chance=0.25,
    sequences=partial(data.recall, 30),
    change=remembering(3.0),
    optimizer=adam(1e-2),
    **RECALL,
)
recall_orthogonal = healthy(
    "recall-30-orthogonal",
    0.9,
    chance=0.25,
    sequences=partial(data.recall, 30),
    cell="RNN",
    change=recurrent_weights(nn.init.orthogonal_),
    optimizer=adam(2e-3),
    **RECALL,
)
recall_loop = healthy(
    "recall-10-loop",
    0.9,
    chance=0.25,
    sequences=partial(data.recall, 10),
    cell="GRUCell",
    stepping=True,
    optimizer=adam(1e-2),
    **RECALL,
)
adding = healthy("adding-20", 0.5, chance=0.0, steps=300, change=remembering(2.0), optimizer=adam(1e-2), **ADDING)
forecast = healthy("forecast", 0.8, chance=0.0, cell="RNN", optimizer=adam(5e-3), **FORECAST)
forecast_lstm = healthy("forecast-lstm", 0.8, chance=0.0, optimizer=adam(1e-2), **FORECAST)
letters = healthy("characters", 0.3, chance=0.18, cell="GRU", optimizer=adam(1e-2), steps=120, **TEXT)
sparse = healthy(
    "characters-sparse-embedding",
    0.25,
    chance=0.18,
    cell="LSTM",
    sparse=True,
    optimizer=adagrad(0.05),
    steps=120,
    **TEXT,
)

BODY = ("body", "body*")

PROGRAMS = (
    lstm,
    lstm.but("bytes", kinds.UNSCALED, sequences=data.row_bytes),
    lstm.but("rate-high", kinds.RATE_HIGH, optimizer=adam(3.0)),
    lstm.but("labels-shuffled", kinds.SHUFFLED_LABELS, sequences=lambda: data.rows().shuffled_targets(), watched=150),
    gru,
    gru.but("head-only", kinds.WRONG_PARAMETERS.at(*BODY), optimizer=of_the_last(adam(5e-3), 2)),
    gru.but("rate-low", kinds.RATE_LOW, optimizer=sgd(1e-5)),
    gru.but("thirty-samples", kinds.OVERFITTING, sequences=lambda: data.rows().first(30), watched=150),
    rnn,
    rnn.but("unit-normal", kinds.SATURATED_TIME.at(*BODY), change=redrawn(normal(2.0), "body")),
    rnn.but("frozen", kinds.FROZEN.at(*BODY), change=frozen("body")),
    both,
    both.but("copy", kinds.WRONG_PARAMETERS, optimizer=of_a_copy(adamw(5e-3))),
    stacked,
    stacked.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=rmsprop(3e-3, weight_decay=5.0)),
    stepping,
    clipped_rnn,
    clipped_rnn.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(30.0)),
    recall,
    recall.but("closed-gates", kinds.THROUGH_TIME.at(*BODY), change=remembering(-2.0)),
    recall_orthogonal,
    recall_orthogonal.but("small", kinds.THROUGH_TIME.at(*BODY), change=recurrent_weights(normal(0.05))),
    recall_orthogonal.but("large", kinds.EXPLODING_TIME.at(*BODY), change=recurrent_weights(normal(1.5))),
    recall_loop,
    recall_loop.but("state-detached", kinds.DETACHED_STATE.at(*BODY), cut=True),
    adding,
    adding.but("default-rnn", kinds.THROUGH_TIME.at(*BODY), cell="RNN", change=None),
    forecast,
    forecast.but("rate-high", kinds.RATE_HIGH, optimizer=adam(1.0)),
    forecast_lstm,
    forecast_lstm.but(
        "shuffled", kinds.SHUFFLED_LABELS, sequences=lambda: data.forecast().shuffled_targets(), watched=150
    ),
    sparse,
    letters,
    letters.but("rate-high", kinds.RATE_HIGH, optimizer=adam(2.0)),
    letters.but("narrow", kinds.UNDERFITTING, inputs=1, width=1, watched=120),
)
