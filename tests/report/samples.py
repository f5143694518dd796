"""Reports made from records by hand: what the faces are tried with, no torch needed."""

import math
import random
import tomllib
from collections.abc import Callable
from pathlib import Path

from headwater import records
from headwater.records import (
    Arm,
    Cause,
    Diagnosis,
    Evidence,
    Finding,
    Flow,
    Message,
    Moments,
    PathStep,
    Prescription,
    Proof,
    RunInfo,
    Site,
    SiteFlow,
    Waterfall,
    WaterfallBar,
)
from headwater.report import Report

# The samples' own texts, so that golden files do not depend on how diagnosis and remedies word theirs.
TEXTS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("sample_texts.toml").read_text("utf-8"))

CODE = """\
from torch import nn

for name, module in list(model.named_modules()):
    if isinstance(module, nn.Sigmoid):
        parent = model.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], nn.ReLU())
for module in model.modules():
    if isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)
"""

RUN = RunInfo(
    headwater="0.1.0",
    torch="2.13.0",
    python="3.11.7",
    created="2026-11-21T08:00:00Z",
    model="Sequential",
    parameters=128_458,
    trainable=128_458,
    device="cpu",
    seed=0,
    wall_time_s=0.84,
)


def moments(log10_rms: float, mean: float = 0.0, count: int = 4096, nan: int = 0, inf: int = 0) -> Moments:
    """Moments of numbers with this rms; ``mean`` is in units of it; -inf is all zeros."""
    if log10_rms == -math.inf:
        return Moments(count=count, zero_count=count, min=0.0, max=0.0)
    exponent = math.floor(log10_rms / math.log10(2))
    scaled = 10 ** (log10_rms - exponent * math.log10(2))
    largest = 10**log10_rms * 3 if log10_rms > -300 else 5e-324
    return Moments(
        count=count,
        nan_count=nan,
        inf_count=inf,
        exponent=exponent,
        scaled_mean=scaled * mean,
        scaled_abs_mean=scaled * 0.8,
        scaled_m2=scaled**2 * (1 - mean**2) * (count - nan - inf),
        min=-largest,
        max=largest,
        log2_histogram=((exponent - 1, count // 2), (exponent, count - count // 2)),
    )


def sigmoid_site(order: int, last: int, gradient: float) -> SiteFlow:
    """Site ``order`` of a Sequential of Linear and Sigmoid in turn."""
    linear = order % 2 == 0
    site = Site(
        name=str(order),
        op="Linear" if linear else "Sigmoid",
        kind="affine" if linear else "activation",
        order=order,
        module=str(order),
        activation=None if linear else "sigmoid",
        parameters=(f"{order}.weight", f"{order}.bias") if linear else (),
        shape=(64, 10 if order == last else 64),
    )
    wobble = 0.04 * math.sin(order)
    return SiteFlow(
        site=site,
        activation=moments(-0.42 + wobble if linear else -0.29, mean=0.2 if linear else 0.98),
        activation_grad=moments(gradient),
        input=moments(-0.29),
        derivative_rms=None if linear else 0.245,
        saturated_fraction=None if linear else 0.0004,
        dead_fraction=None if linear else 0.0,
        observations=64,
        units=64,
        abs_cosine=0.9999 if order > 4 else 0.83,
        effective_rank=1.8,
        grad_rms=10 ** max(gradient, -300) * 0.5 if linear else None,
        update_ratio=10 ** (max(gradient, -300) - 1) if linear else None,
        weight_gain=0.577 if linear else None,
    )


def sigmoid_flow(layers: int = 30, start: float = -1.6, floor: float = -math.inf) -> tuple[Flow, Waterfall]:
    """A deep sigmoid network; gradients below ``floor`` (a log₁₀) are exactly zero. With its budget."""
    count = 2 * layers + 1
    level, levels, steps, bars = start, [], [], []
    generator = random.Random(0)
    for order in reversed(range(count)):
        levels.append(level)
        if order == 0:
            break
        if order % 2:
            factors = [("activation", math.log10(0.245))]
        else:
            factors = [("weights", math.log10(0.577)), ("alignment", generator.gauss(0.01, 0.03))]
        for category, value in factors:
            bars.append(
                WaterfallBar(site=str(order), op="Sigmoid" if order % 2 else "Linear", category=category, decades=value)
            )
            level += value
        steps.append(PathStep(site=str(order), op="x", kind="other", part="operation", log10_gain=level - levels[-1]))
    levels.reverse()
    shown = [value if value >= floor else -math.inf for value in levels]
    sites = tuple(sigmoid_site(order, count - 1, value) for order, value in enumerate(shown))
    path = records.Path("0", str(count - 1), levels[0], levels[-1], tuple(steps))
    totals: dict[str, float] = {}
    for bar in bars:
        totals[bar.category] = totals.get(bar.category, 0.0) + bar.decades
    ordered = dict(sorted(totals.items(), key=lambda item: -abs(item[1])))
    waterfall = Waterfall("0", str(count - 1), levels[0], levels[-1], tuple(bars), ordered)
    return Flow(sites=sites, parameters=(), path=path, loss=2.3116, samples=64, optimizer="SGD"), waterfall


def prescription() -> Prescription:
    return Prescription(
        remedies=("activation.relu", "init.he"),
        why=Message("sample.prescription"),
        wrong_when=Message("sample.wrong_when"),
        cost=Message("sample.cost"),
        code=CODE,
    )


def vanishing(flow: Flow, waterfall: Waterfall) -> Finding:
    shares = waterfall.shares()
    layers = (len(flow.sites) - 1) // 2
    return Finding(
        symptom="vanishing",
        severity="critical",
        sites=tuple(row.site.name for row in flow.sites[: len(flow.sites) // 2]),
        evidence=(
            Evidence("activation_grad_rms", 10**waterfall.log10_first, site=waterfall.first),
            Evidence(
                "decades_per_layer", waterfall.decades / layers, -0.1, source="Schoenholz et al. 2017, arXiv:1611.01232"
            ),
            Evidence("decades", waterfall.decades),
        ),
        causes=(
            Cause("activation_derivative", shares["activation"], Message("sample.why_derivative", {"layers": layers})),
            Cause("weights_too_small", shares["weights"], Message("sample.why_weights")),
            Cause("alignment", shares["alignment"], Message("sample.why_alignment")),
        ),
        prescriptions=(
            prescription(),
            Prescription(
                ("init.xavier",), Message("sample.prescription"), Message("sample.wrong_when"), Message("sample.cost")
            ),
        ),
        message=Message(
            "sample.vanishing",
            {
                "last": waterfall.last,
                "first": waterfall.first,
                "top": 10**waterfall.log10_last,
                "bottom": 10**waterfall.log10_first,
                "decades": -waterfall.decades,
                "slope": -waterfall.decades / layers,
            },
        ),
    )


def saturation() -> Finding:
    return Finding(
        symptom="saturation",
        severity="warning",
        sites=("3", "5", "7"),
        evidence=(Evidence("saturated_fraction", 0.62, 0.5, site="5", source="Glorot and Bengio 2010"),),
        causes=(Cause("saturated_activation", None, Message("sample.why_weights")),),
        prescriptions=(prescription(),),
        message=Message("sample.saturation", {"count": 3}),
    )


def not_updating(name: str = "0") -> Finding:
    return Finding(
        symptom="not_updating",
        severity="warning",
        sites=(name,),
        evidence=(Evidence("unchanged_fraction", 0.99993, 0.9, site=name),),
        causes=(),
        prescriptions=(),
        message=Message("sample.not_updating", {"site": name, "fraction": "99.99 %"}),
    )


def proof(seeds: int = 5, steps: int = 200) -> Proof:
    generator = random.Random(1)

    def arm(name: str, remedies: tuple[str, ...], level: float, spread: float, last: float) -> Arm:
        metrics = tuple(round(level + generator.gauss(0, spread), 4) for _ in range(seeds))
        losses = tuple(
            tuple(
                round(last + (2.31 - last) * math.exp(-step / 40) + abs(generator.gauss(0, 0.02)), 5)
                for step in range(steps)
            )
            for _ in range(seeds)
        )
        return Arm(name, (remedies,) * seeds, metrics, losses, ("",) * seeds)

    arms = (
        arm("original", (), 0.102, 0.006, 2.302),
        arm("treated", ("activation.relu", "init.he"), 0.931, 0.011, 0.11),
        arm("placebo", (), 0.101, 0.007, 2.303),
        arm("random_remedy", ("init.xavier",), 0.187, 0.05, 2.1),
    )
    before, after, placebo, other = (sum(a.metrics) / seeds for a in arms)
    return Proof(
        remedies=("activation.relu", "init.he"),
        verdict="proven",
        effect=after - before,
        interval=(after - before - 0.019, after - before + 0.019),
        placebo_interval=(after - placebo - 0.021, after - placebo + 0.021),
        metric_before=before,
        metric_after=after,
        placebo=placebo,
        random_remedy=other,
        metric=Message("sample.accuracy"),
        seeds=tuple(range(seeds)),
        steps=steps,
        arms=arms,
        wall_time_s=31.4,
    )


def report(layers: int = 30, with_proof: bool = True) -> Report:
    """The main case: a deep sigmoid network with its finding and, if asked for, its proof."""
    flow, waterfall = sigmoid_flow(layers)
    diagnosis = Diagnosis(
        verdict="findings",
        findings=(vanishing(flow, waterfall), saturation(), not_updating()),
        waterfall=waterfall,
        checked=("vanishing", "exploding", "underflow", "overflow", "nonfinite", "dead_units", "saturation"),
        unchecked=(Message("sample.gap"),),
    )
    return Report(RUN, diagnosis, flow, proof() if with_proof else None)


def healthy(sites: int = 61) -> Report:
    """Nothing found; ``sites`` sites, none at all for 0."""
    flow, _ = sigmoid_flow(max((sites - 1) // 2, 0))
    flow = Flow(flow.sites[:sites], (), None, 0.31, samples=64)
    checked = ("vanishing", "exploding", "underflow", "overflow", "nonfinite", "dead_units", "saturation")
    return Report(RUN, Diagnosis("healthy", (), None, checked, (Message("sample.gap"),)), flow)


def cannot_tell() -> Report:
    return Report(RUN, Diagnosis("cannot_tell", (), None, (), (Message("sample.gap"),)), Flow((), (), None, math.nan))


def broken() -> Report:
    """NaN, Inf, exact zeros and missing gradients in one flow."""
    flow, waterfall = sigmoid_flow(30, floor=-18.0)
    sites = list(flow.sites)
    for order in (20, 21, 22, 40):
        row = sites[order]
        sites[order] = SiteFlow(
            site=row.site, activation=moments(3.0, nan=4, inf=2), activation_grad=moments(1.0, nan=7)
        )
    sites[50] = SiteFlow(site=sites[50].site, activation=sites[50].activation)
    sites[51] = SiteFlow(
        site=sites[51].site, activation=Moments(count=8, nan_count=8), activation_grad=Moments(count=8, nan_count=8)
    )
    finding = Finding(
        "nonfinite",
        "critical",
        ("51",),
        (Evidence("nan_count", 8, site="51"), Evidence("abs_max", math.inf), Evidence("norm_ratio", math.nan)),
        (Cause("numeric_overflow", None, Message("unknown.message", {"x": math.inf})),),
        (),
        Message("sample.not_updating", {"site": "51", "fraction": "99 %"}),
    )
    diagnosis = Diagnosis("findings", (finding, vanishing(flow, waterfall)), waterfall, ("nonfinite",))
    return Report(RUN, diagnosis, Flow(tuple(sites), (), None, math.nan, samples=64))


CASES: dict[str, Callable[[], Report]] = {
    "main": report,
    "broken": broken,
    "healthy": healthy,
    "cannot_tell": cannot_tell,
    "no_site": lambda: healthy(0),
}
"""What every face of the report is tried on."""
