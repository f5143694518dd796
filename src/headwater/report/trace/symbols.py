"""How the lectures write it: ∂p₂₀/∂w₁, ∂a₃/∂p₂, w₃, and numbers to four digits."""

import math

from headwater.i18n import number
from headwater.records import Derivation, Factor, Signed, Stage
from headwater.report.numbers import number_from_log10

_LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def lowered(index: int) -> str:
    """An index set low: ``₂₀``."""
    return str(index).translate(_LOWERED)


def precise(value: float) -> str:
    """A number to four significant digits where it needs no exponent, so that σ(0.231) reads 0.5575."""
    if value == 0 or not 1e-3 <= abs(value) < 1e6:
        return number(float(value))
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def of_signed(value: Signed) -> str:
    """A number of any size."""
    shown = number_from_log10(value.log10)
    return f"-{shown}" if value.sign < 0 else shown


def exactly(value: Signed) -> str:
    """The same to six digits, as two numbers that are held against each other need."""
    if not value.sign or not math.isfinite(value.log10):
        return of_signed(value)
    exponent = math.floor(value.log10)
    if -4 <= exponent < 6:
        return f"{value.value:.6g}"
    mantissa = f"{10 ** (value.log10 - exponent):.5f}"
    mantissa, exponent = ("1.00000", exponent + 1) if mantissa == "10.00000" else (mantissa, exponent)
    return f"{'-' if value.sign < 0 else ''}{mantissa}e{exponent}"


def factor_symbol(factor: Factor, upper: str = "L", output: str = "a") -> str:
    """A factor as the formula names it.

    Args:
        factor: The factor.
        upper: What is differentiated.
        output: What the network gives.
    """
    if factor.kind == "activation":
        return f"∂a{lowered(factor.index)}/∂p{lowered(factor.index - 1)}"
    if factor.kind == "weight":
        return f"w{lowered(factor.index)}"
    if factor.kind == "loss":
        return f"∂{upper}/∂{output}"
    return "x" if factor.index == 1 else f"a{lowered(factor.index)}"


def stage_symbols(stages: tuple[Stage, ...]) -> list[str]:
    """x, p₁, a₂, p₂, ... for the rows of units."""
    names, count = [], 0
    for stage in stages:
        if stage.kind == "affine":
            count += 1
            names.append(f"p{lowered(count)}")
        else:
            names.append("x" if stage.kind == "input" else f"a{lowered(count + 1)}")
    return names


def output_symbol(trace: Derivation) -> str:
    """What the network gives: the last p or a."""
    return stage_symbols(trace.stages)[-1] if trace.stages else "a"


def has_loss(trace: Derivation) -> bool:
    """Whether a loss follows the network's output."""
    return trace.target.id not in ("trace.target.output", "trace.target.sum")


def upper_symbol(trace: Derivation) -> str:
    """What is differentiated: a loss L, or the output itself."""
    is_output = not has_loss(trace) and trace.target.id != "trace.target.sum" and bool(trace.stages)
    return output_symbol(trace) if is_output else "L"


def explained_symbol(trace: Derivation) -> str:
    """The explained weight of a chain: w₁, or b₃."""
    count = 0
    owner = trace.parameter.rpartition(".")[0]
    for stage in trace.stages:
        if stage.kind == "affine":
            count += 1
            if stage.name == (owner or stage.op):
                break
    return f"{'b' if trace.parameter.endswith('bias') else 'w'}{lowered(count)}"


def gradient_symbol(trace: Derivation) -> str:
    """The explained gradient: ∂p₂₀/∂w₁, ∂L/∂0.weight[0,1], ‖∂L/∂0.weight‖."""
    if trace.kind == "chain":
        return f"∂{upper_symbol(trace)}/∂{explained_symbol(trace)}"
    name = f"∂{upper_symbol(trace)}/∂{trace.parameter_name}"
    return name if trace.index else f"‖{name}‖"
