"""What `headwater predict` expects of networks beside what is measured, at every site and over several draws.

    python -m benchmarks.prediction [--quick] [--out FOLDER]

The error is in decades (0.05 is 12 %): log₁₀ of the expected over the measured rms. Activations are compared as they
are, gradients relative to that at the output. How far two batches of that size are apart on the same network is what no
prediction can do better than. With ``--out docs/benchmarks`` the table and the plot of
docs/prediction.md are made anew.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

import headwater as hw
from benchmarks import machine
from benchmarks.options import RESULTS, parser, save, say
from benchmarks.tables import between, machine_line, number, table

PAGE = RESULTS.parent / "prediction.md"
CLASSES = 10
SEEDS = 5


@dataclass(frozen=True)
class Case:
    """A network at its initialisation, and what it is measured on."""

    label: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int = 256


def mlp(activation: Callable[[], nn.Module], depth: int, width: int, scale: float | None) -> nn.Module:
    """Hidden layers of one width; weights N(0, scale² / fan_in) and no biases, or PyTorch's default."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [drawn(nn.Linear(width, width), width, scale), activation()]
    return nn.Sequential(*layers, nn.Linear(width, CLASSES))


def cnn(activation: Callable[[], nn.Module], depth: int, channels: int, scale: float | None) -> nn.Module:
    """3×3 convolutions of one width, the mean over the image, a linear head."""
    layers: list[nn.Module] = []
    before = 3
    for _ in range(depth):
        layers += [drawn(nn.Conv2d(before, channels, 3, padding=1), 9 * before, scale), activation()]
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


def drawn(layer: nn.Module, fan_in: int, scale: float | None) -> nn.Module:
    """The layer with weights of that scale."""
    if scale is not None:
        nn.init.normal_(layer.weight, 0.0, scale / fan_in**0.5)
        nn.init.zeros_(layer.bias)
    return layer


CASES = [
    Case("MLP 50×200, ReLU, He", lambda: mlp(nn.ReLU, 50, 200, 2**0.5), (200,)),
    Case("MLP 30×256, ReLU, PyTorch's default", lambda: mlp(nn.ReLU, 30, 256, None), (256,)),
    Case("MLP 50×200, tanh, Xavier", lambda: mlp(nn.Tanh, 50, 200, 1.0), (200,)),
    Case("MLP 40×300, tanh, 5/3", lambda: mlp(nn.Tanh, 40, 300, 5 / 3), (300,)),
    Case("MLP 50×200, sigmoid, Xavier", lambda: mlp(nn.Sigmoid, 50, 200, 1.0), (200,)),
    Case("MLP 50×200, SELU, LeCun", lambda: mlp(nn.SELU, 50, 200, 1.0), (200,)),
    Case("MLP 30×200, GELU, 1.5", lambda: mlp(nn.GELU, 30, 200, 1.5), (200,)),
    Case("CNN 20×200, ReLU, He", lambda: cnn(nn.ReLU, 20, 200, 2**0.5), (3, 8, 8), 32),
    Case("CNN 20×200, ReLU, PyTorch's default", lambda: cnn(nn.ReLU, 20, 200, None), (3, 8, 8), 32),
    Case("CNN 20×200, tanh, Xavier", lambda: cnn(nn.Tanh, 20, 200, 1.0), (3, 8, 8), 32),
]
DRAWN = (0, 2, 4, 7)  # cases that the plot shows


def main(arguments: list[str] | None = None) -> None:
    """Compare all cases; print the table and write the results."""
    given = parser(__doc__).parse_args(arguments)
    torch.set_num_threads(given.threads or 1)
    rows = []
    for case in CASES:
        rows.append(row(case, 2 if given.quick else SEEDS))
        worst = max(rows[-1]["activation"]["worst"], rows[-1]["gradient"]["worst"])
        say(f"{case.label}: off by {worst:.3f} decades at most")
    result = {"machine": machine.describe(given.threads), "seeds": 2 if given.quick else SEEDS, "rows": rows}
    save(given.out, "prediction", result)
    print(page_table(result))
    if given.out and given.out.resolve() == RESULTS and not given.quick:
        PAGE.write_text(between(PAGE.read_text(), "prediction", page_table(result)))
        draw(rows)


def row(case: Case, seeds: int) -> dict[str, Any]:
    """One case over draws of weights and data."""
    errors: dict[str, list[float]] = {"activation": [], "gradient": [], "cosine": [], "batches": []}
    stated: list[tuple[float, float]] = []
    seconds, profile = [], []
    for seed in range(seeds):
        torch.manual_seed(seed)
        model = case.make()
        batch, another = (
            (torch.randn(case.batch, *case.shape), torch.randint(CLASSES, (case.batch,))) for _ in range(2)
        )
        started = time.perf_counter()
        expected = hw.predict(model, case.shape)
        seconds.append(time.perf_counter() - started)
        prediction = expected.beside(hw.check(model, batch, loss).flow)
        table_rows = [r for r in prediction.rows() if r["measured_activation_grad_rms"]]
        again = expected.beside(hw.check(model, another, loss).flow)
        measured = [(r.measured, a.measured) for r, a in zip(prediction.sites, again.sites, strict=True)]
        errors["batches"] += [
            decades(a.activation_grad_rms, b.activation_grad_rms)
            for a, b in measured
            if a and b and a.activation_grad_rms and b.activation_grad_rms
        ]
        for name, key in (("activation", "activation_rms"), ("gradient", "activation_grad_rms")):
            errors[name] += [decades(r[key], r[f"measured_{key}"]) for r in table_rows]
        for key in ("activation", "activation_grad"):
            uncertain = [r for r in table_rows if r[f"{key}_uncertainty"]]
            off = [abs(decades(r[f"{key}_rms"], r[f"measured_{key}_rms"])) for r in uncertain]
            stated += [(r[f"{key}_uncertainty"], error) for r, error in zip(uncertain, off, strict=True)]
        pairs = [(r["abs_cosine"], r["measured_abs_cosine"]) for r in table_rows]
        errors["cosine"] += [abs(a - b) for a, b in pairs if a is not None and b is not None]
        profile = profile or table_rows
    summary = {
        name: {"worst": max(map(abs, v)), "median": statistics.median(map(abs, v))} for name, v in errors.items()
    }
    return {
        "label": case.label,
        "seconds": statistics.median(seconds),
        **summary,
        "stated": {
            "largest": max((own for own, _ in stated), default=None),
            "error_over_stated": max((error / own for own, error in stated), default=None),
        },
        "profile": profile,
    }


def loss(model: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def decades(expected: float, measured: float) -> float:
    """log₁₀ of their ratio, by logarithms: gradients of 1e-200 have one too."""
    return float(
        torch.tensor(expected, dtype=torch.float64).log10() - torch.tensor(measured, dtype=torch.float64).log10()
    )


def page_table(result: dict[str, Any]) -> str:
    """The errors of all cases."""
    heads = [
        *("network", "activation rms, decades", "gradient rms, decades", "gradient of two batches, decades"),
        *("mean \\|cos\\|", "says it may be off by, decades", "predicted in, s"),
    ]
    cells = [
        [
            r["label"],
            *(
                f"{number(r[n]['median'])}, at most {number(r[n]['worst'])}"
                for n in ("activation", "gradient", "batches", "cosine")
            ),
            uncertainty(r["stated"]),
            number(r["seconds"]),
        ]
        for r in result["rows"]
    ]
    return "\n\n".join([machine_line(result), table(heads, cells)])


def uncertainty(stated: dict[str, float | None]) -> str:
    """The largest that was stated at any site, and how much of what was stated the error was at most."""
    if stated["largest"] is None:
        return "–"
    return f"{number(stated['largest'])}, of which {number(stated['error_over_stated'])} at most"


def draw(rows: list[dict[str, Any]]) -> None:
    """Expected lines and measured dots of some cases, gradients over sites."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "headwater", "font.size": 9}):
        figure, axes = plt.subplots(1, len(DRAWN), figsize=(3.2 * len(DRAWN), 2.8), layout="constrained")
        for place, index in zip(axes, DRAWN, strict=True):
            profile = rows[index]["profile"]
            sites = range(len(profile))
            for key, colour in (("activation_rms", "#d55e00"), ("activation_grad_rms", "#0072b2")):
                place.fill_between(
                    sites,
                    *([r[f"{key}_{end}"] for r in profile] for end in ("low", "high")),
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
                place.plot(sites, [r[key] for r in profile], color=colour, linewidth=1)
                place.plot(sites, [r[f"measured_{key}"] for r in profile], ".", color=colour, markersize=3)
            place.set_yscale("log")
            place.set_title(rows[index]["label"], loc="left", fontsize=8)
            place.set_xlabel("site")
        axes[0].set_ylabel("rms: activation (orange), gradient (blue)")
        figure.savefig(RESULTS / "prediction.svg", format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
