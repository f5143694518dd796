"""More layers express more: each can fold the line once more, so that linear regions multiply with depth.

Telgarsky 2016 (arXiv:1602.04485) and Montúfar et al. 2014 (arXiv:1402.1869) count what weights can be chosen to do;
Hanin and Rolnick 2019 (arXiv:1906.00904) count what drawn and trained weights do: along a line, regions in proportion
to units, whatever the depth. Both are measured, at equal numbers of parameters: one hidden layer against four.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from headwater.lessons.data import Split, digits
from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.lessons.networks import chain
from headwater.lessons.training import adam, train
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.picture import Panel, Picture, Table

SEEDS = (0, 1, 2, 3, 4)
DEEP = 4
FOLDING_WIDTH = 4  # units of each layer put down by hand; each folds the line into as many pieces
FOLDS_BY_HAND = 8  # DEEP layers that fold twice each
WIDTH, FOLDS = 24, 3  # of what is trained on the curve
STEPS, LEARNING_RATE, POINTS = 1000, 1e-2, 512
DIGITS_WIDTH, LINES = 32, 30
CELLS = 20000
OFFSET = 0.37  # of the points on a line from the cells' edges, so that none falls upon a fold
EXACT = 1e-9
SAME = 0.2  # of the regions per unit; what Hanin and Rolnick find is an order of size
SHOWN_SEED = 0
FOLDS_SHOWN = 2  # layers put down by hand that are drawn


def experiment() -> Outcome:
    """By hand, after training on a folded curve, and as drawn for digits."""
    t = Texts("depth-expressivity")
    line = _line(torch.tensor([-1.0]), torch.tensor([1.0]))
    by_hand = folding()
    with torch.no_grad():
        misses = by_hand(line.double()) - folded(line.double(), FOLDS_BY_HAND)
    sizes = {"deep": [1, *[WIDTH] * DEEP, 1]}
    sizes["shallow"] = _as_wide_as(sizes["deep"])
    trained = {name: [_trained(shape, seed) for seed in SEEDS] for name, shape in sizes.items()}
    errors = {name: [error for _, error in nets] for name, nets in trained.items()}
    found = {name: [regions(net, line) for net, _ in nets] for name, nets in trained.items()}
    drawn, per_unit = _on_digits()
    checks = (
        t.within("by_hand", float(regions(by_hand, line)), 2.0**FOLDS_BY_HAND, 2.0**FOLDS_BY_HAND),
        t.within("by_hand_error", float(misses.abs().max()), high=EXACT),
        t.over_seeds("error", _decades(errors["shallow"], errors["deep"]), low=0.0),
        t.over_seeds("regions_trained", _decades(found["shallow"], found["deep"]), low=0.0),
        t.over_seeds("regions_digits", _decades(drawn["deep"], drawn["shallow"]), low=0.0),
        t.over_seeds("per_unit", per_unit, 1 - SAME, 1 + SAME),
    )
    mean = statistics.fmean
    values = {
        **_sizes_in_words(sizes),
        "regions_by_hand": regions(by_hand, line),
        **{f"error_{name}": mean(errors[name]) for name in sizes},
        **{f"regions_{name}": mean(found[name]) for name in sizes},
        **{f"digits_{name}": mean(drawn[name]) for name in sizes},
        "per_unit": mean(drawn["deep"]) / (DEEP * DIGITS_WIDTH),
    }
    panels = (_by_hand(t, by_hand, line), _fits(t, {name: nets[SHOWN_SEED][0] for name, nets in trained.items()}))
    rows = (
        *(_row(t, "curve", name, sizes[name], mean(found[name]), mean(errors[name])) for name in sizes),
        *(_row(t, "digits", name, shape, mean(drawn[name])) for name, shape in _digit_sizes().items()),
    )
    columns = tuple(t(f"column.{name}") for name in ("where", "net", "units", "regions", "error"))
    table = Table(t("table"), columns, rows)
    return Outcome(checks, values, (Picture(t("summary", **values), panels),), (table,), SEEDS)


def _sizes_in_words(sizes: Mapping[str, list[int]]) -> dict[str, int]:
    """How large the networks are, by hand and trained, for the sentences about them."""
    by_hand = [1, *[FOLDING_WIDTH] * DEEP, 1]
    return {
        "depth": DEEP,
        "parameters_by_hand": _parameters(by_hand),
        "limit": _as_wide_as(by_hand)[1] + 1,
        "pieces": 2**FOLDS,
        "parameters": _parameters(sizes["deep"]),
        "units_deep": DEEP * WIDTH,
        "units_shallow": sizes["shallow"][1],
    }


def _row(
    t: Texts, where: str, name: str, shape: list[int], regions: float, error: float | None = None
) -> tuple[Value | Message, ...]:
    return (t(f"row.{where}"), t(f"curve.{name}"), _units(shape), regions, error)


def folded(x: Tensor, folds: int) -> Tensor:
    """The line from -1 to 1 folded in half so many times: 2^folds straight pieces between 0 and 1."""
    height = (x + 1.0) / 2.0
    for _ in range(folds):
        height = 1.0 - (2.0 * height - 1.0).abs()
    return height


def folding() -> nn.Sequential:
    """A net put down by hand: every layer folds what it gets into ``FOLDING_WIDTH`` pieces."""
    model = chain([1, *[FOLDING_WIDTH] * DEEP, 1], "relu").double()
    first, *others = (layer for layer in model if isinstance(layer, nn.Linear))
    kinks = torch.arange(FOLDING_WIDTH, dtype=torch.float64) / FOLDING_WIDTH
    turns = torch.tensor([(-1.0) ** j * 2 * FOLDING_WIDTH for j in range(FOLDING_WIDTH)], dtype=torch.float64)
    turns[0] = FOLDING_WIDTH
    with torch.no_grad():
        first.weight.fill_(0.5)
        first.bias.copy_(0.5 - kinks)
        for layer in others:
            layer.weight.copy_(turns.expand_as(layer.weight))
            layer.bias.copy_(-kinks[: len(layer.bias)])
    return model


def regions(model: nn.Sequential, line: Tensor) -> int:
    """How many pieces a line falls into, on each of which the same ReLU units are on."""
    values = line.to(next(model.parameters()).dtype)
    changed = torch.zeros(len(line) - 1, dtype=torch.bool)
    with torch.no_grad():
        for layer in model:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                on = values > 0
                changed |= (on[1:] != on[:-1]).any(1)
    return 1 + int(changed.sum())


def _line(start: Tensor, end: Tensor, cells: int = CELLS) -> Tensor:
    places = (torch.arange(cells) + OFFSET) / cells
    return start + places.unsqueeze(1) * (end - start)


def _parameters(sizes: list[int]) -> int:
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))


def _units(sizes: list[int]) -> int:
    return sum(sizes[1:-1])


def _as_wide_as(sizes: list[int]) -> list[int]:
    """One hidden layer with as many parameters as a net of these sizes, or a few less."""
    inputs, outputs = sizes[0], sizes[-1]
    return [inputs, (_parameters(sizes) - outputs) // (inputs + 1 + outputs), outputs]


def _drawn(sizes: list[int], seed: int) -> nn.Sequential:
    """He's weights with PyTorch's biases: without any, all kinks of a first layer with one input would be at 0."""
    model, with_biases = (chain(sizes, "relu", init, seed=seed) for init in ("init.he", None))
    with torch.no_grad():
        for (name, parameter), other in zip(model.named_parameters(), with_biases.parameters(), strict=True):
            if name.endswith("bias"):
                parameter.copy_(other)
    return model


def _trained(sizes: list[int], seed: int) -> tuple[nn.Sequential, float]:
    """A net trained on the folded line, and its rms error."""
    x, test_x = torch.linspace(-1.0, 1.0, POINTS).unsqueeze(1), _line(torch.tensor([-1.0]), torch.tensor([1.0]), 2000)
    data = Split(x, folded(x, FOLDS), test_x, folded(test_x, FOLDS))
    model = _drawn(sizes, seed)
    optimizer = adam(LEARNING_RATE)(model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    after = train(
        model,
        data,
        steps=STEPS,
        optimizer=optimizer,
        loss=nn.functional.mse_loss,
        seed=seed,
        after_step=lambda _: schedule.step(),
    )
    return model, math.sqrt(-after.test)


def _digit_sizes() -> dict[str, list[int]]:
    deep = [64, *[DIGITS_WIDTH] * DEEP, 10]
    return {"deep": deep, "shallow": _as_wide_as(deep)}


def _on_digits() -> tuple[dict[str, list[float]], list[float]]:
    """Regions between pairs of digits in nets as drawn, per seed; and those per unit, deep over shallow."""
    x = digits().test_x
    lines = [_line(x[2 * pair], x[2 * pair + 1], CELLS // 10) for pair in range(LINES)]
    found = {
        name: [statistics.fmean(regions(_drawn(sizes, seed), line) for line in lines) for seed in SEEDS]
        for name, sizes in _digit_sizes().items()
    }
    units = {name: _units(sizes) for name, sizes in _digit_sizes().items()}
    pairs = zip(found["deep"], found["shallow"], strict=True)
    return found, [(deep / units["deep"]) / (shallow / units["shallow"]) for deep, shallow in pairs]


def _decades(more: Sequence[float], less: Sequence[float]) -> list[float]:
    return [math.log10(a / b) for a, b in zip(more, less, strict=True)]


def _by_hand(t: Texts, model: nn.Sequential, line: Tensor) -> Panel:
    """What comes out of each layer put down by hand: ever more folds."""
    values, curves = line[::20].double(), []
    with torch.no_grad():
        for layer, module in enumerate(layer for layer in model if isinstance(layer, nn.Linear)):
            if layer:
                height = (values.relu() @ module.weight[0]).tolist()
                if layer <= FOLDS_SHOWN:
                    curves.append(
                        t.curve("folds", line[::20, 0].tolist(), height, layer=layer, pieces=FOLDING_WIDTH**layer)
                    )
                values = module(values.relu())
            else:
                values = module(values)
    return Panel(t("panel.by_hand"), t.axis("x"), t.axis("y"), tuple(curves))


def _fits(t: Texts, nets: dict[str, nn.Sequential]) -> Panel:
    """The folded curve and what both nets have learned of it."""
    x = torch.linspace(-1.0, 1.0, 401).unsqueeze(1)
    curves = [t.curve("target", x[:, 0].tolist(), folded(x, FOLDS)[:, 0].tolist(), reference=True)]
    with torch.no_grad():
        for name, net in nets.items():
            curves.append(t.curve(name, x[:, 0].tolist(), net(x)[:, 0].tolist()))
    return Panel(t("panel.fits"), t.axis("x"), t.axis("y"), tuple(curves))


LESSON = Lesson("depth-expressivity", experiment, seconds=12.0)
