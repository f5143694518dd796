"""Do the remedies that act on how a network is trained help where they should? Each is put to the proof on its cases.

    python -m benchmarks.optimising [--seeds 5] [REMEDY ...]

Prints a Markdown table: held-out metric of the faulty program as it is and with the remedy, mean over the seeds, the
95 % interval of the gain, placebo, random remedy and the proof's verdict. Programs are those of ``benchmarks.faults``,
and a few that it has none of.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

import headwater as hw
from benchmarks.faults import data
from benchmarks.faults.build import adam, experiment, sgd, squared_error
from benchmarks.faults.families import programs
from headwater.records import Experiment

STEPS = 150

CASES: tuple[tuple[str, str], ...] = (
    ("optimisation.learning_rate:0.01", "mlp/gelu-6-momentum/rate-high"),
    ("optimisation.learning_rate:0.01", "cnn/plain/rate-high"),
    ("optimisation.learning_rate:0.1", "mlp/tanh-sgd/oscillating"),
    ("optimisation.learning_rate:0.1", "regression/linear-full-batch/oscillating"),
    ("optimisation.learning_rate:100", "mlp/sigmoid-shallow/rate-low"),
    ("optimisation.learning_rate:10000", "recurrent/gru-rows/rate-low"),
    ("optimisation.learning_rate_to", "recurrent/forecast/rate-high"),
    ("optimisation.depth_rate", "own/mirrored-200"),
    ("optimisation.warmup:60", "own/post-norm-unwarmed"),
    ("optimisation.warmup:50", "own/mlp-rate-at-the-edge"),
    ("optimisation.clip_norm", "own/recurrent-at-the-edge"),
    ("optimisation.clip_norm", "mlp/gelu-6-momentum/rate-high"),
    ("optimisation.adaptive_clip", "mlp/gelu-6-momentum/rate-high"),
    ("optimisation.adaptive_clip", "resnet/pre-norm-8/rate-high"),
    ("optimisation.epsilon", "own/sigmoid-8"),
    ("optimisation.rebind", "mlp/tanh-xavier-10/head-only"),
    ("optimisation.rebind", "mlp/silu-8-adamw/copy"),
    ("optimisation.rebind", "autoencoder/sigmoid-head/decoder-only"),
    ("optimisation.unfreeze", "mlp/gelu-6-momentum/frozen"),
    ("optimisation.unfreeze", "recurrent/rnn-rows/frozen"),
    ("regularisation.reduce_dropout", "mlp/layer-norm-6/dropout"),
    ("regularisation.reduce_dropout", "cnn/dropout/too-much"),
    ("regularisation.reduce_weight_decay", "mlp/silu-8-adamw/weight-decay"),
    ("regularisation.reduce_weight_decay", "mlp/weight-decay/too-much"),
    ("loss.logits", "mlp/relu/softmax-before-loss"),
    ("loss.logits", "cnn/plain/softmax-before-loss"),
    ("loss.linear_output", "regression/friedman/relu-head"),
    ("loss.linear_output", "regression/friedman-momentum/sigmoid-head"),
    ("data.standardise", "mlp/wide-relu-sgd/bytes"),
    ("data.standardise", "mlp/tumours/raw-features"),
    ("data.standardise", "regression/friedman/mixed-units"),
    ("data.standardise", "recurrent/lstm-rows/bytes"),
    ("recurrent.forget_bias:3", "recurrent/recall-30-open-gates/closed-gates"),
    ("recurrent.orthogonal", "recurrent/recall-30-orthogonal/small"),
    ("recurrent.orthogonal", "recurrent/adding-20/default-rnn"),
)


def mirrored(depth: int = 200, width: int = 32) -> Experiment:
    """Plain ReLU layers that keep inputs apart, at a rate for ten of them."""

    def model() -> nn.Module:
        plain = _chain(depth, width, nn.ReLU)
        return hw.apply(plain, "init.mirrored", seed=int(torch.randint(2**31, ())))

    return experiment(model, data.digits(), adam(3e-3))


def sigmoid(depth: int = 8) -> Experiment:
    """Sigmoid layers as PyTorch draws them, under Adam: the first layers' gradients are below its ε."""
    return experiment(lambda: _chain(depth, 32, nn.Sigmoid), data.digits(), adam(3e-3))


def at_the_edge() -> Experiment:
    """ReLU layers under Adam at a rate that only a network that has learnt something bears."""
    return experiment(lambda: _chain(8, 64, nn.ReLU), data.digits(), adam(1e-2))


def post_norm(layers: int = 6, width: int = 32) -> Experiment:
    """Encoder layers with the normalisation behind each shortcut, at full rate from the first step."""
    return experiment(lambda: _PostNorm(layers, width), data.digits(), adam(3e-3))


class _PostNorm(nn.Module):
    """Rows of a digit as a sequence."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.enter, self.place = nn.Linear(8, width), nn.Parameter(torch.randn(8, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        for parameter in self.body.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)  # each copy its own draw
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.enter(x.reshape(len(x), 8, 8)) + self.place).mean(1))


def recurrent() -> Experiment:
    """A recurrent network whose gradients grow through time, under SGD at a rate that a few of them throw over."""
    return experiment(_Adding, _adding(), sgd(0.3), loss=squared_error, metric=_explained)


class _Adding(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.body, self.head = nn.RNN(2, width, batch_first=True), nn.Linear(width, 1)
        with torch.no_grad():
            nn.init.orthogonal_(self.body.weight_hh_l0, gain=1.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


def _adding(length: int = 20) -> data.Split:
    """The sum of two marked numbers of a sequence (Hochreiter and Schmidhuber 1997)."""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.rand(1280, length, generator=generator)
    marks = torch.zeros(1280, length)
    rows = torch.arange(1280)
    marks[rows, torch.randint(length // 2, (1280,), generator=generator)] = 1.0
    marks[rows, length // 2 + torch.randint(length // 2, (1280,), generator=generator)] = 1.0
    x, y = torch.stack([numbers, marks], 2), (numbers * marks).sum(1, keepdim=True) - 1.0
    return data.Split((x[:1024], y[:1024]), (x[1024:], y[1024:]))


def _explained(model: nn.Module, batches: object) -> float:
    """Share of the targets' variance, at least -1."""
    ((x, y),) = batches  # type: ignore[misc]
    return max(-1.0, 1.0 - float((model(x) - y).square().mean() / y.var()))


def _chain(depth: int, width: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    sizes = [64, *[width] * (depth - 1), 10]
    layers = [module for a, b in pairwise(sizes) for module in (nn.Linear(a, b), activation())]
    return nn.Sequential(*layers[:-1])


OWN: dict[str, Callable[[], Experiment]] = {
    "own/mirrored-200": mirrored,
    "own/post-norm-unwarmed": post_norm,
    "own/mlp-rate-at-the-edge": at_the_edge,
    "own/recurrent-at-the-edge": recurrent,
    "own/sigmoid-8": sigmoid,
}


def main() -> None:
    """Prove each case and print its row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("remedies", nargs="*", default=[], help="only these, by how they begin")
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    known = programs()
    print("| remedy | program | as it is | with it | gain, 95 % | placebo | random remedy | verdict |")
    print("|---|---|---|---|---|---|---|---|")
    for remedy, name in CASES:
        if given.remedies and not f"{remedy} {name}".startswith(tuple(given.remedies)):
            continue
        make = OWN.get(name) or known[name].make
        steps = STEPS if name in OWN else known[name].steps
        try:
            proof = hw.prove(make(), remedy, seeds=given.seeds, steps=steps)
        except hw.InputError as refusal:
            print(f"| `{remedy}` | {name} | refused: {str(refusal).splitlines()[0]} | | | | | |", flush=True)
            continue
        low, high = proof.interval
        figures = f"{proof.metric_before:.3f} | {proof.metric_after:.3f} | {low:+.3f} to {high:+.3f}"
        controls = f"{proof.placebo:.3f} | {proof.random_remedy:.3f}"
        print(f"| `{remedy}` | {name} | {figures} | {controls} | {proof.verdict} |", flush=True)


if __name__ == "__main__":
    main()
