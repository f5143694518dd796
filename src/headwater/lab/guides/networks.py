"""What a network is and what it can say: the forward pass, the chain rule, width and depth."""

from __future__ import annotations

from headwater.lab.guide import Condition, Guide, Scene

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

NETWORKS = (
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
)
