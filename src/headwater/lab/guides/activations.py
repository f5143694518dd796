"""The activation, in the hidden layers and at the output."""

from __future__ import annotations

from headwater.lab.guide import Condition, Guide, Scene

ACTIVATIONS = (
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
)
