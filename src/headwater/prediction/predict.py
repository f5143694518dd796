"""What to expect of a network before any data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headwater.prediction import mixture, uncertainty
from headwater.prediction.engine import Engine, Visited
from headwater.prediction.program import Operation, traced
from headwater.prediction.signal import Signal, Unknown
from headwater.prediction.uncertainty import Uncertainty
from headwater.probes import classify
from headwater.probes.names import unwrapped
from headwater.records import InputError, Message
from headwater.records.message import Value
from headwater.records.prediction import Limit, Prediction, SitePrediction
from headwater.theory import ACTIVATIONS, depth_scales, fans, nonlinearity
from headwater.theory.depth import ADAM_EPS, FLOAT_RANGES, TRAINABLE

_QUANTILE = 1.96  # of a normal variable, for 95 of 100
_LARGEST_LOG = 700.0  # e to the power of more leaves float64
_DEVIATIONS = 3.0  # standard errors of ln σ_w², within which a draw of the weights cannot tell χ₁ from 1

Shape = Sequence[int]


def predict(model: nn.Module, input_shape: Shape | Sequence[Shape], *, inputs: Tensor | None = None) -> Prediction:
    """What to expect of a network before any data: the scale of activations and gradients at every site.

    The weights are taken as they are and the activations that follow them as they stand in ``forward``, which is
    followed by ``torch.fx``. Inputs are independent normal numbers of variance 1, or have the mean and variance of
    ``inputs``, element by element. Means go through the network exactly; deviations of different units are taken to be
    uncorrelated, and gradients to be independent of the slopes they meet (mean-field theory). A deep chain of narrow
    dense layers is followed for eight parts of its inputs' distribution, each by itself. Where long inputs stand out
    more and more from layer to layer, the expected numbers say by how many decades they may be off.

    Args:
        model: A network of linear and convolutional layers, activations, normalisation, pooling, dropout, shortcuts
            and changes of shape. Behind anything else nothing is predicted, and ``gaps`` says why.
        input_shape: Shape of one sample, without the batch: ``(784,)``, ``(3, 32, 32)``; several for several inputs.
        inputs: Samples to take mean and variance from, batch first.

    Raises:
        InputError: If the forward cannot be followed, or refuses such an input.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 10))
        >>> predict(model, (64,)).sites[0].activation_grad_rms < 0.1
        True

    Source:
        Schoenholz et al. 2017, arXiv:1611.01232, for the variances; Hanin and Rolnick 2018, arXiv:1803.01719, for how
        much networks of finite width differ.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"predict() takes a torch.nn.Module, got {type(model).__name__}.")
    model = unwrapped(model)
    _require_values(model)
    shapes = _shapes(input_shape)
    operations, opaque = traced(model, len(shapes))
    signals = _inputs(shapes, inputs)
    engine = _followed(Engine(model, dict(opaque)), operations, signals)
    found = engine.visited
    if mixture.is_needed(found, signals):
        parts = mixture.parts_of(signals[0])
        found = mixture.together(found, parts, lambda part: _followed(Engine(model, {}), operations, [part]))
    by = uncertainty.stretch(engine.visited)
    doubtful = [Uncertainty()] * len(found)
    if by > 0:
        stretched = [uncertainty.longer(signal, by) for signal in signals]
        of_longer = _followed(Engine(model, dict(opaque)), operations, stretched).visited
        doubtful = uncertainty.uncertainties(engine.visited, of_longer, by)
    rows = tuple(_row(visited, own) for visited, own in zip(found, doubtful, strict=True))
    depth = sum(row.site.kind == "affine" for row in rows)
    trainable, why = _trainable(model, rows)
    return Prediction(
        model=type(model).__name__,
        input_shape=shapes[0],
        sites=rows,
        depth=depth,
        trainable_depth=trainable,
        trainable_why=why,
        limits=tuple(_limits(found)),
        gaps=tuple(engine.gaps),
        unit=_unit(engine),
        doubts=(*_nonfinite(model), *_doubts(rows)),
    )


def _require_values(model: nn.Module) -> None:
    """Refuse a model whose weights or forward cannot be read.

    Raises:
        InputError: With what to pass instead.
    """
    name = type(model).__name__
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError(
            f"{name} is compiled by torch.jit, whose operations cannot be followed: predict the nn.Module that it was "
            "made from."
        )
    for parameter, value in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(value):
            raise InputError(
                f"{parameter!r} of {name} has no shape yet: run the model once, model(batch), before "
                "predict(model, shape)."
            )
        if value.is_meta:
            raise InputError(
                f"{parameter!r} of {name} is on the meta device and has no values to predict from: "
                'model.to_empty(device="cpu"), initialise it, then predict.'
            )


def _nonfinite(model: nn.Module) -> list[Message]:
    """Weights that are no numbers."""
    counts = {name: int((~torch.isfinite(value)).sum()) for name, value in model.named_parameters()}
    found = {name: count for name, count in counts.items() if count}
    if not found:
        return []
    return [Message("predict.nonfinite_weights", {"parameter": next(iter(found)), "count": sum(found.values())})]


def _unit(engine: Engine) -> str | None:
    """Name of the site where the gradient has rms 1; ``None`` if that is the one output."""
    if len(engine.outputs) == 1 and isinstance(engine.outputs[0], Signal):
        return None
    sites = [v for v in engine.visited if isinstance(v.signal, Signal) and v.signal.gradient is not None]
    return sites[-1].site.name if sites else None


def _followed(engine: Engine, operations: list[Operation], signals: list[Signal]) -> Engine:
    with torch.no_grad():
        engine.forward(operations, signals)
        engine.backward()
    return engine


def _shapes(given: Any) -> list[tuple[int, ...]]:
    """One shape per input.

    Raises:
        InputError: If it is no shape.
    """
    wanted = "the shape of one sample, without the batch: input_shape=(3, 32, 32)"
    several = isinstance(given, (list, tuple)) and given and all(isinstance(item, (list, tuple)) for item in given)
    shapes = list(given) if several else [(given,) if isinstance(given, int) else given]
    found = []
    for shape in shapes:
        try:
            sizes = tuple(int(size) for size in shape)
        except (TypeError, ValueError):
            shown = f"a tensor of shape {list(given.shape)}" if isinstance(given, Tensor) else repr(given)
            raise InputError(f"input_shape is {wanted}; got {shown}.") from None
        if (
            not sizes
            or any(size < 1 for size in sizes)
            or any(size != own for size, own in zip(sizes, shape, strict=True))
        ):
            raise InputError(f"input_shape is {wanted}, all sizes whole numbers from 1; got {given!r}.")
        found.append(sizes)
    return found


def _inputs(shapes: list[tuple[int, ...]], samples: Tensor | None) -> list[Signal]:
    """Standard normal, or with the mean and variance of the samples."""
    signals = []
    for shape in shapes:
        ones = torch.ones(1, *shape, dtype=torch.float64)
        signals.append(Signal(torch.zeros_like(ones), ones))
    if samples is None:
        return signals
    if not isinstance(samples, Tensor):
        raise InputError(
            f"inputs are samples in a tensor, batch first, got {type(samples).__name__}: torch.tensor(inputs)."
        )
    if len(shapes) > 1 or tuple(samples.shape[1:]) != shapes[0] or len(samples) < 2:
        raise InputError(
            f"inputs are samples of the shape that input_shape gives, batch first and at least two: {list(shapes[0])} "
            f"each; got a tensor of shape {list(samples.shape)}."
        )
    values = samples.detach().to("cpu", torch.float64)
    return [Signal(values.mean(0, keepdim=True), values.var(0, unbiased=False, keepdim=True))]


def _row(visited: Visited, uncertain: Uncertainty) -> SitePrediction:
    signal = visited.signal
    if isinstance(signal, Unknown):
        return SitePrediction(visited.site, gap=signal.why)
    gradient = signal.gradient
    log10_gradient = gradient.log10_rms if gradient is not None else None
    return SitePrediction(
        site=visited.site,
        activation_rms=signal.rms,
        activation_grad_rms=None if log10_gradient is None else 10.0**log10_gradient,
        activation_grad_log10_rms=log10_gradient,
        activation_band=_band(signal.rms, signal.total_spread, uncertain.activation),
        activation_grad_band=None
        if gradient is None or log10_gradient is None
        else _band(10.0**log10_gradient, gradient.spread, uncertain.gradient),
        abs_cosine=signal.abs_cosine,
        activation_uncertainty=uncertain.activation,
        activation_grad_uncertainty=uncertain.gradient if gradient is not None else None,
    )


def _doubts(rows: tuple[SitePrediction, ...]) -> list[Message]:
    """Where the network is unstable, and by how much at most its numbers may be off."""
    activation = [row.activation_uncertainty for row in rows if row.activation_uncertainty is not None]
    gradient = [row.activation_grad_uncertainty for row in rows if row.activation_grad_uncertainty is not None]
    if not activation and not gradient:
        return []
    usual = [uncertainty.TOLERANCE]
    return [Message("predict.unstable", {"activation": max(activation + usual), "gradient": max(gradient + usual)})]


def _band(rms: float, spread: float, uncertain: float | None) -> tuple[float, float]:
    """Where the rms of 95 of 100 draws lies, ln of whose square varies by ``spread``; wider by what is uncertain."""
    factor = math.exp(min(_QUANTILE * math.sqrt(spread) / 2, _LARGEST_LOG)) * 10.0 ** (uncertain or 0.0)
    return rms / factor, rms * factor


def _limits(visited: list[Visited]) -> list[Limit]:
    """For each way of computing the first site, from the output back, where it gives out."""
    known = [(v.site.name, v.signal) for v in reversed(visited) if isinstance(v.signal, Signal)]
    found = []
    for name, (normal, _, largest) in FLOAT_RANGES.items():
        found.append(_first(name, known, lambda s, n=normal, top=largest: _out_of_range(s, n, top)))
    found.append(_first("adam_eps", known, lambda s: _out_of_range(s, ADAM_EPS, math.inf)))
    return [limit for limit in found if limit is not None]


def _first(id: str, known: list[tuple[str, Signal]], ends: Any) -> Limit | None:
    for site, signal in known:
        end = ends(signal)
        if end is not None:
            return Limit(id, site, *end)
    return None


def _out_of_range(signal: Signal, lowest: float, largest: float) -> tuple[str, float, float] | None:
    """What leaves the range at a site: quantity, its rms and the bound."""
    gradient = signal.gradient.log10_rms if signal.gradient is not None else None
    if gradient is not None and -math.inf < gradient < math.log10(lowest):
        return "activation_grad", 10.0**gradient, lowest
    if gradient is not None and largest < math.inf and gradient > math.log10(largest):
        return "activation_grad", 10.0**gradient if gradient < 308 else math.inf, largest
    if signal.rms > largest:
        return "activation", signal.rms, largest
    return None


def _trainable(model: nn.Module, rows: tuple[SitePrediction, ...]) -> tuple[float | None, Message]:
    """6 ξ_c of the layers of a plain chain, by their own weights and the activation that follows most of them."""
    kinds = {row.site.kind for row in rows}
    if "join" in kinds or "normalization" in kinds or any(row.gap is not None for row in rows):
        return None, Message("predict.no_one_depth", {})
    layers = _layers(model, rows)
    if not layers:
        return None, Message("predict.no_hidden_layer", {})
    (activation, parameters), count = Counter(key for key, *_ in layers).most_common(1)[0]
    chosen = [(w, b) for key, w, b, _ in layers if key == (activation, parameters)]
    sigma_w2 = math.exp(sum(math.log(w) for w, _ in chosen) / count)
    sigma_b2 = sum(b for _, b in chosen) / count
    values: dict[str, Value] = {"activation": activation, "sigma_w2": sigma_w2, "sigma_b2": sigma_b2, "layers": count}
    try:
        scales = depth_scales(nonlinearity(activation, **dict(parameters)), sigma_w2, sigma_b2)
    except InputError:
        return None, Message("predict.no_fixed_point", values)
    weights = sum(n for key, _, _, n in layers if key == (activation, parameters))
    if abs(math.log(scales.chi_1)) < _DEVIATIONS * math.sqrt(2.0 / weights):
        return math.inf, Message("predict.edge_of_chaos", values)
    depth = TRAINABLE * scales.xi_c
    return depth, Message("predict.depth_from", values | {"depth": round(depth)})


def _layers(
    model: nn.Module, rows: tuple[SitePrediction, ...]
) -> list[tuple[tuple[str, tuple[tuple[str, Any], ...]], float, float, int]]:
    """Of each affine layer that an activation follows: which, σ_w² and σ_b² of its weights as they are, how many."""
    found = []
    before: nn.Module | None = None
    for row in rows:
        if row.site.kind == "affine":
            before = model.get_submodule(row.site.module) if not row.site.functional else None
        elif row.site.activation is not None and before is not None:
            weight, bias = getattr(before, "weight", None), getattr(before, "bias", None)
            if isinstance(weight, Tensor) and float(weight.detach().double().square().mean()) > 0:
                square = float(weight.detach().double().square().mean())
                own = 0.0 if bias is None else float(bias.detach().double().square().mean())
                found.append(
                    (
                        (row.site.activation, _settings(model, row)),
                        square * _fan_in(before, weight),
                        own,
                        weight.numel(),
                    )
                )
            before = None
    return found


def _fan_in(layer: nn.Module, weight: Tensor) -> float:
    groups, stride = getattr(layer, "groups", 1), getattr(layer, "stride", 1)
    return fans(weight.shape, groups=groups, transposed=getattr(layer, "transposed", False), stride=stride)[0]


def _settings(model: nn.Module, row: SitePrediction) -> tuple[tuple[str, Any], ...]:
    """The slopes or bounds of an activation, by its module."""
    activation = ACTIVATIONS[str(row.site.activation)]
    if row.site.functional or not activation.parameters:
        return ()
    given = classify.activation_parameters(activation, model.get_submodule(row.site.module))
    return tuple(sorted(classify.scalar_parameters(given).items()))
