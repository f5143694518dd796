"""What the weights are at the start."""

from __future__ import annotations

from headwater.lab.guide import Condition, Guide, Scene

_FIVE_TANH = {"depth": 6, "width": 100, "activation": "tanh", "init": "normal", "scale": 0.01}
_MIXED = {
    "depth": 20,
    "activation": "tanh",
    "activations": dict.fromkeys(range(10, 20), "relu"),
    "optimizer": "sgd",
    "learning_rate": 0.02,
}
"""Nine tanh layers, and ten ReLU layers behind them."""

INITIALISATION = (
    Guide(
        "bad-init",
        {"depth": 3, "init": "normal", "scale": 10.0, "learning_rate": 0.01},
        (
            Scene(spec={}, views=("inputs", "histograms")),
            Scene(steps=200, views=("inputs", "histograms")),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={}, compare={"scale": 0.15}, steps=200, views=("histograms",)),
        goal=(
            Condition("activation", among=("sigmoid",)),
            Condition("saturated", high=0.3),
            Condition("train_accuracy", low=0.9),
        ),
        begin={"locked": ["seed", "data", "activation", "depth"]},
    ),
    Guide(
        "naive-init",
        _FIVE_TANH,
        (
            Scene(spec={}, views=("histograms",)),
            Scene(spec={"scale": 1.0}, views=("histograms",)),
            Scene(spec={"scale": 1.0, "activation": "sigmoid"}, views=("histograms",)),
        ),
        choices=3,
        answer=0,
        experiment=Scene(spec={}, compare={"scale": 1.0}, views=("histograms",)),
        goal=(
            Condition("init", among=("normal",)),
            Condition("last_spread", low=0.25, high=0.65),
            Condition("saturated", high=0.05),
        ),
        begin={"locked": ["seed", "init", "width", "activation", "depth"]},
    ),
    Guide(
        "xavier",
        {**_FIVE_TANH, "init": "xavier", "scale": 1.0},
        (
            Scene(spec={}, views=("histograms",)),
            Scene(spec={"init": "normal", "scale": 0.01}, compare={}, views=("histograms",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"init": "normal", "scale": 0.01}, compare={}, steps=100, views=("histograms",)),
        goal=(
            Condition("init", among=("normal",)),
            Condition("width", low=200),
            Condition("depth", low=11),
            Condition("last_spread", low=0.15, high=0.6),
        ),
        begin={"init": "normal", "scale": 0.01, "width": 200, "depth": 11, "locked": ["seed", "init", "width"]},
    ),
    Guide(
        "xavier-relu",
        {"depth": 20, "activation": "relu", "init": "xavier"},
        (
            Scene(spec={"activation": "tanh"}, views=("histograms",)),
            Scene(spec={}, views=("histograms",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"init": "he"}, views=("histograms",)),
        goal=(
            Condition("activation", among=("relu",)),
            Condition("depth", low=20),
            Condition("signal_decades", low=-0.5, high=0.5),
        ),
        begin={"locked": ["seed", "activation", "depth"]},
    ),
    Guide(
        "he",
        {"depth": 11, "width": 100, "activation": "relu", "init": "he"},
        (
            Scene(spec={"init": "normal", "scale": 0.01}, views=("histograms",)),
            Scene(spec={"init": "xavier"}, views=("histograms",)),
            Scene(spec={}, views=("histograms",)),
        ),
        choices=3,
        answer=2,
        experiment=Scene(
            spec={"depth": 30, "width": 64, "init": "xavier"},
            compare={"depth": 30, "width": 64, "init": "he"},
            views=("histograms",),
        ),
        goal=(
            Condition("init", among=("normal",)),
            Condition("depth", low=11),
            Condition("signal_decades", low=-0.5, high=0.5),
        ),
        begin={"init": "normal", "scale": 0.01, "locked": ["seed", "init", "activation", "width"]},
    ),
    Guide(
        "init-by-activation",
        _MIXED,
        (
            Scene(spec={"activations": {}}, views=("histograms",)),
            Scene(spec={"activation": "relu", "activations": {}, "init": "he"}, views=("histograms",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"init": "by_activation"}, steps=400, views=("histograms",)),
        goal=(Condition("gradient_decades", low=-1.0, high=1.0), Condition("train_accuracy", low=0.95)),
        begin={
            "init": "default",
            "locked": ["seed", "data", "depth", "activation", "activations", "optimizer", "learning_rate"],
        },
    ),
    Guide(
        "he-is-not-enough",
        {"depth": 100, "activation": "relu", "init": "he", "learning_rate": 0.0003},
        (
            Scene(spec={}, views=("histograms",)),
            Scene(steps=100),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"init": "mirrored"}, steps=100),
        goal=(
            Condition("activation", among=("relu",)),
            Condition("depth", low=100),
            Condition("likeness", high=0.9),
            Condition("train_accuracy", low=0.9),
        ),
        begin={"locked": ["seed", "data", "depth", "activation", "residual", "normalisation"]},
    ),
)
