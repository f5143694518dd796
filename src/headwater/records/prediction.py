"""What theory expects of a network before it has seen any data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from headwater.records.codec import decode
from headwater.records.flow import Flow, SiteFlow
from headwater.records.message import Message
from headwater.records.site import Site

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Measured:
    """What was found where something had been predicted.

    Attributes:
        activation_rms: Rms of the outputs.
        activation_grad_rms: Rms of the gradient, in such units that at the last site of which both are known it is as
            expected.
        abs_cosine: Mean |cos| between samples.
    """

    activation_rms: float | None
    activation_grad_rms: float | None
    abs_cosine: float | None


@dataclass(frozen=True)
class SitePrediction:
    """What is expected at one site; ``None`` where nothing can be said.

    Attributes:
        site: Which operation.
        activation_rms: Rms of its outputs, in their units.
        activation_grad_rms: Rms of the gradient that arrives at them, relative to a gradient of rms 1 at the output.
        activation_grad_log10_rms: log₁₀ of it, which is a number still where float64 knows only 0.
        activation_band: Between which 95 of 100 networks lie whose weights are drawn from the same distribution; wider
            by the uncertainty on either side.
        activation_grad_band: The same for the gradient.
        abs_cosine: Mean |cos| between the outputs for two inputs.
        gap: Why nothing can be said.
        measured: What a measurement found there, if one stands beside.
        activation_uncertainty: By how many decades the expected rms may itself be off in an unstable network; ``None``
            where no more than usual (0.05 in plain networks of at least 200 units per layer).
        activation_grad_uncertainty: The same for the gradient.
    """

    site: Site
    activation_rms: float | None = None
    activation_grad_rms: float | None = None
    activation_grad_log10_rms: float | None = None
    activation_band: tuple[float, float] | None = None
    activation_grad_band: tuple[float, float] | None = None
    abs_cosine: float | None = None
    gap: Message | None = None
    measured: "Measured | None" = None
    activation_uncertainty: float | None = None
    activation_grad_uncertainty: float | None = None


@dataclass(frozen=True)
class Limit:
    """Where a way of computing gives out, met first on the way of the gradient from the output to the input.

    Attributes:
        id: ``float32``, ``bfloat16``, ``float16`` or ``adam_eps``.
        site: Name of the site.
        quantity: ``activation`` or ``activation_grad``.
        rms: Expected there.
        bound: The smallest normal number, the largest, or Adam's ε.
    """

    id: str
    site: str
    quantity: str
    rms: float
    bound: float


@dataclass(frozen=True)
class Prediction:
    """What to expect of a network, from its weights as they are and the activations that follow them.

    Attributes:
        model: Class of the model.
        input_shape: Shape of one sample.
        sites: In execution order.
        depth: Affine layers on the way.
        trainable_depth: Layers through which two inputs can still be told apart, 6 ξ_c; ``None`` where there is no one
            kind of layer to tell it from, infinity at the edge of chaos.
        trainable_why: What the trainable depth was told from, or why there is none.
        limits: Where number formats and Adam's ε give out.
        gaps: What could not be predicted, and why.
        doubts: Why numbers may be further off than usual, and by how much at most.
        unit: Name of the site at which the gradient has rms 1, where that is not the output: the last that is known, or
            one of several outputs.
    """

    SCHEMA: ClassVar[str] = "headwater/prediction/1"

    model: str
    input_shape: tuple[int, ...]
    sites: tuple[SitePrediction, ...]
    depth: int
    trainable_depth: float | None
    trainable_why: Message
    limits: tuple[Limit, ...] = ()
    gaps: tuple[Message, ...] = ()
    doubts: tuple[Message, ...] = ()
    unit: str | None = None

    @property
    def is_measured(self) -> bool:
        """Whether a measurement stands beside it."""
        return any(row.measured is not None for row in self.sites)

    def beside(self, flow: Flow) -> Self:
        """The same with what a measurement of the same model found.

        Args:
            flow: From ``hw.check`` of the model as it was predicted.
        """
        found = {row.site.name: row for row in flow.sites}
        unit = next((unit for row in reversed(self.sites) if (unit := _unit(row, found.get(row.site.name)))), None)
        return replace(self, sites=tuple(_beside(row, found.get(row.site.name), unit) for row in self.sites))

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

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The prediction that ``data``, its JSON form, stands for."""
        return decode(cls, data)


def _unit(row: SitePrediction, found: SiteFlow | None) -> float | None:
    """What a measured gradient is to be divided by, so that here it is as expected."""
    measured = found.activation_grad.rms if found is not None and found.activation_grad is not None else None
    return measured / row.activation_grad_rms if measured and row.activation_grad_rms else None


def _beside(row: SitePrediction, found: SiteFlow | None, unit: float | None) -> SitePrediction:
    if found is None:
        return row
    gradient = found.activation_grad.rms if found.activation_grad is not None else None
    relative = gradient / unit if gradient is not None and unit else None
    return replace(row, measured=Measured(found.activation.rms, relative, found.abs_cosine))


def _measured(row: SitePrediction, what: str) -> float | None:
    value: float | None = getattr(row.measured, what, None)
    return value


def _low(band: tuple[float, float] | None) -> float | None:
    return band[0] if band else None


def _high(band: tuple[float, float] | None) -> float | None:
    return band[1] if band else None


COLUMNS: dict[str, Callable[[SitePrediction], Any]] = {
    "site": lambda row: row.site.name,
    "op": lambda row: row.site.op,
    "order": lambda row: row.site.order,
    "activation_rms": lambda row: row.activation_rms,
    "activation_rms_low": lambda row: _low(row.activation_band),
    "activation_rms_high": lambda row: _high(row.activation_band),
    "activation_uncertainty": lambda row: row.activation_uncertainty,
    "activation_grad_rms": lambda row: row.activation_grad_rms,
    "activation_grad_rms_low": lambda row: _low(row.activation_grad_band),
    "activation_grad_rms_high": lambda row: _high(row.activation_grad_band),
    "activation_grad_log10_rms": lambda row: row.activation_grad_log10_rms,
    "activation_grad_uncertainty": lambda row: row.activation_grad_uncertainty,
    "abs_cosine": lambda row: row.abs_cosine,
    "measured_activation_rms": lambda row: _measured(row, "activation_rms"),
    "measured_activation_grad_rms": lambda row: _measured(row, "activation_grad_rms"),
    "measured_abs_cosine": lambda row: _measured(row, "abs_cosine"),
}
