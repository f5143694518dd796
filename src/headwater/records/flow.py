"""What one measured step showed: signals forward, gradients back, parameters and their updates."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from headwater.records.codec import decode, encode
from headwater.records.message import Message
from headwater.records.moments import Moments
from headwater.records.setup import Setup
from headwater.records.site import Site, SiteKind
from headwater.records.training import Training

if TYPE_CHECKING:
    import pandas

MAX_DECADES = 308  # of a float64

PathPart = Literal["operation", "join"]


@dataclass(frozen=True)
class TimeGradient:
    """The gradient through time in one direction of one recurrent layer.

    Attributes:
        layer: Which of the stacked layers, from 0.
        reverse: Whether it reads the sequence from its end.
        rms: Rms of ∂loss/∂h_t by t, in the order of the input; ``None`` where no gradient arrives.
    """

    layer: int
    reverse: bool
    rms: tuple[float | None, ...]


@dataclass(frozen=True)
class SiteFlow:
    """What was measured at one site.

    Attributes:
        site: Where.
        activation: Moments of the output.
        activation_grad: Moments of ∂loss/∂output; ``None`` if no gradient arrived, which is not the same as zero.
        input: Moments of the input, ``None`` if it is no floating-point tensor.
        input_grad: Moments of ∂loss/∂input, over all that consume it; ``None`` if the input needs no gradient.
        derivative_rms: √E[φ′(input)²] of an activation.
        dead_fraction: Share of units whose φ′ is zero for every sample seen; of an unknown activation, whose output is.
        saturated_fraction: Share of elements with |φ′| below 5 % of its maximum.
        observations: Samples (and positions) behind each unit's verdict of being dead.
        units: Number of units.
        abs_cosine: Mean |cos| over pairs of samples, at most 64 samples; 1 means that the inputs have merged.
        effective_rank: exp of the entropy of the centred spectrum's energy shares.
        grad_rms: Rms of the gradient over the parameters the site owns.
        update_ratio: ‖Δw‖/‖w‖ over the parameters the site owns, as the optimizer really moved them.
        weight_gain: Rms factor that weights of this scale apply on average to a gradient not aligned with them.
        unit_spread: Standard deviation over units of each unit's mean output.
        passes: How often this call ran in the step: once per micro-batch.
        window: Measured steps that ``dead_fraction`` looks back over, this one included.
        shortcut_share: At a residual join, the share of the gradient's energy that came back along the shortcut.
        attention_logit_max: Largest finite logit of an attention.
        attention_entropy: Mean entropy of an attention's rows, in nats.
        time_gradients: Of a recurrent layer, the gradient at each time step.
    """

    site: Site
    activation: Moments
    activation_grad: Moments | None = None
    input: Moments | None = None
    input_grad: Moments | None = None
    derivative_rms: float | None = None
    dead_fraction: float | None = None
    saturated_fraction: float | None = None
    observations: int = 0
    units: int = 0
    abs_cosine: float | None = None
    effective_rank: float | None = None
    grad_rms: float | None = None
    update_ratio: float | None = None
    weight_gain: float | None = None
    unit_spread: float | None = None
    passes: int = 1
    window: int = 1
    shortcut_share: float | None = None
    attention_logit_max: float | None = None
    attention_entropy: float | None = None
    time_gradients: tuple[TimeGradient, ...] = ()

    @property
    def forward_gain(self) -> float | None:
        """Rms of the output over rms of the input."""
        return _gain(self.activation, self.input)

    @property
    def backward_gain(self) -> float | None:
        """Rms of the gradient at the input over rms of the gradient at the output."""
        return _gain(self.input_grad, self.activation_grad)


@dataclass(frozen=True)
class ParameterFlow:
    """What was measured of one parameter.

    Attributes:
        name: As ``named_parameters()`` names it.
        aliases: Further names of the same tensor (tied weights).
        shape: Its shape.
        dtype: Its element type.
        trainable: Whether it asks for a gradient.
        value: Moments of the weights before the step.
        grad: Moments of the gradient; ``None`` if none arrived, which is not the same as zero.
        sign_coherence: Mean over units of |Σ sign| / n of the unit's weight gradient: 1 is all of one sign.
        in_optimizer: Whether the optimizer holds it; ``None`` without an optimizer.
        update_ratio: ‖Δw‖/‖w‖ of one optimizer step; ``None`` without a step, or where ‖w‖ is 0.
        unchanged_fraction: Share of weights that are bit-identical after the step.
        spoiled: Weights that were finite before the step and are NaN or Inf after it.
        sampled: Of how many weights ``update_ratio``, ``unchanged_fraction``, ``spoiled`` and ``gradient_cosine``
            speak, if not of all.
        gradient_cosine: Cosine with the gradient of the measured step before; below -0.5 descent zig-zags.
        below_epsilon_fraction: Share of the non-zero gradient entries below the ε of an optimizer of Adam's family.
        lost_to_rounding_fraction: Share of the intended non-zero updates that are below half an ulp of their weight.
        replaced: Whether the parameter is another object than at the measured step before.
        strongest_direction: Of a frozen matrix, its largest singular value over what independent numbers of its rms
            give: about 1 as it was drawn, more once it was trained.
        local_grad: Moments of the gradient of this process's own batches, before those of others were added; ``None``
            without others.
        piece: Which piece of it this process holds, ``None`` for all of it: ``value`` and ``grad`` are of the piece.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    value: Moments
    grad: Moments | None = None
    sign_coherence: float | None = None
    in_optimizer: bool | None = None
    update_ratio: float | None = None
    unchanged_fraction: float | None = None
    spoiled: int = 0
    sampled: int | None = None
    gradient_cosine: float | None = None
    below_epsilon_fraction: float | None = None
    lost_to_rounding_fraction: float | None = None
    replaced: bool = False
    strongest_direction: float | None = None
    local_grad: Moments | None = None
    piece: str | None = None

    @property
    def grad_rms(self) -> float | None:
        return self.grad.rms if self.grad else None

    @property
    def grad_norm(self) -> float | None:
        """Euclidean norm of the gradient, ℓ₂."""
        return self.grad.norm if self.grad else None


@dataclass(frozen=True)
class PathStep:
    """One factor of the chain rule on the gradient's way back, nearest the first layer first.

    An ``operation`` step is what one operation does to the gradient's rms; a ``join`` step is what other branches
    (a shortcut) add where they meet this one. The logarithms of all steps sum to that of the whole path.

    Attributes:
        site: Name of the site the operation belongs to; ``None`` for an operation between sites.
        op: Class name of the module, name of the function, or of the autograd node.
        kind: What sort of operation it is.
        part: ``operation`` or ``join``.
        log10_gain: log₁₀ of rms after over rms before, in the direction of the gradient.
        weight_gain: For an affine map, the rms factor its weights' scale alone stands for.
        log10_count_gain: log₁₀ of the gradient's number of elements after over before; 0 where the size stays.
    """

    site: str | None
    op: str
    kind: SiteKind
    part: PathPart
    log10_gain: float
    weight_gain: float | None = None
    log10_count_gain: float = 0.0

    @property
    def log10_norm_gain(self) -> float:
        """log₁₀ of the gradient's Euclidean norm after over before."""
        return self.log10_gain + self.log10_count_gain / 2


@dataclass(frozen=True)
class Path:
    """The way the first layer's gradient came: from the last site back to the first, along the branch with most energy.

    Attributes:
        first: Site nearest the input whose gradient is neither missing, zero nor non-finite.
        last: Site nearest the loss.
        log10_first: log₁₀ of the gradient's rms at the output of ``first``.
        log10_last: The same at ``last``.
        steps: Factors from ``last`` to ``first``; their ``log10_gain`` sum to ``log10_first - log10_last``.
    """

    first: str
    last: str
    log10_first: float
    log10_last: float
    steps: tuple[PathStep, ...]

    @property
    def decades(self) -> float:
        """Decades of gradient between the last site and the first; negative is lost, positive gained."""
        return self.log10_first - self.log10_last


@dataclass(frozen=True)
class Flow:
    """Everything one measured step showed.

    Attributes:
        sites: In execution order.
        parameters: As the model names them.
        path: The gradient's way back, ``None`` where no gradient reached a site.
        loss: The loss's value, ``None`` if it was not told.
        samples: Size of the batch's first dimension.
        optimizer: Class name of the optimizer that made the step, ``None`` without one.
        step: Optimizer steps taken before this measurement.
        followed_share: Share of the weights with a gradient whose site the gradient was measured at.
        gaps: What could not be measured, and why.
        setup: Input, loss and optimizer around the network, as far as they were seen.
        training: The steps before this one, ``None`` where none was taken or watched.
    """

    SCHEMA: ClassVar[str] = "headwater/flow/1"

    sites: tuple[SiteFlow, ...]
    parameters: tuple[ParameterFlow, ...]
    path: Path | None
    loss: float | None
    samples: int = 0
    optimizer: str | None = None
    step: int = 0
    followed_share: float = 1.0
    gaps: tuple[Message, ...] = field(default=())
    setup: Setup = field(default=Setup())
    training: Training | None = None

    def site(self, name: str) -> SiteFlow:
        """The row of the site called ``name``.

        Raises:
            KeyError: If there is none; the message lists the nearest names.
        """
        rows = self._rows_by_name
        if name not in rows:
            near = difflib.get_close_matches(name, rows, n=5, cutoff=0.3) or list(rows)[:5]
            raise KeyError(f"no site {name!r} among {len(rows)}; the nearest names are {', '.join(near) or 'none'}.")
        return rows[name]

    @cached_property
    def _rows_by_name(self) -> dict[str, SiteFlow]:
        """Found once: an attribution asks for a row per operation, of which a deep network has thousands."""
        return {row.site.name: row for row in self.sites}

    def rows(self) -> list[dict[str, Any]]:
        """One flat dictionary per site, in execution order; the keys are the columns of :meth:`to_pandas`."""
        return [{name: read(row) for name, read in COLUMNS.items()} for row in self.sites]

    def to_pandas(self) -> "pandas.DataFrame":
        """The per-site table as a pandas data frame.

        Raises:
            ImportError: Without pandas; the message says how to install it.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError('to_pandas() needs pandas: pip install "headwater[pandas]"') from error
        return pandas.DataFrame(self.rows(), columns=list(COLUMNS))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; :meth:`from_dict` reads it back."""
        data: dict[str, Any] = encode(self)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Flow":
        return decode(cls, data)


def _gain(after: Moments | None, before: Moments | None) -> float | None:
    return None if after is None or before is None else after.rms_over(before)


COLUMNS: dict[str, Callable[[SiteFlow], Any]] = {
    "site": lambda row: row.site.name,
    "op": lambda row: row.site.op,
    "order": lambda row: row.site.order,
    "activation_rms": lambda row: row.activation.rms,
    "activation_grad_rms": lambda row: row.activation_grad.rms if row.activation_grad else None,
    "forward_gain": lambda row: row.forward_gain,
    "backward_gain": lambda row: row.backward_gain,
    "derivative_rms": lambda row: row.derivative_rms,
    "zero_fraction": lambda row: row.activation.zero_fraction,
    "dead_fraction": lambda row: row.dead_fraction,
    "saturated_fraction": lambda row: row.saturated_fraction,
    "abs_cosine": lambda row: row.abs_cosine,
    "effective_rank": lambda row: row.effective_rank,
    "grad_rms": lambda row: row.grad_rms,
    "update_ratio": lambda row: row.update_ratio,
}
