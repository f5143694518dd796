"""One hidden layer approximates any continuous function: its error falls with its width.

The theorem (Cybenko 1989, Hornik 1991; any activation that is no polynomial: Leshno et al. 1993) says that weights
exist. Here they are looked for, by training on three curves over [-1, 1], and also put down by hand: with ReLU, one
unit for each kink of a polygon with its corners on the curve, whose error is h²·rms(f″)/√120 for pieces of length h.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from headwater.lessons.lesson import Lesson, Outcome, Texts, log10
from headwater.lessons.networks import chain, linear
from headwater.records.picture import Axis, Curve, Panel, Picture, Table
from headwater.remedies.proof import t_interval

TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "sin": lambda x: torch.sin(math.pi * x),
    "abs": torch.abs,
    "step": lambda x: torch.sigmoid(20.0 * x),
}
WIDTHS = (4, 16, 64, 256)
SEEDS = (0, 1, 2, 3, 4)
ITERATIONS = 100  # of L-BFGS; gradient descent needs some ten thousand steps for the same
POINTS, TEST_POINTS = 200, 1001
AT_MOST = 1e-2
EXACT = 1e-12
SHOWN_SEED = 0
SHOWN_WIDTHS = (4, 16, 256)


def experiment() -> Outcome:
    """Train each width on each curve, and build the same widths by hand."""
    t = Texts("universal-approximation")
    errors: dict[tuple[str, int], list[float]] = {}
    shown: dict[tuple[str, int], nn.Sequential] = {}
    outside = []
    for name, target in TARGETS.items():
        for width in WIDTHS:
            nets = [_trained(target, width, seed) for seed in SEEDS]
            errors[name, width] = [_error(net, target) for net in nets]
            shown[name, width] = nets[SHOWN_SEED]
            if name == "sin" and width == WIDTHS[-1]:
                outside = [_error(net, target, 1.0, 2.0) for net in nets]
    by_hand = {
        (name, width): _error(built(target, width), target) for name, target in TARGETS.items() for width in WIDTHS
    }
    order = log10(by_hand["sin", WIDTHS[-1]] / by_hand["sin", WIDTHS[1]]) / math.log10(WIDTHS[-1] / WIDTHS[1])
    narrow, wide = WIDTHS[0], WIDTHS[-1]
    gained = {
        name: [log10(a / b) for a, b in zip(errors[name, narrow], errors[name, wide], strict=True)] for name in TARGETS
    }
    checks = (
        t.over_seeds("falls_sin", gained["sin"], low=0.0),
        t.over_seeds("falls_step", gained["step"], low=0.0),
        *(t.over_seeds(f"widest_{name}", errors[name, wide], high=AT_MOST) for name in TARGETS),
        t.within("abs_exact", _error(built(torch.abs, 2), torch.abs), high=EXACT),
        t.within("order", order, -2.1, -1.9),
    )
    means = {key: statistics.fmean(values) for key, values in errors.items()}
    values = {
        "narrow": narrow,
        "wide": wide,
        "sin_narrow": means["sin", narrow],
        "sin_wide": means["sin", wide],
        "abs_wide": means["abs", wide],
        "step_narrow": means["step", narrow],
        "step_wide": means["step", wide],
        "seeds": len(SEEDS),
        "abs_found": sum(error < AT_MOST for error in errors["abs", narrow]),
        "built_wide": by_hand["sin", wide],
        "outside": statistics.fmean(outside),
    }
    panels = (*(_fits(t, name, shown) for name in ("sin", "step")), _over_width(t, errors, by_hand))
    columns = (t("column.curve"), t("column.width"), t("column.trained"), t("column.built"))
    rows = tuple((t(f"target.{name}"), width, mean, by_hand[name, width]) for (name, width), mean in means.items())
    return Outcome(
        checks, values, (Picture(t("summary", **values), panels),), (Table(t("table"), columns, rows),), SEEDS
    )


def built(target: Callable[[Tensor], Tensor], width: int) -> nn.Sequential:
    """ReLU units put down by hand: the polygon with ``width`` equal pieces and its corners on the curve.

    Unit j is 0 left of its kink and adds the change of slope there.
    """
    corners = torch.linspace(-1.0, 1.0, width + 1, dtype=torch.float64)
    heights = target(corners)
    slopes = heights.diff() / corners.diff()
    model = chain([1, width, 1], "relu").double()
    with torch.no_grad():
        linear(model, 0).weight.fill_(1.0)
        linear(model, 0).bias.copy_(-corners[:-1])
        linear(model, 2).weight.copy_(slopes.diff(prepend=torch.zeros(1, dtype=torch.float64)).unsqueeze(0))
        linear(model, 2).bias.copy_(heights[:1])
    return model


def _trained(target: Callable[[Tensor], Tensor], width: int, seed: int) -> nn.Sequential:
    """Fit all points at once by L-BFGS, a descent that also learns the curvature."""
    model = chain([1, width, 1], "relu", seed=seed)
    x = torch.linspace(-1.0, 1.0, POINTS).unsqueeze(1)
    y = target(x)
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=ITERATIONS,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_grad=0.0,
        tolerance_change=0.0,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


def _error(model: nn.Sequential, target: Callable[[Tensor], Tensor], low: float = -1.0, high: float = 1.0) -> float:
    """Root mean square error between ``low`` and ``high``, mostly at points that were not trained on."""
    x = torch.linspace(low, high, TEST_POINTS, dtype=torch.float64).unsqueeze(1)
    with torch.no_grad():
        answers = model(x.to(next(model.parameters()).dtype)).double()
    return float((answers - target(x)).square().mean().sqrt())


def _fits(t: Texts, name: str, shown: dict[tuple[str, int], nn.Sequential]) -> Panel:
    """A curve, and what some widths make of it."""
    x = torch.linspace(-1.0, 1.0, 201).unsqueeze(1)
    curves = [t.curve("target", x[:, 0].tolist(), TARGETS[name](x)[:, 0].tolist(), reference=True)]
    with torch.no_grad():
        for width in SHOWN_WIDTHS:
            answers = shown[name, width](x)[:, 0].tolist()
            curves.append(t.curve("width", x[:, 0].tolist(), answers, width=width))
    return Panel(t(f"target.{name}"), t.axis("x"), t.axis("y"), tuple(curves))


def _over_width(t: Texts, errors: dict[tuple[str, int], list[float]], by_hand: dict[tuple[str, int], float]) -> Panel:
    """Error by width: mean and interval over the seeds of its logarithm, and sin by hand."""
    places = [math.log10(width) for width in WIDTHS]
    curves: list[Curve] = []
    for name in TARGETS:
        logs = [[log10(error) for error in errors[name, width]] for width in WIDTHS]
        lows, highs = zip(*(t_interval(values) for values in logs), strict=True)
        curves.append(t.curve(name, places, [statistics.fmean(values) for values in logs], low=lows, high=highs))
    curves.append(t.curve("built", places, [log10(by_hand["sin", width]) for width in WIDTHS], reference=True))
    return Panel(t("panel.error"), t.axis("width", log10=True), Axis(t("axis.error"), "log10"), tuple(curves))


LESSON = Lesson("universal-approximation", experiment, seconds=4.0)
