"""The tensor that was the first to break, by what one recorded step shows of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.records.site import Site
from headwater.records.why import Origin, TensorKind

Numbers = NDArray[np.float64]

_FP16_MAX = 65504.0
SITE_COUNTS: dict[str, TensorKind] = {
    "input_nan": "input",
    "input_inf": "input",
    "activation_nan": "activation",
    "activation_inf": "activation",
    "activation_grad_nan": "grad",
    "activation_grad_inf": "grad",
}
PARAMETER_COUNTS: dict[str, TensorKind] = {
    "value_nan": "param",
    "value_inf": "param",
    "grad_nan": "grad",
    "grad_inf": "grad",
}


@dataclass(frozen=True)
class Found:
    """A tensor that was the first to break."""

    kind: TensorKind
    site: str | None
    cause: Origin
    values: dict[str, Any]
    row: int | None = None


def first_broken(
    sites: Sequence[Site],
    numbers: Mapping[str, Numbers],
    names: Sequence[str],
    params: Mapping[str, Numbers],
    is_first: bool,
) -> Found | None:
    """Weights before signals, signals before gradients; ``None`` where only the loss can have broken.

    Args:
        sites: In order of execution.
        numbers: Their counts of NaN and Inf and largest magnitudes, by column, a number per site.
        names: Of the parameters.
        params: The same of them.
        is_first: Whether no step was recorded before, so that no update can have spoiled a weight.
    """
    return (
        _of_parameters(names, params, is_first)
        or _of_signals(sites, numbers)
        or _of_gradients(sites, numbers, names, params)
    )


def _of_parameters(names: Sequence[str], params: Mapping[str, Numbers], is_first: bool) -> Found | None:
    """Weights that were not finite when the step began: a step before has made them so."""
    bad = params["value_nan"] + params["value_inf"] > 0
    if not bad.any():
        return None
    row = int(np.flatnonzero(bad)[0])
    values = {"nan": int(params["value_nan"][row]), "inf": int(params["value_inf"][row])}
    return Found("param", names[row], "bad_input" if is_first else "spoiled_by_update", values)


def _of_signals(sites: Sequence[Site], numbers: Mapping[str, Numbers]) -> Found | None:
    """The first site in order of execution whose output, or input, is not finite."""
    out_nan, out_inf = numbers["activation_nan"], numbers["activation_inf"]
    in_bad = numbers["input_nan"] + numbers["input_inf"] > 0
    bad = (out_nan + out_inf > 0) | in_bad
    if not bad.any():
        return None
    row = int(np.flatnonzero(bad)[0])
    site = sites[row]
    values: dict[str, Any] = {"nan": int(out_nan[row]), "inf": int(out_inf[row])}
    if in_bad[row]:
        values = {"nan": int(numbers["input_nan"][row]), "inf": int(numbers["input_inf"][row])}
        if row == 0 or not any(sites[r].shape for r in range(row)):
            return Found("input", site.name, "bad_input", values, row)
        return Found("input", site.name, "between_sites", values, row)
    values["input_abs_max"] = float(numbers["input_abs_max"][row])
    if out_inf[row]:
        return Found("activation", site.name, "overflow", values, row)
    return Found("activation", site.name, _of_nan(site, values["input_abs_max"]), values, row)


def _of_nan(site: Site, input_abs_max: float) -> Origin:
    """NaN out of finite numbers: ∞ − ∞ inside where they are as large as the type holds, else 0/0 and its like."""
    limit = _FP16_MAX if site.dtype == "float16" else float(np.finfo(np.float32).max)
    return (
        "overflow"
        if input_abs_max**2 > limit and site.kind in ("normalization", "affine", "attention")
        else "zero_by_zero"
    )


def _of_gradients(
    sites: Sequence[Site], numbers: Mapping[str, Numbers], names: Sequence[str], params: Mapping[str, Numbers]
) -> Found | None:
    """All that went forward was finite: the gradient's own way is searched from the loss on."""
    nan, inf = numbers["activation_grad_nan"], numbers["activation_grad_inf"]
    bad = nan + inf > 0
    if bad.any():
        row = int(np.flatnonzero(bad)[-1])
        values = {"nan": int(nan[row]), "inf": int(inf[row])}
        return Found("grad", sites[row].name, "overflow" if inf[row] else "zero_by_zero", values, row)
    nan, inf = params["grad_nan"], params["grad_inf"]
    bad = nan + inf > 0
    if not bad.any():
        return None
    row = int(np.flatnonzero(bad)[-1])
    values = {"nan": int(nan[row]), "inf": int(inf[row])}
    return Found("grad", names[row], "overflow" if inf[row] else "zero_by_zero", values)
