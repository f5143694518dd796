"""The tables of docs/theory.md, made from the code and compared with what the page has."""

import inspect
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import headwater.theory as theory
from headwater.records import InputError
from headwater.theory import (
    ACTIVATIONS,
    batch_norm_gradient_factor,
    chi_1,
    depth_scales,
    edge_of_chaos,
    gain_backward,
    gain_forward,
    gain_sd,
    gradient_trajectory,
    initial_sigma_w2,
    layer_norm_gradient_factor,
    leaky_correlation_map,
    length_trajectory,
    mean,
    range_depths,
    second_moment,
    slope_second_moment,
    stable_q,
    tailored_activation,
    tailored_leaky,
    trainable_depth,
    variance,
)
from tests.helpers import ROOT, with_generated

PAGE = ROOT / "docs" / "theory.md"


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    cells = [cell.strip() for cell in head.split("|")]
    lines = [cells, ["---"] * len(cells), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("| --- |", "|---|").replace(" --- |", "---|") for line in lines)


def fixed(number: float, digits: int = 4) -> str:
    # Adding 0 takes the sign off a number that rounds to -0.
    return f"{round(number, digits) + 0:.{digits}f}"


def short(number: float) -> str:
    """Three significant digits; powers of ten written out."""
    if number in (math.inf, -math.inf):
        return "∞"
    if number != 0 and not 1e-3 <= abs(number) < 1e4:
        mantissa, exponent = f"{number:.1e}".split("e")
        return f"{mantissa}·10^{int(exponent)}"
    return f"{number:.3g}" if abs(number) < 1e3 else f"{number:.0f}"


def moments() -> str:
    def row(id_: str) -> list[str]:
        numbers = (
            mean(id_),
            second_moment(id_),
            variance(id_),
            slope_second_moment(id_),
            gain_forward(id_),
            gain_backward(id_),
            gain_sd(id_),
            (gain_forward(id_) / gain_backward(id_)) ** 2,
        )
        return [f"`{id_}`", *map(fixed, numbers)]

    head = (
        "activation | E[φ] | E[φ²] | Var[φ] | E[φ′²] | forward gain | backward gain | sd gain | χ₁ at the forward gain"
    )
    return table(head, map(row, ACTIVATIONS))


def edges() -> str:
    def interval(low: float, high: float) -> str:
        assert high == math.inf
        return f"q* > {low:.3g}" if low else "every q*"

    def row(id_: str) -> list[str]:
        small, unit = edge_of_chaos(id_, sigma_b2=0.0), edge_of_chaos(id_, q_star=1.0)
        where = " and ".join(interval(*ends) for ends in stable_q(id_)) or "none"
        return [
            f"`{id_}`",
            where,
            *([small.stability, fixed(math.sqrt(small.sigma_w2))] if small.stability != "none" else ["none", "-"]),
            *(
                [unit.stability, fixed(math.sqrt(unit.sigma_w2)), fixed(unit.sigma_b2, 5), fixed(unit.slope, 3)]
                if unit.stability != "none"
                else ["none", "-", "-", "-"]
            ),
        ]

    head = "activation | stable for | σ_b = 0 | σ_w | q* = 1 | σ_w | σ_b² | V′(q*)"
    return table(head, map(row, ACTIVATIONS))


INITIALISATIONS = [
    ("ReLU, torch's default", "relu", initial_sigma_w2("torch_default", 1, 1)),
    ("ReLU, LeCun or Xavier", "relu", 1.0),
    ("ReLU, He", "relu", 2.0),
    ("tanh, torch's default", "tanh", initial_sigma_w2("torch_default", 1, 1)),
    ("tanh, Xavier", "tanh", 1.0),
    ("tanh, torch's gain 5/3", "tanh", 25 / 9),
    ("sigmoid, Xavier", "sigmoid", 1.0),
    ("sigmoid, σ_w = 4", "sigmoid", 16.0),
    ("SELU, LeCun", "selu", 1.0),
    ("SELU, torch's gain 3/4", "selu", 0.5625),
    ("GELU, He", "gelu", 2.0),
    ("SiLU, He", "silu", 2.0),
    ("Mish, He", "mish", 2.0),
    ("ELU, He", "elu", 2.0),
    ("ELU, forward gain", "elu", gain_forward("elu") ** 2),
]


def initialisations() -> str:
    def row(name: str, phi: str, sigma_w2: float) -> list[str]:
        ratios = gradient_trajectory(phi, 50, sigma_w2)
        deep = chi_1(phi, max(length_trajectory(phi, 1000, sigma_w2)[-1], 1e-300), sigma_w2)
        return [name, fixed(sigma_w2), fixed(deep), fixed(math.sqrt(deep)), short(ratios[10]), short(ratios[50])]

    head = "activation, initialisation | σ_w² | χ₁ at layer 1,000 | √χ₁ | gradient over 10 layers | over 50 layers"
    return table(head, (row(*case) for case in INITIALISATIONS))


def ranges() -> str:
    cases = [
        ("ReLU, torch's default", math.sqrt(1 / 6)),
        ("tanh, torch's default", math.sqrt(1 / 3)),
        ("sigmoid, Xavier", math.sqrt(depth_scales("sigmoid", 1.0).chi_1)),
        ("tanh, torch's gain 5/3", math.sqrt(depth_scales("tanh", 25 / 9).chi_1)),
        ("batch normalisation, ReLU", batch_norm_gradient_factor("relu")),
    ]
    ends = ("adam_eps", "float16_zero", "bfloat16_zero", "float32_normal", "float32_zero", "float32_overflow")

    def row(name: str, factor: float) -> list[str]:
        depths = range_depths(factor)
        return [name, fixed(factor), *("-" if math.isinf(depths[end]) else str(depths[end]) for end in ends)]

    head = "network | factor | Adam's eps | 0 in float16 | 0 in bfloat16 | subnormal | 0 in float32 | overflows"
    return table(head, (row(*case) for case in cases))


def depths() -> str:
    def row(sigma_w2: float) -> list[str]:
        scales = depth_scales("tanh", sigma_w2, 0.05)
        numbers = (scales.xi_q, scales.xi_c, scales.xi_grad, trainable_depth("tanh", sigma_w2, 0.05))
        return [f"{sigma_w2:g}", fixed(scales.q_star), fixed(scales.chi_1), fixed(scales.c_star), *map(short, numbers)]

    rows = map(row, (0.5, 1.0, 1.3, 1.5, 1.76, 2.0, 2.5, 4.0))
    return table("σ_w² | q* | χ₁ | c* | ξ_q | ξ_c | ξ_grad | 6 ξ_c", rows)


def likenesses() -> str:
    layers = (1, 2, 5, 10, 20, 50, 100, 1000)

    def leaky(slope: float) -> list[str]:
        c, passed = 0.0, [0.0]
        for _ in range(1000):
            c = leaky_correlation_map(c, slope)
            passed.append(c)
        return [f"leaky ReLU, slope {slope:g}" if slope else "ReLU", *(fixed(passed[layer], 5) for layer in layers)]

    head = "activation | " + " | ".join(f"c_{layer}" for layer in layers)
    return table(head, map(leaky, (0.0, 0.2, 0.5, 0.8, 0.95)))


def normalisations() -> str:
    def row(id_: str) -> list[str]:
        return [f"`{id_}`", fixed(batch_norm_gradient_factor(id_)), fixed(layer_norm_gradient_factor(id_))]

    return table("activation | batch normalisation | layer or RMS normalisation", map(row, ACTIVATIONS))


def slopes() -> str:
    def row(depth: int) -> list[str]:
        tailored = tailored_leaky(depth)
        return [f"{depth:,}", fixed(tailored.negative_slope, 5), fixed(tailored.gain, 5)]

    return table("L | slope | gain", map(row, (20, 50, 100, 200, 500, 1000, 10_000)))


def shapes() -> str:
    def row(id_: str, depth: int) -> list[str]:
        try:
            tailored = tailored_activation(id_, depth)
        except InputError:
            return [f"`{id_}`", f"{depth:,}", "none", "-", "-", "-"]
        numbers = (tailored.alpha, tailored.beta, tailored.delta)
        return [f"`{id_}`", f"{depth:,}", *(fixed(number, 6) for number in numbers), fixed(tailored.gamma, 4)]

    ids = [a.id for a in ACTIVATIONS.values() if a.family in ("s_shaped", "smooth_rectifier")]
    return table("activation | L | α | β | δ | γ", (row(id_, depth) for id_ in ids for depth in (100, 1000)))


PARTS = {
    "moments": moments,
    "edges": edges,
    "initialisations": initialisations,
    "ranges": ranges,
    "depths": depths,
    "likenesses": likenesses,
    "normalisations": normalisations,
    "slopes": slopes,
    "shapes": shapes,
}


@pytest.mark.parametrize("part", PARTS)
def test_page_says_what_the_code_does(part: str, golden: Callable[[Path, str], None]) -> None:
    golden(PAGE, with_generated(PAGE, f"headwater.theory, {part}", PARTS[part]()))


def test_page_has_no_part_that_nobody_generates() -> None:
    assert PAGE.read_text(encoding="utf-8").count("<!-- generated from ") == len(PARTS)


def functions() -> list[str]:
    return [name for name, value in vars(theory).items() if inspect.isfunction(inspect.unwrap(value))]


@pytest.mark.parametrize("name", functions())
def test_public_function_says_what_it_is_and_what_it_refuses(name: str) -> None:
    doc = getattr(theory, name).__doc__
    assert doc
    takes = [argument for argument in getattr(theory, name).__annotations__ if argument not in ("return", "parameters")]
    if "Args:" in doc:
        assert [argument for argument in takes if f"    {argument}: " not in doc] == []


def test_code_on_the_page_does_what_it_says() -> None:
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(code, names)
    told = re.findall(r"^(?:\w+ = )?(.*\S)\s+# ([\d.]+),? ", code, re.MULTILINE)
    assert len(told) == 3
    for expression, number in told:
        assert fixed(eval(expression, names)) == number


def test_page_names_every_public_function() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in functions() if f"`{name}`" not in page] == []
