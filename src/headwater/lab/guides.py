"""The guided pages, by lesson, in the order the lectures tell their story.

Numbers in their texts and goals are what these very networks show (``tests/lab/test_guides.py`` runs them).
"""

from __future__ import annotations

from headwater.lab.controls import LOCKABLE
from headwater.lab.guide import Condition, Guide, Scene

_OVERFITTED = {
    "depth": 7,
    "width": 100,
    "activation": "relu",
    "init": "he",
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "batch_size": 100,
    "samples": 300,
}
"""The textbook's overfitting network: six hidden layers of 100 ReLU units and 300 digits."""
_FIVE_TANH = {"depth": 6, "width": 100, "activation": "tanh", "init": "normal", "scale": 0.01}
_BAD_SCALE = {
    "depth": 6,
    "activation": "relu",
    "init": "normal",
    "scale": 0.01,
    "optimizer": "sgd",
    "learning_rate": 0.05,
}
_WIDE = {
    "data": "folds",
    "depth": 2,
    "width": 168,
    "activation": "relu",
    "init": "he",
    "learning_rate": 0.01,
}
_DEEP = {"depth": 5, "width": 12}
"""As many weights and biases as the wide one has, 505."""
_MIXED = {
    "depth": 20,
    "activation": "tanh",
    "activations": dict.fromkeys(range(10, 20), "relu"),
    "optimizer": "sgd",
    "learning_rate": 0.02,
}
"""Nine tanh layers, and ten ReLU layers behind them."""
_VALLEYS = {
    "data": "moons",
    "depth": 2,
    "width": 3,
    "activation": "relu",
    "init": "he",
    "learning_rate": 0.02,
    "seed": 4,
}
"""Three ReLU units on two moons: of ten seeds some end at a loss of 0.04 and some at 0.2."""

_ALL = (
    Guide(
        "perceptron-forward",
        {"data": "circles", "depth": 2, "width": 1, "learning_rate": 0.03},
        (
            Scene(spec={"width": 2}, views=("inputs",)),
            Scene(spec={}, steps=300, views=("boundary",)),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={"width": 2}, compare={"width": 3}, steps=400, views=("boundary",)),
        goal=(
            Condition("depth", high=2),
            Condition("width", high=3),
            Condition("train_accuracy", low=0.95),
        ),
        begin={"locked": ["seed", "data", "depth"]},
    ),
    Guide(
        "backprop",
        {"data": "moons", "depth": 2, "width": 2, "optimizer": "sgd", "learning_rate": 1.0},
        (
            Scene(spec={}),
            Scene(),
            Scene(steps=100),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"init": "normal", "scale": 0.0}),
        goal=(Condition("optimizer", among=("sgd",)), Condition("loss", high=0.1)),
        begin={"width": 4, "learning_rate": 1e-4, "locked": ["seed", "data", "depth", "optimizer"]},
    ),
    Guide(
        "chain-rule",
        {"data": "curve", "depth": 3, "width": 1, "learning_rate": 0.01},
        (
            Scene(spec={}),
            Scene(spec={"depth": 11}),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"depth": 11}, compare={"depth": 11, "activation": "tanh"}),
        goal=(
            Condition("width", high=1),
            Condition("depth", low=11),
            Condition("gradient_decades", low=-1.0, high=1.0),
        ),
        begin={"depth": 11, "locked": ["seed", "data", "width", "depth"]},
    ),
    Guide(
        "why-nonlinear",
        {"data": "circles", "depth": 4, "width": 32, "activation": "identity", "learning_rate": 0.01},
        (
            Scene(spec={}, views=("boundary",)),
            Scene(steps=200, views=("boundary",)),
            Scene(spec={"depth": 10}, steps=200, views=("boundary",)),
        ),
        choices=3,
        answer=0,
        experiment=Scene(spec={}, compare={"activation": "relu", "init": "he"}, steps=200, views=("boundary",)),
        goal=(Condition("train_accuracy", low=0.95), Condition("depth", high=4)),
        begin={"locked": ["data", "seed"]},
    ),
    Guide(
        "universal-approximation",
        {"data": "curve", "depth": 2, "width": 1, "activation": "tanh", "learning_rate": 0.01},
        (
            Scene(spec={}, steps=200, views=("boundary",)),
            Scene(spec={"width": 4}, steps=200, views=("boundary",)),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={}, compare={"width": 64}, steps=500, views=("boundary",)),
        goal=(Condition("depth", high=2), Condition("test_loss", high=0.05)),
        begin={"locked": ["seed", "data", "depth"]},
    ),
    Guide(
        "depth-expressivity",
        _WIDE,
        (
            Scene(spec={}, views=("boundary",)),
            Scene(steps=400, views=("boundary",)),
            Scene(spec=_DEEP, views=("boundary",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare=_DEEP, steps=1000, views=("boundary",)),
        goal=(
            Condition("depth", low=3),
            Condition("parameters", high=530),
            Condition("test_loss", high=0.05),
        ),
        begin={"locked": ["data", "samples"]},
    ),
    Guide(
        "sigmoid-derivative",
        {"depth": 4},
        (
            Scene(spec={}, views=("inputs",)),
            Scene(spec={"init": "normal"}, views=("inputs",)),
            Scene(spec={"activation": "tanh"}, views=("inputs",)),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={}, compare={"activation": "relu", "init": "he"}, views=("inputs",)),
        goal=(Condition("activation", among=("sigmoid",)), Condition("slope", low=0.24)),
        begin={"init": "normal", "locked": ["seed", "data", "activation", "depth"]},
    ),
    Guide(
        "vanishing",
        {},
        (
            Scene(spec={"depth": 5}, views=("inputs",)),
            Scene(spec={"depth": 20}, views=("inputs",)),
            Scene(steps=100),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={"depth": 50}, steps=0),
        goal=(
            Condition("depth", low=20),
            Condition("gradient_decades", low=-1.5, high=1.5),
            Condition("train_accuracy", low=0.9),
        ),
        begin={"locked": ["seed", "data"]},
    ),
    Guide(
        "frozen-update",
        {"optimizer": "sgd", "learning_rate": 0.1},
        (
            Scene(spec={"depth": 5}, steps=1, views=("weights",)),
            Scene(spec={}, views=("weights",)),
        ),
        choices=3,
        answer=0,
        experiment=Scene(spec={}, compare={"optimizer": "adam", "learning_rate": 0.001}, steps=1),
        goal=(
            Condition("depth", low=20),
            Condition("optimizer", among=("sgd",)),
            Condition("first_unchanged", high=0.1),
        ),
        begin={"locked": ["seed", "data", "depth", "optimizer"]},
    ),
    Guide(
        "vanishing-underfits",
        {"learning_rate": 0.01},
        (
            Scene(spec={"depth": 2}, steps=300),
            Scene(spec={"depth": 2}, compare={"depth": 20}),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"depth": 2}, compare={"depth": 20}, steps=300),
        goal=(Condition("depth", low=10), Condition("train_accuracy", low=0.95)),
        begin={"locked": ["seed", "data"]},
    ),
    Guide(
        "zigzag",
        {"depth": 3, "batch_size": 1},
        (
            Scene(spec={}, views=("histograms",)),
            Scene(spec={}, views=("weights",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"activation": "tanh"}, steps=400),
        goal=(Condition("coherence", high=0.3), Condition("train_accuracy", low=0.8)),
        begin={"locked": ["seed", "data", "batch_size"]},
    ),
    Guide(
        "tanh",
        {},
        (
            Scene(spec={}, compare={"activation": "tanh"}, views=("inputs",)),
            Scene(spec={}, compare={"activation": "tanh"}, steps=200),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"depth": 50, "activation": "tanh", "init": "default"}),
        goal=(
            Condition("activation", among=("tanh",)),
            Condition("depth", low=50),
            Condition("gradient_decades", low=-1.0, high=1.0),
        ),
        begin={"depth": 50, "activation": "tanh", "init": "default", "locked": ["seed", "activation"]},
    ),
    Guide(
        "relu",
        {},
        (
            Scene(spec={}, views=("inputs",)),
            Scene(spec={}, compare={"activation": "relu", "init": "he"}, views=("inputs",)),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={}, compare={"activation": "relu", "init": "he"}, steps=200),
        goal=(
            Condition("activation", among=("relu",)),
            Condition("depth", low=20),
            Condition("train_accuracy", low=0.9),
        ),
        begin={"depth": 20, "locked": ["seed", "data"]},
    ),
    Guide(
        "relu-family",
        {"depth": 10, "activation": "relu", "init": "he"},
        (
            Scene(spec={}, views=("inputs", "units")),
            Scene(spec={"activation": "leaky_relu"}, views=("inputs", "units")),
            Scene(spec={"activation": "elu"}, views=("inputs", "units")),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"activation": "elu"}, steps=150),
        goal=(Condition("depth", low=10), Condition("dead", high=0.0), Condition("train_accuracy", low=0.95)),
        begin={"locked": ["seed", "data", "depth"]},
    ),
    Guide(
        "dying-relu",
        {"depth": 4, "activation": "relu", "init": "he", "bias": -3.0},
        (
            Scene(spec={"bias": 0.0}, views=("units", "inputs")),
            Scene(spec={}, views=("units", "inputs")),
            Scene(steps=200, views=("units",)),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={}, compare={"activation": "elu"}, steps=300, views=("units",)),
        goal=(
            Condition("bias", high=-3.0),
            Condition("dead", high=0.05),
            Condition("train_accuracy", low=0.9),
        ),
        begin={"locked": ["seed", "bias", "data"]},
    ),
    Guide(
        "hidden-relu-output-tanh",
        {
            "data": "surface",
            "depth": 10,
            "activation": "tanh",
            "output": "tanh",
            "learning_rate": 0.003,
            "batch_size": 256,
        },
        (
            Scene(spec={}, views=("boundary",)),
            Scene(steps=100, views=("boundary",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"activation": "relu", "init": "he"}, steps=200, views=("boundary",)),
        goal=(
            Condition("output", among=("tanh",)),
            Condition("depth", low=10),
            Condition("test_loss", high=0.01),
        ),
        begin={"activation": "sigmoid", "locked": ["seed", "data", "depth", "output"]},
    ),
    Guide(
        "linear-output",
        {
            "data": "curve",
            "depth": 3,
            "width": 32,
            "activation": "tanh",
            "output": "sigmoid",
            "learning_rate": 0.01,
        },
        (
            Scene(spec={}, views=("boundary",)),
            Scene(steps=200, views=("boundary",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"output": "relu"}, compare={"output": "identity"}, steps=200, views=("boundary",)),
        goal=(Condition("test_loss", high=0.05),),
        begin={"locked": ["seed", "data"]},
    ),
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
    Guide(
        "overfitting",
        _OVERFITTED,
        (
            Scene(spec={}, steps=0),
            Scene(steps=400),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={}, compare={"samples": 300, "l2": 0.02}, steps=400),
        goal=(Condition("train_accuracy", low=0.98), Condition("gap", high=0.07)),
        begin={"locked": ["seed", "data", "depth", "width"]},
    ),
    Guide(
        "l1",
        _OVERFITTED,
        (
            Scene(spec={}, steps=400, views=("weights",)),
            Scene(spec={}, compare={"l1": 0.002}, views=("weights",)),
        ),
        choices=3,
        answer=0,
        experiment=Scene(spec={}, compare={"l1": 0.002}, steps=400, views=("weights",)),
        goal=(Condition("small_weights", low=0.3), Condition("train_accuracy", low=0.98)),
        begin={"locked": ["seed", "data", "samples"]},
    ),
    Guide(
        "l2",
        _OVERFITTED,
        (
            Scene(spec={}, steps=400, views=("weights",)),
            Scene(spec={}, compare={"l2": 0.02}, views=("weights",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"l1": 0.002}, compare={"l2": 0.02}, steps=400, views=("weights",)),
        goal=(
            Condition("largest_weight", high=0.45),
            Condition("test_accuracy", low=0.9),
            Condition("samples", high=300),
        ),
        begin={"locked": ["seed", "data", "samples"]},
    ),
    Guide(
        "dropout",
        {**_OVERFITTED, "dropout": 0.2},
        (
            Scene(spec={}, views=("mask",)),
            Scene(steps=1, views=("mask",)),
            Scene(spec={"dropout": 0.0}, compare={}, views=("mask",)),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"dropout": 0.0}, compare={}, steps=400, views=("mask",)),
        goal=(
            Condition("samples", high=300),
            Condition("train_accuracy", low=0.97),
            Condition("test_accuracy", low=0.9),
        ),
        begin={"dropout": 0.0, "locked": ["seed", "data", "samples", "l1", "l2"]},
    ),
    Guide(
        "batchnorm",
        _BAD_SCALE,
        (
            Scene(spec={}, views=("histograms",)),
            Scene(steps=100),
            Scene(spec={"normalisation": "batch"}, views=("histograms",)),
        ),
        choices=3,
        answer=0,
        experiment=Scene(spec={}, compare={"normalisation": "batch"}, steps=200, views=("histograms",)),
        goal=(
            Condition("scale", high=0.02),
            Condition("depth", low=6),
            Condition("train_accuracy", low=0.95),
        ),
        begin={"locked": ["seed", "data", "init", "scale"]},
    ),
    Guide(
        "loss-landscape",
        _VALLEYS,
        (
            Scene(spec={}, steps=600, views=("boundary",)),
            Scene(),
        ),
        choices=3,
        answer=1,
        experiment=Scene(spec={"seed": 0}, steps=600, views=("boundary",)),
        goal=(Condition("train_accuracy", low=0.97),),
        begin={"seed": 0, "locked": [name for name in LOCKABLE if name != "seed"]},
    ),
    Guide(
        "thousand-layers",
        {"depth": 100, "learning_rate": 0.0001},
        (
            Scene(spec={}),
            Scene(spec={"activation": "relu", "init": "he"}),
        ),
        choices=3,
        answer=2,
        experiment=Scene(spec={}, compare={"init": "tailored"}, steps=100),
        goal=(
            Condition("activation", among=("sigmoid",)),
            Condition("depth", low=100),
            Condition("gradient_decades", low=-1.5, high=1.5),
            Condition("train_accuracy", low=0.9),
        ),
        begin={
            "learning_rate": 0.001,
            "locked": ["seed", "data", "depth", "activation", "residual", "normalisation"],
        },
    ),
)
GUIDES: dict[str, Guide] = {guide.lesson: guide for guide in _ALL}
