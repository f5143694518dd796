"""The chain rule of one gradient, worked out: its factors, and how their product compares with autograd."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from headwater.records.flow import Path
from headwater.records.message import Message
from headwater.records.site import SiteKind

TraceKind = Literal["chain", "network", "layers"]
FactorKind = Literal["loss", "activation", "weight", "input"]
ComparisonStatus = Literal["holds", "rounding", "unresolved", "fails"]
StageKind = Literal["input", "affine", "activation"]
JacobianMethod = Literal["exact", "diagonal", "estimate", "none"]
RATE = 0.1  # α of the step that is shown unless another is asked for


@dataclass(frozen=True)
class Signed:
    """A number whose size may leave every float: gradients of interest are at 1e-26 and far below.

    Attributes:
        value: The number as a float64; 0 also where it is below 5e-324.
        sign: -1, 0 or 1.
        log10: log₁₀ of its magnitude; ``-inf`` at zero.
    """

    value: float
    sign: int
    log10: float

    @staticmethod
    def of(value: float) -> "Signed":
        """A float as it is."""
        sign = 0 if value == 0 or math.isnan(value) else int(math.copysign(1, value))
        return Signed(value, sign, math.log10(abs(value)) if sign else (value if math.isnan(value) else -math.inf))

    @staticmethod
    def from_parts(mantissa: float, exponent: int) -> "Signed":
        """The number ``mantissa * 2**exponent``."""
        if mantissa == 0 or not math.isfinite(mantissa):
            return Signed.of(mantissa)
        try:
            value = math.ldexp(mantissa, exponent)
        except OverflowError:
            value = math.copysign(math.inf, mantissa)
        log10 = math.log10(abs(mantissa)) + exponent * math.log10(2.0)
        return Signed(value, 1 if mantissa > 0 else -1, log10)


@dataclass(frozen=True)
class Factor:
    """One factor of ∂p_n/∂w_1 = Π ∂a_i/∂p_{i-1} · Π w_i · x.

    Attributes:
        kind: ``activation`` is ∂a_i/∂p_{i-1}, ``weight`` is w_i, ``input`` is what the explained weight multiplies,
            ``loss`` is the derivative of what is differentiated by the network's output.
        index: The i of ∂a_i/∂p_{i-1}, of w_i or of the input a_i (a_1 is x); 0 for the loss.
        site: Name of the operation.
        op: Class name of the module, or name of the function.
        value: The factor, by its formula.
        log10: log₁₀ of its magnitude: its part of the product's; ``-inf`` at zero.
        at: Of an activation, p_{i-1}, where the derivative is taken.
        autograd: The same factor as autograd computes it, where it does.
    """

    kind: FactorKind
    index: int
    site: str
    op: str
    value: float
    log10: float
    at: float | None
    autograd: float | None


@dataclass(frozen=True)
class Comparison:
    """Two ways to one number, and how far apart they are.

    Attributes:
        id: Which comparison, such as ``product``.
        value: What the chain rule gives.
        reference: What it is held against.
        difference: How far apart they are, relative to the reference.
        tolerance: The largest difference that counts as agreement.
        status: ``holds``; ``rounding`` where autograd itself has lost the digits and it is known at which factor;
            ``unresolved`` where the reference cannot tell (differences of a loss that does not move); ``fails``.
        count: How many numbers were compared; ``value`` and ``reference`` are of the worst.
        why: What stands behind a status other than ``holds``.
    """

    id: str
    value: Signed
    reference: Signed
    difference: float
    tolerance: float
    status: ComparisonStatus
    count: int
    why: Message | None


@dataclass(frozen=True)
class Stage:
    """One row of units of a small network, forward and backward.

    Attributes:
        name: Name of the operation; ``x`` for the input.
        op: Class name of the module, or name of the function; ``""`` for the input.
        kind: ``input``, ``affine`` (the values are p) or ``activation`` (the values are a).
        values: What each unit holds.
        gradients: The error that has travelled back to each unit, ∂L/∂value.
        slopes: Of an activation, φ′ of each unit.
    """

    name: str
    op: str
    kind: StageKind
    values: tuple[float, ...]
    gradients: tuple[float, ...]
    slopes: tuple[float, ...]


@dataclass(frozen=True)
class WeightGradient:
    """The gradient that one use of a weight gets: the error after it times the activation before it.

    Attributes:
        parameter: As ``named_parameters()`` names it.
        index: Place in it.
        use: Which use of it in the forward pass, from 1; a shared parameter has several, each with a part of its
            gradient.
        value: The weight.
        error: ∂L/∂p of the unit it feeds.
        activation: What it multiplies; 1 for a bias.
        gradient: error × activation.
        updated: The weight after one step against its gradient, the sum over its uses.
    """

    parameter: str
    index: tuple[int, ...]
    use: int
    value: float
    error: float
    activation: float
    gradient: float
    updated: float


@dataclass(frozen=True)
class ScalarPath:
    """One way from a weight through single units to the output.

    Attributes:
        units: The unit it passes at each affine operation, from 0.
        factors: Its factors, in the order of the formula.
        product: Their product.
    """

    units: tuple[int, ...]
    factors: tuple[Factor, ...]
    product: float


@dataclass(frozen=True)
class Descent:
    """One step w ← w − α ∂L/∂w over all parameters.

    Attributes:
        rate: α.
        loss_before: What is differentiated, before the step.
        loss_after: The same after it.
    """

    rate: float
    loss_before: float
    loss_after: float


@dataclass(frozen=True)
class LayerGain:
    """One operation on the gradient's way, and what its Jacobian J = ∂output/∂input can do to a gradient.

    Attributes:
        name: Name of the operation.
        op: Class name of the module, or name of the function.
        kind: What sort of operation it is.
        part: ``model``, or ``loss`` for what follows the model's output.
        inside: Further operations that run beside or within it, and have no tensor of their own that the whole
            gradient passes through.
        inputs: Elements of its input, of one sample.
        outputs: Elements of its output, of one sample.
        log10_gradient: log₁₀ of ‖∂L/∂input‖ over the whole batch, as it really is.
        log10_ratio: log₁₀ of ‖∂L/∂input‖ / ‖∂L/∂output‖; these sum to the whole way's. ``-inf`` where nothing comes
            through, ``None`` where nothing arrives.
        method: How J was got: ``exact`` from every row, ``diagonal`` from its diagonal (also exact), ``estimate`` from
            random vectors, ``none``.
        gain: ‖J‖_F / √outputs: what the norm of a gradient of random direction is multiplied by.
        gain_error: Standard error of an estimated gain.
        vectors: Random vectors behind an estimate.
        largest: Largest singular value of J: no gradient's norm is multiplied by more.
        largest_is_bound: Whether ``largest`` is only known to be at least that.
        note: Why no Jacobian was made, or another remark.
    """

    name: str
    op: str
    kind: SiteKind
    part: Literal["model", "loss"]
    inside: int
    inputs: int
    outputs: int
    log10_gradient: float
    log10_ratio: float | None
    method: JacobianMethod
    gain: float | None
    gain_error: float | None
    vectors: int
    largest: float | None
    largest_is_bound: bool
    note: Message | None


@dataclass(frozen=True)
class Arrival:
    """Where an explained weight of a larger network leaves the gradient's way: error × activation × alignment.

    Attributes:
        name: Name of the operation the weight belongs to.
        op: Class name of its module.
        passed: How many of ``Derivation.layers``, from the loss, lead to that operation or beside it.
        unit: The output unit (of a convolution the channel) that the weight feeds, from 0.
        log10_error: log₁₀ of ‖∂L/∂output‖ of the operation, over all its units and the batch.
        error: ∂L/∂output of the unit; the norm of these over the batch and all places where there are several.
        activation: What the weight multiplies, 1 for a bias; the norm of these where there are several.
        alignment: Cosine between the two lists of several numbers; 1 where there is one of each.
        count: How many there are of each.
    """

    name: str
    op: str
    passed: int
    unit: int
    log10_error: float
    error: Signed
    activation: float
    alignment: float
    count: int


@dataclass(frozen=True)
class Derivation:
    """The chain rule of one gradient, worked out.

    Attributes:
        kind: ``chain`` (every layer has one unit), ``network`` (few enough units to show each), ``layers``.
        target: What is differentiated, in words.
        loss: Its value.
        parameter: Name of the parameter whose gradient is explained.
        index: Which of its elements; empty where the norm of all of them is meant.
        gradient: Its gradient, or the gradient's norm.
        rounded: The same as the model's own type gives it, or float32 if that is float64; ``None`` if it could not be
            run.
        rounded_dtype: That type.
        dtype: What was computed with.
        sample: Which sample of the batch is traced, from 0; ``None`` for all.
        samples: Samples in the batch.
        factors: Of a chain, in the order of the formula.
        stages: Of a network, from the input to the output.
        weights: Of a network, the gradient of each use of each weight.
        paths: Of a network, the ways from the explained weight to the output, largest product first.
        path_count: How many there are; no more than 64 are listed.
        descent: What one step of gradient descent does; ``None`` where no loss was given or the network is large.
        layers: Of a larger network, from the output to the input.
        way: Where operations run side by side, the way the gradient took through them, as ``hw.check`` follows it.
        log10_input_gradient: log₁₀ of the gradient's norm where ``layers`` end.
        arrival: Of one weight of a larger network, its own factors; ``None`` where the norm of all is meant, or the
            weight is not one that a linear or convolutional layer uses once.
        blocked: Where nothing comes through, as the derivative is exactly 0; ``None`` where the gradient is not 0.
        checks: Each number against another way to it.
        notes: What could not be done, and why.
    """

    kind: TraceKind
    target: Message
    loss: float
    parameter: str
    index: tuple[int, ...]
    gradient: Signed
    rounded: Signed | None
    rounded_dtype: str
    dtype: str
    sample: int | None
    samples: int
    factors: tuple[Factor, ...]
    stages: tuple[Stage, ...]
    weights: tuple[WeightGradient, ...]
    paths: tuple[ScalarPath, ...]
    path_count: int
    descent: Descent | None
    layers: tuple[LayerGain, ...]
    way: Path | None
    log10_input_gradient: float | None
    arrival: Arrival | None = field(default=None, kw_only=True)  # older files lack it
    blocked: Message | None
    checks: tuple[Comparison, ...]
    notes: tuple[Message, ...]

    @property
    def holds(self) -> bool:
        """Whether no check failed."""
        return all(check.status != "fails" for check in self.checks)

    @property
    def parameter_name(self) -> str:
        """The parameter with its index, as ``parameter=`` takes it: ``0.weight[0,1]``."""
        return indexed(self.parameter, self.index)

    def factors_of(self, kind: FactorKind) -> tuple[Factor, ...]:
        """The factors of one kind."""
        return tuple(factor for factor in self.factors if factor.kind == kind)


def indexed(name: str, index: Iterable[int]) -> str:
    """``0.weight`` and (0, 1) as ``0.weight[0,1]``."""
    inside = ",".join(map(str, index))
    return f"{name}[{inside}]" if inside else name
