"""Recurrent networks: PyTorch's layers, packed or not, and cells in a loop, on tones, intents and a chaotic series.

Marks by task, as :mod:`benchmarks.faults.tasks_sixth` has them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from benchmarks.faults import data, kinds
from benchmarks.faults import tasks_sixth as tasks
from benchmarks.faults.build import adam, adamw, explained, huber, norm_clipped, rmsprop, sgd, squared_error
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Reader(nn.Module):
    """A recurrent layer over numbers, its last state, a linear layer."""

    def __init__(
        self,
        kind: str = "GRU",
        inputs: int = 1,
        hidden: int = 32,
        outputs: int = 4,
        layers: int = 1,
        p: float = 0.0,
        shut: float | None = None,
        recurrent: float | None = None,
        relu_out: bool = False,
    ) -> None:
        super().__init__()
        self.rnn = getattr(nn, kind)(inputs, hidden, layers, batch_first=True, dropout=p)
        self.fc = nn.Linear(hidden, outputs)
        self.relu_out = relu_out
        for name, weight in self.rnn.named_parameters():
            if shut is not None and name.startswith("bias_ih"):
                nn.init.constant_(weight.data[hidden : 2 * hidden], shut)
            if recurrent is not None and name.startswith("weight_hh"):
                nn.init.orthogonal_(weight.data, recurrent)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(self.rnn(x)[0][:, -1])
        return y.relu() if self.relu_out else y


class Packed(nn.Module):
    """Words whose sequences have their own lengths, packed for an LSTM."""

    def __init__(self, dim: int = 24, hidden: int = 32, both: bool = False, p: float = 0.0, stop: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tasks.WORDS, dim, padding_idx=0)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True, bidirectional=both)
        self.dropout = nn.Dropout(p)
        self.classifier = nn.Linear(hidden * (2 if both else 1), tasks.INTENTS)
        self.stop = stop

    def forward(self, x: Tensor) -> Tensor:
        length = (x != 0).sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(x), length, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        last = h.transpose(0, 1).flatten(1)
        return self.classifier(self.dropout(last.detach() if self.stop else last))


class Loop(nn.Module):
    """A cell of PyTorch's in a loop of one's own."""

    def __init__(self, cell: type[nn.Module] = nn.GRUCell, hidden: int = 40, gain: float | None = None) -> None:
        super().__init__()
        self.cell = cell(8, hidden)
        self.readout = nn.Linear(hidden, 4)
        self.hidden = hidden
        if gain is not None:
            nn.init.orthogonal_(self.cell.weight_hh, gain)

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), self.hidden)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return self.readout(h)


healthy = healthy_of("sequences", network=Reader, task=tasks.tone_steps, optimizer=adam(0.01), steps=150, batch_size=64)
SERIES: dict[str, Any] = {
    "task": tasks.mackey_glass,
    "outputs": 1,
    "loss": squared_error,
    "metric": explained,
}
WORDS: dict[str, Any] = {"network": Packed, "task": tasks.intents}
RECALL: dict[str, Any] = {"network": Loop, "task": lambda: data.recall(20)}
ROWS: dict[str, Any] = {"task": data.rows, "inputs": 8, "outputs": 10}

tones = healthy("tones-gru", 0.8, 0.27, steps=150)
tones_two = healthy("tones-lstm-two", 0.8, 0.27, kind="LSTM", layers=2, p=0.1, steps=150)
rows = healthy("rows-rnn-rmsprop", 0.8, 0.1, kind="RNN", hidden=64, optimizer=rmsprop(1e-3), steps=250, **ROWS)
rows_lstm = healthy("rows-lstm-momentum", 0.8, 0.1, kind="LSTM", optimizer=sgd(0.5, momentum=0.9), **ROWS)
rows_clipped = healthy("rows-gru-clipped", 0.8, 0.1, optimizer=norm_clipped(adamw(5e-3), 1.0), batch_size=32, **ROWS)
series = healthy("series-gru", 0.7, 0.0, **SERIES)
series_lstm = healthy("series-lstm-huber", 0.7, 0.0, kind="LSTM", hidden=24, **(SERIES | {"loss": huber}))
series_rnn = healthy("series-rnn", 0.7, 0.0, kind="RNN", optimizer=adam(3e-3), **SERIES)
words = healthy("intents-packed", 0.8, 0.22, **WORDS)
words_both = healthy("intents-both-ways", 0.8, 0.22, both=True, p=0.3, optimizer=adamw(5e-3), steps=200, **WORDS)
recall = healthy("recall-gru-cell", 0.8, 0.26, steps=250, **RECALL)
recall_rnn = healthy(
    "recall-rnn-orthogonal",
    0.8,
    0.26,
    cell=nn.RNNCell,
    gain=1.0,
    optimizer=norm_clipped(adam(2e-3), 1.0),
    steps=250,
    **RECALL,
)

SHUT = Fault(
    ("vanishing_through_time", "vanishing", "saturation", "gated_by_design"),
    ("saturated_activation", "recurrent_weights", "init_mismatch", "activation_derivative"),
)
"""A gate that keeps nothing: what came before the last steps is forgotten, and so is its gradient."""

PROGRAMS = (
    tones,
    tones.but("raw", kinds.UNSCALED, task=tasks.tone_steps_raw),
    tones.but("rate-low", kinds.RATE_LOW, optimizer=adam(1e-6)),
    tones_two,
    rows,
    rows.but("large", kinds.EXPLODING_TIME.at("rnn"), recurrent=10.0),
    rows_lstm,
    rows_lstm.but("shut", SHUT.at("rnn"), shut=-12.0),
    rows_lstm.but("rate-high", kinds.RATE_HIGH, optimizer=sgd(50.0, momentum=0.9)),
    rows_clipped,
    series,
    series.but("relu-out", kinds.WRONG_HEAD.at("fc", ""), relu_out=True),
    series_lstm,
    series_rnn,
    words,
    words.but("detached", kinds.DETACHED.at("embedding", "lstm"), stop=True),
    words.but("fifty", kinds.OVERFITTING, task=lambda: tasks.intents().first(50), watched=120),
    words_both,
    words_both.but("weight-decay", kinds.WEIGHT_DECAY, optimizer=adamw(5e-3, weight_decay=100.0), watched=100),
    recall,
    recall_rnn,
    recall_rnn.but("small", kinds.THROUGH_TIME.at("cell"), gain=0.3),
)
