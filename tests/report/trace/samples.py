"""Traces made of numbers written here, so that what faces show depends on no machine's last digit."""

import math
from dataclasses import replace

from headwater.records import (
    Comparison,
    Descent,
    Factor,
    LayerGain,
    Message,
    Path,
    PathStep,
    RunInfo,
    ScalarPath,
    Signed,
    Stage,
    WeightGradient,
)
from headwater.records.trace import FactorKind
from headwater.report import Trace

RUN = RunInfo(
    headwater="0.1.0",
    torch="2.13.0",
    python="3.12.1",
    created="2026-01-31T12:00:00+00:00",
    model="Sequential",
    parameters=6,
    trainable=6,
    device="cpu",
    seed=0,
    wall_time_s=0.25,
)


def factor(kind: FactorKind, index: int, value: float, at: float | None = None) -> Factor:
    log10 = math.log10(abs(value)) if value else -math.inf
    site = {"activation": 2 * index - 3, "weight": 2 * index - 2, "input": 0, "loss": 99}[kind]
    op = {"activation": "Sigmoid", "weight": "Linear", "input": "Linear", "loss": "mse_loss"}[kind]
    return Factor(kind, index, str(site), op, value, log10, at, value if kind == "activation" else None)


def check(id_: str, value: float, reference: float, status: str = "holds", **options: object) -> Comparison:
    difference = abs(value - reference) / abs(reference) if reference else 0.0
    made = Comparison(id_, Signed.of(value), Signed.of(reference), difference, 1e-12, status, 1, None)
    return replace(made, **options)


def _bare() -> Trace:
    return Trace(
        kind="chain",
        target=Message("trace.target.output"),
        loss=0.4508,
        parameter="0.weight",
        index=(0, 0),
        gradient=Signed.of(1.0),
        rounded=None,
        rounded_dtype="float32",
        blocked=None,
        dtype="float64",
        sample=0,
        samples=1,
        factors=(),
        stages=(),
        weights=(),
        paths=(),
        path_count=0,
        descent=None,
        layers=(),
        way=None,
        log10_input_gradient=None,
        checks=(),
        notes=(),
        run=RUN,
    )


def chain(layers: int = 5, dead: bool = False) -> Trace:
    """A chain whose every slope is 0.25 and every weight 0.5 or -0.5."""
    slopes = [factor("activation", i, 0.0 if dead and i == 3 else 0.25, 0.1 * i) for i in range(2, layers + 1)]
    weights = [factor("weight", i, 0.5 * (-1) ** i) for i in range(2, layers + 1)]
    factors = (*slopes, *weights, factor("input", 1, 1.0))
    log10 = math.fsum(one.log10 for one in factors)
    sign = 0 if dead else math.prod(int(math.copysign(1, one.value)) for one in factors)
    value = Signed(0.0 if log10 < -300 else sign * 10**log10, sign, log10)
    kinds = ["input", *["affine", "activation"] * (layers - 1), "affine"]
    stages = tuple(
        Stage("x" if not i else str(i - 1), "" if not i else "Linear", kind, (0.5,), (0.25,), ())
        for i, kind in enumerate(kinds)
    )
    return replace(
        _bare(),
        gradient=value,
        rounded=Signed.of(value.value if log10 > -45 else 0.0),
        factors=factors,
        stages=stages,
        path_count=1,
        blocked=Message("trace.blocked", {"site": "3", "op": "Sigmoid"}) if dead else None,
        checks=(
            Comparison("product", value, value, 1.5e-16, 1e-12, "holds", len(factors), None),
            Comparison("sum_of_logs", Signed.of(log10), Signed.of(log10), 0.0, 1e-12, "holds", len(factors), None),
        ),
    )


def network() -> Trace:
    """The lectures' net."""
    loss, hidden = factor("loss", 0, -0.885), factor("activation", 2, 0.1966, 1.0)
    way = (loss, hidden, factor("activation", 3, 0.2467, 0.2311), factor("weight", 2, 1.0), factor("input", 1, 1.0))
    return replace(
        _bare(),
        kind="network",
        target=Message("trace.target.mse"),
        loss=0.1958,
        gradient=Signed.of(-0.04292),
        rounded=Signed.of(-0.04292),
        samples=5,
        stages=(
            Stage("x", "", "input", (1.0, -1.0), (-0.03127, 0.01166), ()),
            Stage("0", "Linear", "affine", (1.0, 0.0), (-0.04292, 0.05458), ()),
            Stage("1", "Sigmoid", "activation", (0.7311, 0.5), (-0.2183, 0.2183), (0.1966, 0.25)),
            Stage("2", "Linear", "affine", (0.2311,), (-0.2183,), ()),
            Stage("3", "Sigmoid", "activation", (0.5575,), (-0.885,), (0.2467,)),
        ),
        weights=tuple(
            WeightGradient(name, index, 1, value, error, before, error * before, value - 0.1 * error * before)
            for name, index, value, error, before in (
                ("0.weight", (0, 0), 2.0, -0.04292, 1.0),
                ("0.weight", (0, 1), 1.0, -0.04292, -1.0),
                ("0.weight", (1, 0), 1.0, 0.05458, 1.0),
                ("0.weight", (1, 1), 1.0, 0.05458, -1.0),
                ("2.weight", (0, 0), 1.0, -0.2183, 0.7311),
                ("2.weight", (0, 1), -1.0, -0.2183, 0.5),
            )
        ),
        paths=(ScalarPath((0, 0), way, -0.04292),),
        path_count=1,
        descent=Descent(0.1, 0.1958, 0.1911),
        checks=(
            check("gradients", -0.1596, -0.1596, count=6, tolerance=1e-9),
            check("paths", -0.04292, -0.04292),
            check("central_differences", 0.05458, 0.05458, count=6, tolerance=1e-9),
        ),
        notes=(Message("trace.note.first_sample", {"samples": 5}),),
    )


def layer(name: str, op: str, kind: str, ratio: float, **options: object) -> LayerGain:
    made = LayerGain(
        name=name,
        op=op,
        kind=kind,
        part="model",
        inside=0,
        inputs=64,
        outputs=64,
        log10_gradient=0.0,
        log10_ratio=math.log10(ratio) if ratio else -math.inf,
        method="exact",
        gain=ratio * 1.1,
        gain_error=None,
        vectors=0,
        largest=ratio * 2,
        largest_is_bound=False,
        note=None,
    )
    return replace(made, **options)


def layers(count: int = 3, blocked: bool = False) -> Trace:
    """A network with a shortcut, an estimated Jacobian and one that was not made."""
    mixed = Message("trace.note.samples_mixed")
    estimated = {"method": "estimate", "gain_error": 0.0057, "vectors": 16, "largest_is_bound": True, "note": mixed}
    unmade = Message("trace.note.no_jacobian", {"error": "RuntimeError: out of memory"})
    missing = {"method": "none", "gain": None, "largest": None, "note": unmade}
    rows = [
        layer("cross_entropy", "cross_entropy", "other", 0.167, part="loss", outputs=1, inputs=320),
        layer("9", "Linear", "affine", 0.587),
        layer("8.block/add", "add", "join", 1.64, inside=5, **estimated),
        layer("7", "Attention", "attention", 0.9, **missing),
    ]
    for index in range(count, 0, -1):
        slope = 0.0 if blocked and index == 1 else 0.246
        rows += [layer(f"{2 * index}", "Sigmoid", "activation", slope, method="diagonal")]
        rows += [layer(f"{2 * index - 1}", "Linear", "affine", 0.58)]
    level, reached = 0.0, []
    for one in rows:
        arrives = level > -math.inf
        level += one.log10_ratio if arrives else 0.0
        reached.append(replace(one, log10_gradient=level, log10_ratio=one.log10_ratio if arrives else None))
    steps = (
        PathStep("9", "Linear", "affine", "operation", -0.2),
        PathStep(None, "MaxPool2DWithIndicesBackward0", "pooling", "operation", 0.1),
    )
    end = Signed(0.0 if blocked else 10**level, 0 if blocked else 1, level)
    return replace(
        _bare(),
        kind="layers",
        target=Message("trace.target.cross_entropy"),
        loss=2.268,
        parameter="1.weight",
        index=(),
        gradient=end,
        rounded=end,
        sample=None,
        samples=32,
        layers=tuple(reached),
        way=Path("1", "9", -1.3, -1.2, steps),
        log10_input_gradient=level,
        blocked=Message("trace.blocked", {"site": "2", "op": "Sigmoid"}) if blocked else None,
        checks=(
            Comparison("walk", end, end, 0.0, 1e-10, "holds", 2048, None),
            Comparison("telescope", end, end, 0.0, 1e-10, "holds", len(rows), None),
            check("direction", 3.0e-7, 2.9e-7, "unresolved", why=Message("trace.why.kinks"), tolerance=1e-6),
        ),
        notes=(Message("trace.note.inside", {"operations": 5}),),
    )


def failing() -> Trace:
    """A chain whose product is not what autograd gives."""
    trace = chain(3)
    wrong = replace(trace.checks[0], difference=0.25, status="fails")
    values = {"site": "1", "op": "Sigmoid", "formula": 7.1e-23, "autograd": 0.0}
    rounded = replace(trace.checks[1], difference=1.0, status="rounding", why=Message("trace.why.rounding", values))
    return replace(trace, checks=(wrong, rounded))
