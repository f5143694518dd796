"""What a measured step showed, as the tables that a run keeps: a row per site and per parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.kernels.ledger import SUMMARY, Ledger
from headwater.probes.activation_state import ActivationState
from headwater.probes.parameters import Readings
from headwater.probes.place import piece_of
from headwater.probes.recorder import Recorder
from headwater.probes.rows import site_names
from headwater.probes.sampled_step import SampledStep
from headwater.probes.site_record import SiteRecord
from headwater.records.codec import encode
from headwater.store.columns import GROUPS, Group

Numbers = NDArray[np.float64]

_AT = {name: place for place, name in enumerate(SUMMARY)}
_SCALED = ("rms", "mean", "std", "norm", "abs_max")  # of a gradient, with what the loss was multiplied by
_OF_ACTIVATION = {
    "activation_rms": "rms",
    "activation_mean": "mean",
    "activation_std": "std",
    "activation_abs_max": "abs_max",
    "activation_count": "count",
    "activation_nan": "nan",
    "activation_inf": "inf",
    "activation_subnormal_fraction": "subnormal_fraction",
    "zero_fraction": "zero_fraction",
}
_OF_GRADIENT = {
    "activation_grad_rms": "rms",
    "activation_grad_abs_max": "abs_max",
    "activation_grad_nan": "nan",
    "activation_grad_inf": "inf",
    "activation_grad_zero_fraction": "zero_fraction",
    "activation_grad_subnormal_fraction": "subnormal_fraction",
}
_OF_INPUT = {"input_abs_max": "abs_max", "input_nan": "nan", "input_inf": "inf"}
_OF_VALUE = {"value_rms": "rms", "value_abs_max": "abs_max", "value_nan": "nan", "value_inf": "inf"}
_OF_PARAMETER_GRADIENT = {
    "grad_rms": "rms",
    "grad_norm": "norm",
    "grad_abs_max": "abs_max",
    "grad_nan": "nan",
    "grad_inf": "inf",
    "grad_zero_fraction": "zero_fraction",
    "grad_subnormal_fraction": "subnormal_fraction",
}


_OF_LOCAL_GRADIENT = {"local_grad_rms": "rms", "local_grad_abs_max": "abs_max"}


class Tables:
    """Turns measured steps into tables; names that were not there before get rows behind the others.

    A row stays the same one over the whole training, whichever operations a step ran.
    """

    def __init__(self) -> None:
        self._places: dict[Group, dict[str, int]] = {group: {} for group in GROUPS}
        self._elements = np.ones(0)
        self._last_sites: tuple[tuple[Any, ...], NDArray[np.int64]] | None = None
        self._last_parameters: tuple[tuple[int, ...], NDArray[np.int64], dict[str, int]] | None = None

    def rows(self, group: Group) -> int:
        """How many there are."""
        return len(self._places[group])

    def sites(self, recorder: Recorder, parameters: Numbers, grad_scale: float) -> tuple[Numbers, list[dict[str, Any]]]:
        """A row per site.

        Args:
            recorder: After the step.
            parameters: What :meth:`parameters` gave for the same step.
            grad_scale: What the loss was multiplied by.

        Returns:
            The table, and what is to be known of the rows that are new.
        """
        records, ledger = recorder.sites, recorder.ledger
        places, new = self._places_of_sites(records)
        out = np.full((self.rows("sites"), len(GROUPS["sites"])), math.nan)
        found = np.full((len(records), len(GROUPS["sites"])), math.nan)
        gradients = [recorder.gradient_rows(r.activation_grad) or recorder.gradient_rows(r.other_grad) for r in records]
        after = _enter(found, "sites", _OF_ACTIVATION, ledger.summaries([r.activation for r in records]))
        gradient = _enter(found, "sites", _OF_GRADIENT, _unscaled(ledger.summaries(gradients), grad_scale))
        before = _enter(found, "sites", _OF_INPUT, ledger.summaries([r.input for r in records]))
        sent_on = _unscaled(ledger.summaries([recorder.gradient_rows(r.input_grad) for r in records]), grad_scale)
        _put(found, "sites", "forward_gain", _ratio(after, before))
        _put(found, "sites", "backward_gain", _ratio(sent_on, gradient))
        self._enter_states(found, records)
        self._enter_parameters(found, records, parameters)
        out[places] = found
        return out, new

    def parameters(self, readings: Readings, ledger: Ledger) -> tuple[Numbers, list[dict[str, Any]]]:
        """A row per parameter, and what is to be known of the rows that are new."""
        known = list(readings.by_parameter.values())
        places, new = self._places_of_parameters(readings)
        out = np.full((self.rows("parameters"), len(GROUPS["parameters"])), math.nan)
        found = np.full((len(known), len(GROUPS["parameters"])), math.nan)
        _enter(found, "parameters", _OF_VALUE, ledger.summaries([r.value_rows for r in known]))
        gradients = ledger.summaries([r.gradient_rows if r.has_gradient else () for r in known])
        _enter(found, "parameters", _OF_PARAMETER_GRADIENT, _unscaled(gradients, readings.grad_scale))
        local = [r.local_rows for r in known]
        if any(local):
            _enter(found, "parameters", _OF_LOCAL_GRADIENT, _unscaled(ledger.summaries(local), readings.grad_scale))
        for name, values in readings.columns().items():
            _put(found, "parameters", name, values)
        out[places] = found
        return out, new

    def course(self, step: SampledStep) -> Numbers:
        """What a step showed of all parameters together: its only row."""
        short = step.in_short()
        known = (
            short.log10_gradient,
            short.gradient_cosine,
            short.update_ratio,
            float(step.thorough),
            step.spent_s,
            step.own_s,
            step.wait_s,
        )
        return np.array([[math.nan if value is None else value for value in known]])

    def _places_of_sites(self, records: Sequence[SiteRecord]) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
        signature = tuple((id(record.info), record.op, record.call) for record in records)
        if self._last_sites is not None and self._last_sites[0] == signature:
            return self._last_sites[1], []
        names, known = site_names(list(records)), self._places["sites"]
        new: list[dict[str, Any]] = []
        for order, record in enumerate(records):
            name = names[id(record)]
            if name not in known:
                known[name] = len(known)
                new.append(_facts_of_site(record, name, order))
        places = np.array([known[names[id(record)]] for record in records], np.int64)
        self._last_sites = signature, places
        return places, new

    def _places_of_parameters(self, readings: Readings) -> tuple[NDArray[np.int64], list[dict[str, Any]]]:
        signature = tuple(readings.by_parameter)
        if self._last_parameters is not None and self._last_parameters[0] == signature:
            return self._last_parameters[1], []
        known = self._places["parameters"]
        new: list[dict[str, Any]] = []
        by_name: dict[str, int] = {}
        for index, reading in enumerate(readings.by_parameter.values()):
            names, parameter = reading.subject.names, reading.subject.parameter
            by_name |= dict.fromkeys(names, index)
            if names[0] not in known:
                known[names[0]] = len(known)
                facts = {"shape": list(parameter.shape), "dtype": str(parameter.dtype).removeprefix("torch.")}
                aliases = {"aliases": names[1:]} if names[1:] else {}
                piece = piece_of(parameter)
                here = {"piece": piece, "here": reading.subject.count} if piece is not None else {}
                new.append({"name": names[0], **facts, "trainable": parameter.requires_grad, **aliases, **here})
        own = [known[reading.subject.names[0]] for reading in readings.by_parameter.values()]
        places = np.array(own, np.int64)
        self._elements = np.ones(len(known))
        self._elements[places] = [reading.subject.count for reading in readings.by_parameter.values()]
        self._last_parameters = signature, places, {name: own[index] for name, index in by_name.items()}
        return places, new

    def _enter_states(self, found: Numbers, records: Sequence[SiteRecord]) -> None:
        """What only some sites have: activations their slopes, thorough steps the collapse."""
        columns = [
            GROUPS["sites"].index(name)
            for name in ("derivative_rms", "dead_fraction", "saturated_fraction", "abs_cosine", "effective_rank")
        ]
        for row, record in enumerate(records):
            if record.states:
                state = ActivationState.merge_all(record.states)
                assert state is not None
                known = state.derivative_rms, state.dead_fraction, state.saturated_fraction
                found[row, columns[:3]] = [math.nan if value is None else value for value in known]
            if record.abs_cosine is not None:
                found[row, columns[3]] = record.abs_cosine
            if record.effective_rank is not None:
                found[row, columns[4]] = record.effective_rank

    def _enter_parameters(self, found: Numbers, records: Sequence[SiteRecord], parameters: Numbers) -> None:
        """Gradients and updates of the parameters that each site owns."""
        if self._last_parameters is None:
            return
        places, columns = self._last_parameters[2], GROUPS["parameters"]
        rms, weight, ratio = (parameters[:, columns.index(name)] for name in ("grad_rms", "value_rms", "update_ratio"))
        grad_at, ratio_at = GROUPS["sites"].index("grad_rms"), GROUPS["sites"].index("update_ratio")
        for row, record in enumerate(records):
            own = () if record.functional else record.info.parameters
            rows = [places[name] for name in own if name in places]
            if not rows:
                continue
            if len(rows) == 1:
                found[row, grad_at], found[row, ratio_at] = rms[rows[0]], ratio[rows[0]]
                continue
            counts = self._elements[rows]
            found[row, grad_at] = _joint_rms(rms[rows], counts)
            found[row, ratio_at] = _joint_ratio(ratio[rows], weight[rows], counts)


def _facts_of_site(record: SiteRecord, name: str, order: int) -> dict[str, Any]:
    """What a reader is told of a site once: the fields of ``Site``."""
    return {
        "name": name,
        "op": record.op,
        "kind": record.kind,
        "order": order,
        "module": record.info.name,
        "activation": record.activation_id,
        "parameters": [] if record.functional else list(record.info.parameters),
        "shape": list(record.shape),
        "dtype": str(record.dtype).removeprefix("torch."),
        "functional": record.functional,
        "activation_parameters": encode(record.activation_parameters),
        "settings": encode(record.settings),
    }


def _enter(found: Numbers, group: Group, columns: dict[str, str], summaries: Numbers) -> Numbers:
    """Put the columns of summaries in their places; gives the summaries."""
    targets = [GROUPS[group].index(name) for name in columns]
    found[:, targets] = summaries[:, [_AT[name] for name in columns.values()]]
    return summaries


def _put(found: Numbers, group: Group, name: str, values: Numbers) -> None:
    found[:, GROUPS[group].index(name)] = values


def _unscaled(summaries: Numbers, scale: float) -> Numbers:
    if scale != 1.0:
        summaries[:, [_AT[name] for name in _SCALED]] /= scale
    return summaries


def _ratio(after: Numbers, before: Numbers) -> Numbers:
    """Rms over rms; unknown where the second is zero."""
    rms = _AT["rms"]
    with np.errstate(all="ignore"):
        return np.where(before[:, rms] > 0, after[:, rms] / before[:, rms], math.nan)


def _joint_rms(rms: Numbers, counts: Numbers) -> float:
    """Of several tensors together; of squares that leave float64 only their ratios are taken."""
    known = ~np.isnan(rms)
    if not known.any():
        return math.nan
    largest = float(rms[known].max())
    if largest == 0.0 or math.isinf(largest):
        return largest
    shares = counts[known] / counts[known].sum()
    return largest * math.sqrt(float((shares * (rms[known] / largest) ** 2).sum()))


def _joint_ratio(ratio: Numbers, weight: Numbers, counts: Numbers) -> float:
    """‖Δw‖/‖w‖ of several parameters together."""
    known = ~np.isnan(ratio) & (weight > 0)
    if not known.any():
        return math.nan
    with np.errstate(all="ignore"):
        squares = counts[known] * weight[known] ** 2
        return math.sqrt(float((squares * ratio[known] ** 2).sum()) / float(squares.sum()))
