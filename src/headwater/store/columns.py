"""Which numbers a recorded step has: per site, and per parameter."""

from __future__ import annotations

from typing import Literal

Group = Literal["sites", "parameters", "course"]

SITES = (
    "activation_rms",
    "activation_mean",
    "activation_std",
    "activation_abs_max",
    "activation_count",
    "activation_nan",
    "activation_inf",
    "activation_subnormal_fraction",
    "zero_fraction",
    "activation_grad_rms",
    "activation_grad_abs_max",
    "activation_grad_nan",
    "activation_grad_inf",
    "activation_grad_zero_fraction",
    "activation_grad_subnormal_fraction",
    "input_abs_max",
    "input_nan",
    "input_inf",
    "forward_gain",
    "backward_gain",
    "derivative_rms",
    "dead_fraction",
    "saturated_fraction",
    "abs_cosine",
    "effective_rank",
    "grad_rms",
    "update_ratio",
)
"""Of a site, as they are written. Fractions are of elements or units, ``_nan`` and ``_inf`` count elements."""

PARAMETERS = (
    "value_rms",
    "value_abs_max",
    "value_nan",
    "value_inf",
    "grad_rms",
    "grad_norm",
    "grad_abs_max",
    "grad_nan",
    "grad_inf",
    "grad_zero_fraction",
    "grad_subnormal_fraction",
    "sign_coherence",
    "gradient_cosine",
    "update_ratio",
    "unchanged_fraction",
    "spoiled",
    "local_grad_rms",
    "local_grad_abs_max",
)
"""Of a parameter, likewise. ``spoiled`` counts weights that the step itself made NaN or Inf; ``local_`` is of the
gradient of one rank's own batches, before those of other ranks were added."""

COURSE = ("log10_gradient", "gradient_cosine", "update_ratio", "is_thorough", "cost_s", "own_s", "wait_s")
"""Of a step, all parameters together; its only row. ``cost_s`` is what the probes know that measuring took; ``own_s``
what a rank took until its own last gradient was there, ``wait_s`` from then on until the optimizer's step."""

GROUPS: dict[Group, tuple[str, ...]] = {"sites": SITES, "parameters": PARAMETERS, "course": COURSE}

ROLLED: tuple[Group, ...] = ("sites", "parameters")
"""Those that have segments of their own, and rollups; the course lies beside the steps."""
