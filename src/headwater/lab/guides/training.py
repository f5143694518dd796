"""What training does beyond that: overfitting and its remedies, normalisation, valleys, a thousand layers."""

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
_BAD_SCALE = {
    "depth": 6,
    "activation": "relu",
    "init": "normal",
    "scale": 0.01,
    "optimizer": "sgd",
    "learning_rate": 0.05,
}
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

TRAINING = (
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
