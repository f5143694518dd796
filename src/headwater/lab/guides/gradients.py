"""Where the gradient goes, and what becomes of a network without one."""

from __future__ import annotations

from headwater.lab.guide import Condition, Guide, Scene

GRADIENTS = (
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
)
