"""σ′ is at most 1/4, at 0, so that three of them leave 1/64 at most; tanh′ reaches 1, and ReLU′ is 1 for x > 0."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from headwater.lessons.lesson import Lesson, Outcome, Texts
from headwater.records.picture import Panel, Picture, Table
from headwater.theory import ACTIVATIONS, Activation

X = np.linspace(-6.0, 6.0, 241)
IN_THE_LECTURE = ("sigmoid", "tanh", "relu")
EXACT = 1e-9


def experiment() -> Outcome:
    """Every activation of the table with its derivative, and where that is largest."""
    t = Texts("sigmoid-derivative")
    found = {name: _steepest(activation) for name, activation in ACTIVATIONS.items() if name != "identity"}
    sigmoid, tanh = found["sigmoid"], found["tanh"]
    positive = ACTIVATIONS["relu"].derivative(X[X > 0])
    product = float(ACTIVATIONS["sigmoid"].derivative(np.zeros(3)).prod())
    checks = (
        t.within("largest", sigmoid[1], 0.25 - EXACT, 0.25 + EXACT),
        t.within("where", sigmoid[0], -1e-6, 1e-6),
        t.within("three", product, 1 / 64 - EXACT, 1 / 64 + EXACT),
        t.within("tanh", tanh[1], 1 - EXACT, 1 + EXACT),
        t.within("relu", float(np.abs(positive - 1).max()), 0.0, 0.0),
    )
    columns = (t("column.activation"), t("column.largest"), t("column.where"))
    rows = tuple((name, height, place) for name, (place, height) in found.items())
    curves = [
        tuple(t.curve(name, X, getattr(ACTIVATIONS[name], part)(X)) for name in IN_THE_LECTURE)
        for part in ("phi", "derivative")
    ]
    panels = (
        Panel(t("panel.phi"), t.axis("x"), t.axis("phi", low=-2.0, high=3.0), curves[0]),
        Panel(t("panel.derivative"), t.axis("x"), t.axis("slope", low=0.0, high=1.1), curves[1]),
    )
    values = {"largest": sigmoid[1], "product": product}
    return Outcome(checks, values, (Picture(t("summary"), panels),), (Table(t("table"), columns, rows),))


def _steepest(activation: Activation) -> tuple[float, float]:
    """Where |φ′| is largest, and how large: the best of a grid, refined; of a plateau the place nearest 0."""
    slope = np.abs(activation.derivative(X))
    best = min(np.flatnonzero(slope >= slope.max() - 1e-12), key=lambda i: abs(X[i]))
    refined = minimize_scalar(
        lambda x: -float(np.abs(activation.derivative(np.array([x])))[0]),
        bounds=(X[best] - 0.05, X[best] + 0.05),
        method="bounded",
        options={"xatol": 1e-12},
    )
    if -refined.fun > slope[best]:
        return float(refined.x), float(-refined.fun)
    return float(X[best]), float(slope[best])


LESSON = Lesson("sigmoid-derivative", experiment, seconds=0.1)
