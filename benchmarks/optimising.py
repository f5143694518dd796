"""Do the remedies that act on how a network is trained help where they should? Each is put to the proof on its cases.

    python -m benchmarks.optimising [--seeds 5] [REMEDY ...]

Prints a Markdown table: held-out metric of the faulty program as it is and with the remedy, mean over the seeds, the
95 % interval of the gain, placebo, random remedy and the proof's verdict. Programs are those of ``benchmarks.faults``,
and a few that it has none of.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
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
    ("optimisation.warmup:50", "own/post-norm-12"),
    ("optimisation.warmup:50", "own/post-norm-6"),
    ("optimisation.learning_rate:0.3", "own/post-norm-6"),
    ("optimisation.learning_rate:0.1", "own/post-norm-6"),
    ("optimisation.clip_norm", "own/outliers"),
    ("optimisation.clip_norm:0.5", "own/outliers"),
    ("optimisation.clip_norm", "own/he-12-rate-0.3"),
    ("optimisation.adaptive_clip", "own/he-12-rate-1"),
    ("optimisation.adaptive_clip", "own/he-30-rate-0.1"),
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


def he(depth: int, rate: float) -> Experiment:
    """Plain ReLU layers of He's weights under SGD, at a rate that they do not bear."""

    def model() -> nn.Module:
        return hw.apply(_chain(depth, 64, nn.ReLU), "init.he", seed=int(torch.randint(2**31, ())))

    return experiment(model, data.digits(), sgd(rate))


def outliers() -> Experiment:
    """Regression in which one target in a hundred is a misprint, a hundred times the largest true one."""
    split = data.friedman()
    x, y = split.train
    wrong = torch.rand(len(y), generator=torch.Generator().manual_seed(1)) < 0.01
    y = torch.where(wrong[:, None], 100.0 * y.abs().max(), y)

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(x.shape[1], 32), nn.Tanh(), nn.Linear(32, 1))

    return experiment(model, data.Split((x, y), split.test), sgd(0.1), loss=squared_error, metric=_explained)


def post_norm(layers: int = 12, rate: float = 3e-3, width: int = 32) -> Experiment:
    """Encoder layers with the normalisation behind each shortcut, at full rate from the first step."""
    return experiment(lambda: _PostNorm(layers, width), data.digits(), adam(rate))


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
    "own/post-norm-12": post_norm,
    "own/post-norm-6": partial(post_norm, 6, 0.01),
    "own/outliers": outliers,
    "own/he-12-rate-0.3": partial(he, 12, 0.3),
    "own/he-12-rate-1": partial(he, 12, 1.0),
    "own/he-30-rate-0.1": partial(he, 30, 0.1),
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
