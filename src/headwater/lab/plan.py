"""From a spec to the modules it stands for, as data: a network is built from them, and an exported script written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from headwater.lab.refusal import RefusedError
from headwater.lab.spec import Spec
from headwater.theory import ACTIVATIONS

Task = Literal["classes", "curve"]

# Of one lab's network: with Adam 16 bytes a weight, so 10 MB; 100 layers of 64 are 400,000.
MOST_PARAMETERS = 600_000
# Multiplications of one training step, about a tenth of a second on one core: what others may have to wait for.
MOST_WORK = 1.5e9
_KERNEL = 3
# What deep kernel shaping knows: all with a derivative everywhere.
_SMOOTH = tuple(
    id for id, entry in ACTIVATIONS.items() if entry.family in ("s_shaped", "smooth_rectifier") and id != "hardtanh"
)
_SIDE = 8
"""Of an image of digits, and rows of it that a recurrent network reads one after the other."""


@dataclass(frozen=True)
class Shape:
    """What a data set asks of a network.

    Attributes:
        task: Whether classes are told, or a curve is followed.
        inputs: Numbers per sample.
        outputs: Classes, or 1.
        is_image: Whether the inputs are an 8×8 image.
    """

    task: Task
    inputs: int
    outputs: int
    is_image: bool = False


SHAPES = {
    "digits": Shape("classes", 64, 10, is_image=True),
    "circles": Shape("classes", 2, 2),
    "moons": Shape("classes", 2, 2),
    "spirals": Shape("classes", 2, 3),
    "curve": Shape("curve", 1, 1),
    "folds": Shape("curve", 1, 1),
    "surface": Shape("curve", 2, 1),
    "breast_cancer": Shape("classes", 30, 2),
}


@dataclass(frozen=True)
class Part:
    """One module.

    Attributes:
        name: What it is called in the network: ``linear1``, ``activation1``, …, ``output``, ``output_activation``.
        kind: A class of ``torch.nn``, or one of ours: ``Residual``, ``LastStep``.
        layer: Of which layer it is, from 1; 0 for what only changes a shape.
        arguments: What the class is made with.
        keywords: The same, by name.
        inner: Of a ``Residual``, what stands inside.
    """

    name: str
    kind: str
    layer: int
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()
    inner: tuple[Part, ...] = ()

    @property
    def code(self) -> str:
        """Python code that makes it."""
        if self.inner:
            return f"Residual({', '.join(f'{part.name}={part.code}' for part in self.inner)})"
        written = [*map(repr, self.arguments), *(f"{name}={value!r}" for name, value in self.keywords)]
        return f"{'' if self.kind == 'LastStep' else 'nn.'}{self.kind}({', '.join(written)})"


@dataclass(frozen=True)
class Plan:
    """A network on paper.

    Attributes:
        parts: The modules of an ``nn.Sequential``.
        shape: Of its data.
        layers: How many there are.
        parameters: Weights and biases.
        work: Multiplications of one training step, forward and back, about.
    """

    parts: tuple[Part, ...]
    shape: Shape
    layers: int
    parameters: int
    work: float

    def layer_of(self, name: str) -> int:
        """The layer that the module called ``name``, or anything inside it, belongs to."""
        first = name.split(".")[0]
        return next((part.layer for part in self.parts if part.name == first), 0)

    def places(self) -> dict[str, Part]:
        """Every part that is no container, by the name of its module."""
        found: dict[str, Part] = {}
        for part in self.parts:
            inner = {f"{part.name}.inner.{one.name}": one for one in part.inner}
            found |= inner or {part.name: part}
        return found


def planned(spec: Spec, shape: Shape | None = None) -> Plan:
    """The modules of a spec.

    Args:
        spec: Of the network.
        shape: Of its data, where they are the user's own.

    Raises:
        RefusedError: If the parts do not go together, or the network is larger than one lab may be.
    """
    found = shape or SHAPES.get(spec.data)
    if found is None:
        raise RefusedError("no_csv", {}, "data")
    _refuse_impossible(spec, found)
    parts = tuple({"mlp": _mlp, "cnn": _cnn, "rnn": _rnn}[spec.preset](spec, found))
    parameters, work = _size(spec, found)
    if parameters > MOST_PARAMETERS:
        raise RefusedError("parameters", {"parameters": parameters, "most": MOST_PARAMETERS}, "width")
    if work > MOST_WORK:
        raise RefusedError("work", {"times": work / MOST_WORK}, "width")
    return Plan(parts, found, spec.depth, parameters, work)


def activation_of(spec: Spec, layer: int) -> str:
    """Id of the activation of a hidden layer."""
    return spec.activations.get(layer, spec.activation)


def hidden_activations(spec: Spec) -> list[str]:
    """Ids of the activations of all hidden layers, from the first on."""
    return [activation_of(spec, layer) for layer in range(1, spec.depth)]


def _refuse_impossible(spec: Spec, shape: Shape) -> None:
    """Say what does not go together before anything is built."""
    if spec.preset == "cnn" and not shape.is_image:
        raise RefusedError("cnn_data", {}, "data")
    if spec.preset == "rnn":
        _refuse_for_rnn(spec)
    if spec.normalisation == "batch" and 1 in (spec.batch_size, spec.samples):
        raise RefusedError("batch_of_one", {}, "batch_size" if spec.batch_size == 1 else "samples")
    if spec.init == "delta_orthogonal" and spec.preset != "cnn":
        raise RefusedError("delta_orthogonal", {}, "init")
    hidden = hidden_activations(spec)
    if spec.init == "mirrored":
        if spec.residual or spec.normalisation != "none" or set(hidden) - {"relu", "leaky_relu"} or not hidden:
            raise RefusedError("mirrored", {}, "init")
        if spec.width % 2:
            raise RefusedError("mirrored_width", {"width": spec.width}, "width")
    if spec.init == "critical" and {"sigmoid", "softplus"} & {*hidden, spec.output}:
        raise RefusedError("critical", {}, "init")
    if spec.init == "tailored":
        _refuse_for_tailored(spec, hidden)


def tailoring(hidden: Iterable[str]) -> str | None:
    """Id of the remedy that tailors these activations to the depth; ``None`` if none fits all of them."""
    families = {"leaky" if id in ("relu", "leaky_relu") else "smooth" if id in _SMOOTH else "" for id in hidden}
    if len(families) != 1:
        return None
    return {"leaky": "activation.tailored_leaky", "smooth": "activation.tailored"}.get(families.pop())


def _refuse_for_tailored(spec: Spec, hidden: list[str]) -> None:
    if spec.residual or spec.normalisation != "none" or tailoring(hidden) is None:
        raise RefusedError("tailored", {}, "init")


def _refuse_for_rnn(spec: Spec) -> None:
    if spec.depth < 2 or spec.depth > 10:
        raise RefusedError("rnn_depth", {"depth": spec.depth}, "depth")
    if spec.activation not in ("tanh", "relu") or spec.activations:
        raise RefusedError("rnn_activation", {}, "activation")
    if spec.init not in ("default", "orthogonal"):
        raise RefusedError("rnn_init", {}, "init")
    if spec.residual or spec.normalisation != "none":
        raise RefusedError("rnn_parts", {}, "residual" if spec.residual else "normalisation")


def _activation(name: str, id: str, layer: int) -> Part:
    entry = ACTIVATIONS[id]
    return Part(name, entry.modules[0], layer, keywords=tuple(entry.arguments.items()))


def _output(spec: Spec, inputs: int, shape: Shape) -> Iterator[Part]:
    """The output layer, and what stands behind it."""
    yield Part("output", "Linear", spec.depth, (inputs, shape.outputs))
    if spec.output != "identity":
        yield _activation("output_activation", spec.output, spec.depth)


def _hidden(spec: Spec, layer: int, affine: Part, normalisation: Part | None) -> Iterator[Part]:
    """One hidden layer: affine map, normalisation, activation, dropout."""
    parts = [affine, normalisation, _activation(f"activation{layer}", activation_of(spec, layer), layer)]
    if spec.dropout:
        parts.append(Part(f"dropout{layer}", "Dropout", layer, (spec.dropout,)))
    inside = tuple(part for part in parts if part is not None)
    keeps_shape = affine.arguments[0] == affine.arguments[1]
    if spec.residual and keeps_shape:
        yield Part(f"block{layer}", "Residual", layer, inner=inside)
    else:
        yield from inside


def _mlp(spec: Spec, shape: Shape) -> Iterator[Part]:
    fan_in = shape.inputs
    for layer in range(1, spec.depth):
        kinds = {"batch": "BatchNorm1d", "layer": "LayerNorm"}
        norm = kinds.get(spec.normalisation)
        affine = Part(f"linear{layer}", "Linear", layer, (fan_in, spec.width))
        yield from _hidden(spec, layer, affine, Part(f"norm{layer}", norm, layer, (spec.width,)) if norm else None)
        fan_in = spec.width
    yield from _output(spec, fan_in, shape)


def _cnn(spec: Spec, shape: Shape) -> Iterator[Part]:
    yield Part("unflatten", "Unflatten", 0, (1, (1, _SIDE, _SIDE)))
    channels = 1
    for layer in range(1, spec.depth):
        norm = None
        if spec.normalisation == "batch":
            norm = Part(f"norm{layer}", "BatchNorm2d", layer, (spec.width,))
        elif spec.normalisation == "layer":  # over all of a sample, as LayerNorm does with a vector
            norm = Part(f"norm{layer}", "GroupNorm", layer, (1, spec.width))
        affine = Part(f"conv{layer}", "Conv2d", layer, (channels, spec.width, _KERNEL), (("padding", 1),))
        yield from _hidden(spec, layer, affine, norm)
        channels = spec.width
    yield Part("pool", "AvgPool2d", 0, (2,))
    yield Part("flatten", "Flatten", 0)
    yield from _output(spec, channels * (_SIDE // 2) ** 2, shape)


def _rnn(spec: Spec, shape: Shape) -> Iterator[Part]:
    steps, inputs = _sequence(shape)
    yield Part("unflatten", "Unflatten", 0, (1, (steps, inputs)))
    yield Part(
        "rnn",
        "RNN",
        1,
        (inputs, spec.width),
        (
            ("num_layers", spec.depth - 1),
            ("nonlinearity", spec.activation),
            ("batch_first", True),
            ("dropout", spec.dropout if spec.depth > 2 else 0.0),
        ),
    )
    yield Part("last_step", "LastStep", 0)
    yield from _output(spec, spec.width, shape)


def _sequence(shape: Shape) -> tuple[int, int]:
    """Steps of time and numbers at each: an image row by row, anything else number by number."""
    return (_SIDE, _SIDE) if shape.is_image else (shape.inputs, 1)


def _size(spec: Spec, shape: Shape) -> tuple[int, float]:
    """Parameters, and multiplications of a training step: three times those of the forward pass."""
    hidden, width = spec.depth - 1, spec.width
    if spec.preset == "cnn":
        first = _KERNEL**2 * width
        weights = (first + (hidden - 1) * first * width if hidden else 0) + 16 * (width if hidden else 1) * 10
        per_sample = (weights - 16 * width * 10) * _SIDE**2 + 16 * width * 10
    elif spec.preset == "rnn":
        steps, inputs = _sequence(shape)
        weights = hidden * 2 * width**2 + inputs * width + width * shape.outputs
        per_sample = weights * steps
    else:
        sizes = [shape.inputs, *[width] * hidden, shape.outputs]
        weights = sum(a * b for a, b in pairwise(sizes))
        per_sample = weights
    biases = hidden * width * (1 if spec.normalisation == "none" else 3) + shape.outputs
    return weights + biases, 3.0 * max(per_sample, 0) * spec.batch_size
