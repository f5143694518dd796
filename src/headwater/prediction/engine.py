"""Send what is known of the input through a model's operations, and a unit gradient back."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from headwater.prediction import averages, pooling, rules
from headwater.prediction.program import Names, Operation
from headwater.prediction.rules import Passed
from headwater.prediction.signal import Gradient, Signal, Unknown
from headwater.probes import classify
from headwater.records import InputError, Message, Site
from headwater.theory import ACTIVATIONS

DIRECTIONS = 32  # of the gradient at the output, whose mean squares are averaged

_SHAPE_MODULES = (nn.Flatten, nn.Unflatten, nn.Identity, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle)
_AVERAGING_MODULES = (
    *(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
_SHAPE_FUNCTIONS = {
    *("flatten", "reshape", "view", "permute", "transpose", "squeeze", "unsqueeze", "contiguous", "chunk", "split"),
    *("cat", "concat", "stack", "getitem", "expand", "narrow", "select", "swapaxes", "movedim", "unbind", "t", "roll"),
    *("pixel_shuffle", "pad", "clone", "float", "double", "flip", "unflatten"),
}
_AVERAGING_FUNCTIONS: dict[str, Any] = {
    "mean": None,
    "avg_pool1d": nn.AvgPool1d,
    "avg_pool2d": nn.AvgPool2d,
    "adaptive_avg_pool1d": nn.AdaptiveAvgPool1d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}
_REPEATING = ("nearest", "nearest-exact")  # modes of interpolation, each of whose outputs is one of the inputs
_SUMS = {"add": 1.0, "iadd": 1.0, "sub": -1.0, "isub": -1.0}


@dataclass(frozen=True)
class Gap:
    """Why nothing can be said behind an operation.

    Attributes:
        at: From the site's name to the sentence.
    """

    at: Callable[[str], Message]


@dataclass(eq=False)
class Visited:
    """A site, with what was found there."""

    site: Site
    signal: Signal | Unknown

    @property
    def is_curved(self) -> bool:
        """Whether it is an activation that treats long inputs otherwise than short ones."""
        return self.site.activation is not None and not ACTIVATIONS[self.site.activation].is_homogeneous


@dataclass(eq=False)
class Engine:
    """One walk through a program, forwards and back.

    Attributes:
        model: Whose program it is; its weights are read, nothing in it is changed.
        opaque: Modules that could not be followed, and why.
        visited: Sites in execution order.
        gaps: What nothing can be said behind.
        outputs: What the model returns.
    """

    model: nn.Module
    opaque: dict[str, str]
    visited: list[Visited] = field(default_factory=list)
    gaps: list[Message] = field(default_factory=list)
    outputs: list[Signal | Unknown] = field(default_factory=list)
    _tape: list[tuple[list[Signal], list[Signal], rules.Pull]] = field(default_factory=list)

    def forward(self, operations: list[Operation], inputs: list[Signal]) -> None:
        """Follow the operations.

        Raises:
            InputError: If the model takes other inputs, or its layers refuse their shapes.
        """
        names, values, waiting = Names(operations), dict[fx.Node, Any](), list(inputs)
        for operation in operations:
            node = operation.node
            if node.op == "placeholder":
                values[node] = self._input(node, waiting)
            elif node.op == "get_attr":
                values[node] = _attribute(self.model, str(node.target))
            elif node.op == "output":
                returned = _leaves(fx.node.map_arg(node.args, lambda n: values[n]))
                self.outputs = [value for value in returned if isinstance(value, (Signal, Unknown))]
            else:
                args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: values[n])
                values[node] = self._run(operation, args, kwargs, names)
        if waiting:
            raise InputError(
                f"{type(self.model).__name__} takes {len(inputs) - len(waiting)} inputs, got {len(inputs)} shapes."
            )

    def backward(self, seed: int = 0) -> Signal | None:
        """Send a gradient of rms 1 back from the last output, or from the last signal if none is known; gives it."""
        if not self._tape:
            return None
        made = [outputs[0] for outputs, _, _ in self._tape]
        known = [signal for signal in made if any(signal is output for output in self.outputs)]
        last = (known or made)[-1]
        last.gradient = Gradient(_directions(last.mean, seed), torch.zeros_like(last.mean))
        for outputs, inputs, pull in reversed(self._tape):
            gradients = [signal.gradient for signal in outputs]
            if not any(gradients):
                continue
            for signal, gradient in zip(inputs, pull(gradients), strict=True):
                signal.receive(gradient.normalised())
        return last

    def _input(self, node: fx.Node, waiting: list[Signal]) -> Any:
        if waiting:
            return waiting.pop(0)
        if node.args:
            return node.args[0]  # its default
        if str(node.target).startswith("*"):
            return {} if str(node.target).startswith("**") else ()
        raise InputError(
            f"the forward of {type(self.model).__name__} takes {node.target!r} too: give one shape per input, as in "
            "input_shape=[(3, 32, 32), (10,)]."
        )

    def _run(self, operation: Operation, args: Any, kwargs: Any, names: Names) -> Any:
        taken = _signals((args, kwargs))
        unknown = next((value for value in _leaves((args, kwargs)) if isinstance(value, Unknown)), None)
        kind, op, activation = _described(operation, args)
        if operation.name.startswith("_assert"):
            return None  # of torch.fx, that an argument has its default
        if not taken and unknown is None and operation.module is None:
            return _plainly(operation, args, kwargs)  # sizes and other numbers
        if unknown is None:
            try:
                passed = self._passed(operation, args, kwargs)
            except InputError:
                raise
            except Exception as error:
                raise InputError(_refused(operation, args, error)) from error
            if isinstance(passed, Gap):
                gap = passed.at(operation.owner or operation.name)
                self.gaps.append(gap)
                unknown = Unknown(gap)
        if unknown is not None:
            if kind is not None:
                self.visited.append(Visited(names.site(operation, op, kind, activation, ()), unknown))
            return unknown
        if not isinstance(passed, tuple):
            return passed
        outputs, pull, inputs = passed
        for signal in outputs:
            signal.is_trained = any(s.is_trained for s in inputs) or _has_parameters(operation, args)
        self._tape.append((outputs, inputs, pull))
        if kind is not None:
            shape = tuple(outputs[0].mean.shape)
            self.visited.append(Visited(names.site(operation, op, kind, activation, shape), outputs[0]))
        return outputs[0] if len(outputs) == 1 and not _gives_tuple(operation) else tuple(outputs)

    def _passed(self, operation: Operation, args: Any, kwargs: Any) -> Any:
        """Outputs, pull and inputs; or why nothing can be said."""
        if operation.module is not None:
            if operation.owner in self.opaque:
                why = self.opaque[operation.owner]
                return Gap(lambda site: Message("gap.not_predictable", {"site": site, "why": why}))
            if len(args) != 1 or not isinstance(args[0], Signal):
                return Gap(lambda site: Message("gap.takes_more", {"site": site}))
            result = _through_module(operation.module, args[0])
            return result if isinstance(result, Gap) else (*result, [args[0]])
        return _through_function(operation, args, kwargs)


def _directions(output: Tensor, seed: int) -> Tensor:
    """Gradients of rms 1 at the output, in all directions alike: along each axis, or drawn where there are many."""
    if output.numel() <= DIRECTIONS:
        axes = torch.eye(output.numel(), dtype=torch.float64) * math.sqrt(output.numel())
        return axes.reshape(-1, *output.shape)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(DIRECTIONS, *output.shape, generator=generator, dtype=torch.float64)
    return drawn / drawn.square().mean().sqrt()


def _through_module(module: nn.Module, x: Signal) -> Passed | Gap:
    activation = classify.activation_of(module)
    if activation is not None:
        return rules.elementwise(activation, x, classify.activation_parameters(activation, module))
    if isinstance(module, nn.Linear):
        return rules.dense(module.weight, module.bias, x)
    if isinstance(module, _ConvNd):
        return rules.linear(*rules.convolution(module), [x], module.out_channels)
    if isinstance(module, _SHAPE_MODULES):
        return rules.shape_only(module, [x])
    if isinstance(module, _AVERAGING_MODULES):
        return rules.averaging(module, x, averages.weights(module, x.mean))
    if isinstance(module, nn.Upsample) and module.mode in _REPEATING:
        return _repeated(module, x)
    if isinstance(module, (nn.AlphaDropout, nn.FeatureAlphaDropout)):
        return rules.alpha_dropped(x, module.p) if module.training else rules.shape_only(lambda v: v, [x])
    if isinstance(module, (nn.Dropout, _DropoutNd)):
        return rules.dropped(x, module.p) if module.training else rules.shape_only(lambda v: v, [x])
    if isinstance(module, (_BatchNorm, nn.InstanceNorm1d, nn.InstanceNorm2d)):
        return _batch_norm(module, x)
    if isinstance(module, nn.LayerNorm):
        axes = tuple(range(-len(module.normalized_shape), 0))
        return rules.normalised(x, axes, module.eps, _double(module.weight), _double(module.bias), centred=True)
    if isinstance(module, nn.RMSNorm):
        axes = tuple(range(-len(module.normalized_shape), 0))
        eps = torch.finfo(torch.float32).eps if module.eps is None else module.eps
        return rules.normalised(x, axes, eps, _double(module.weight), None, centred=False)
    if isinstance(module, nn.GroupNorm):
        return _group_norm(module, x)
    windows = pooling.windows_of(module)
    if windows is not None:
        shape = module(x.mean).shape
        return pooling.max_pooled(windows, lambda values: values.reshape(shape), x)
    return _no_rule(classify.module_type(module).__name__)


def _no_rule(op: str) -> Gap:
    return Gap(lambda site: Message("gap.no_rule", {"site": site, "op": op}))


def _repeated(repeat: Callable[[Tensor], Tensor], x: Signal) -> Passed:
    """A map whose outputs are each one of the inputs: it is its own square."""
    return rules.linear(repeat, repeat, [x])


def _batch_norm(module: Any, x: Signal) -> Passed:
    weight, bias = (rules.channels_first(v, x.mean) for v in (module.weight, module.bias))
    if isinstance(module, _BatchNorm) and not module.training and module.running_var is not None:
        factor = (rules.channels_first(module.running_var, x.mean) + module.eps).rsqrt()
        factor = factor if weight is None else factor * weight
        mean = (x.mean - rules.channels_first(module.running_mean, x.mean)) * factor
        return rules.scaled(x, mean if bias is None else mean + bias, factor.expand(x.mean.shape))
    positions = tuple(range(2, x.mean.dim()))
    axes = (0, *positions) if isinstance(module, _BatchNorm) else positions
    return rules.normalised(x, axes, module.eps, weight, bias, centred=True)


def _group_norm(module: nn.GroupNorm, x: Signal) -> Passed:
    shape = x.mean.shape
    grouped = x.like(*(v.reshape(1, module.num_groups, -1) for v in (x.mean, x.variance)))
    whole = x.like(x.mean, x.variance)
    centre = grouped.mean.mean(2, keepdim=True)
    spread = grouped.square.mean(2, keepdim=True) - centre.square()
    factor = (spread.clamp(min=0) + module.eps).rsqrt().expand(grouped.mean.shape).reshape(shape)
    middle = centre.expand(grouped.mean.shape).reshape(shape)
    weight, bias = (rules.channels_first(v, x.mean) for v in (module.weight, module.bias))
    factor = factor if weight is None else factor * weight
    mean = (x.mean - middle) * factor
    return rules.scaled(whole, mean if bias is None else mean + bias, factor)


def _through_function(operation: Operation, args: Any, kwargs: Any) -> Any:
    name = operation.name.strip("_")
    taken = _signals((args, kwargs))
    first = args[0] if args else None
    activation = classify.functional_activation(type(name, (), {}))
    if activation is not None and isinstance(first, Signal):
        return (*rules.elementwise(activation, first, classify.call_parameters(activation, args, kwargs)), [first])
    if name in ("size", "dim", "numel", "getattr", "ndimension"):
        return _plainly(operation, _means(args), kwargs)
    if name in _SHAPE_FUNCTIONS:
        call = _call_of(operation)
        return (*rules.shape_only(lambda *v: call(*_filled(args, v), **kwargs), taken), taken)
    if name in _AVERAGING_FUNCTIONS and isinstance(first, Signal):
        call, module = _call_of(operation), _AVERAGING_FUNCTIONS[name]
        weights = None if module is None else averages.weights(module(*args[1:], **kwargs), first.mean)
        return (*rules.averaging(lambda v: call(v, *args[1:], **kwargs), first, weights), [first])
    if name == "interpolate" and isinstance(first, Signal) and kwargs.get("mode", "nearest") in _REPEATING:
        call = _call_of(operation)
        return (*_repeated(lambda v: call(v, *args[1:], **kwargs), first), [first])
    if name in ("matmul", "mm") and isinstance(first, Signal) and _is_matrix(args[1]):
        return (*rules.dense(args[1].T, None, first), [first])
    if name in _SUMS and len(args) == 2:
        return _sum(args, _SUMS[name])
    if name in ("mul", "imul", "truediv", "div", "neg") and isinstance(first, (Signal, Tensor, int, float)):
        return _scaled_or_product(name, args)
    if name in ("pow", "square") and isinstance(first, Signal) and (name == "square" or args[1:] == (2,)):
        return (*rules.squared(first), [first])
    if name == "linear" and isinstance(first, Signal) and isinstance(args[1], Tensor):
        bias = args[2] if len(args) > 2 else kwargs.get("bias")
        return (*rules.dense(args[1], bias, first), [first])
    if name == "dropout" and isinstance(first, Signal):
        p = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
        training = kwargs.get("training", args[2] if len(args) > 2 else True)
        dropped = rules.dropped(first, p) if training else rules.shape_only(lambda v: v, [first])
        return (*dropped, [first])
    if name in ("max_pool2d", "max_pool1d") and isinstance(first, Signal):
        module = (nn.MaxPool2d if name == "max_pool2d" else nn.MaxPool1d)(*args[1:], **kwargs)
        passed = _through_module(module, first)
        return passed if isinstance(passed, Gap) else (*passed, [first])
    return _no_rule(f"{name}()")


def _sum(args: Any, sign: float) -> Any:
    left, right = args
    if isinstance(left, Signal) and left is right:
        return (*rules.multiplied(left, 1.0 + sign), [left])
    if isinstance(left, Signal) and isinstance(right, Signal):
        return (*rules.total(left, right, sign), [left, right])
    signal, constant = (left, right) if isinstance(left, Signal) else (right, left)
    constant = constant.detach().double() if isinstance(constant, Tensor) else constant
    own, other = (1.0, sign) if isinstance(left, Signal) else (sign, 1.0)
    zero = constant * 0 if isinstance(constant, Tensor) else 0.0
    outputs, pull = rules.linear(lambda a: own * a + other * constant, lambda a: a + zero, [signal])
    if outputs[0].mean.shape == signal.mean.shape:
        outputs[0].terms = signal.parts(own)
    return outputs, pull, [signal]


def _scaled_or_product(name: str, args: Any) -> Any:
    if name == "neg":
        return (*rules.multiplied(args[0], -1.0), [args[0]])
    left, right = args
    if isinstance(left, Signal) and isinstance(right, Signal):
        if name in ("truediv", "div"):
            return Gap(lambda site: Message("gap.divides", {"site": site}))
        if left is right:
            return (*rules.squared(left), [left])
        return (*rules.product(left, right), [left, right])
    signal, constant = (left, right) if isinstance(left, Signal) else (right, left)
    if not isinstance(constant, (Tensor, int, float)) or (name in ("truediv", "div") and signal is right):
        return Gap(lambda site: Message("gap.no_constant", {"site": site}))
    factor = constant.detach().double() if isinstance(constant, Tensor) else float(constant)
    factor = 1 / factor if name in ("truediv", "div") else factor
    return (*rules.multiplied(signal, factor), [signal])


def _described(operation: Operation, args: Any) -> tuple[Any, str, str | None]:
    """Kind, op and activation of the site an operation is; no kind if it is none."""
    if operation.module is not None:
        activation = classify.activation_of(operation.module)
        return classify.module_kind(operation.module), operation.name, activation.id if activation else None
    name = operation.name.strip("_")
    activation = classify.functional_activation(type(name, (), {}))
    if activation is not None:
        return "activation", name, activation.id
    both = len(args) == 2 and all(
        isinstance(value, Unknown) or (isinstance(value, Signal) and value.is_trained) for value in args
    )
    if name in ("add", "iadd") and both and args[0] is not args[1]:
        return "join", "add", None
    return None, name, None


def _has_parameters(operation: Operation, args: Any) -> bool:
    own = operation.module is not None and any(True for _ in operation.module.parameters())
    return own or any(isinstance(value, nn.Parameter) for value in _leaves(args))


def _refused(operation: Operation, args: Any, error: Exception) -> str:
    signals = _signals(args)
    shapes = ", ".join(str(list(signal.mean.shape[1:])) for signal in signals)
    where = f"{operation.owner!r} ({operation.name})" if operation.owner else operation.name
    reason = (str(error).splitlines() or [""])[0]
    taken = _taken(operation.module, signals[0]) if len(signals) == 1 else ""
    return (
        f"{where} does not take an input of shape {shapes}: {reason.rstrip('.')}."
        + (f" It would take {taken}." if taken else "")
        + " input_shape is the shape of one sample, without the batch."
    )


def _taken(module: nn.Module | None, signal: Signal) -> str:
    """A shape that a layer takes, as near to the given one as can be; nothing if it is no such layer."""
    given = tuple(signal.mean.shape[1:])
    if isinstance(module, nn.Linear):
        return str((*given[:-1], module.in_features) if len(given) < 3 else (module.in_features,))
    if isinstance(module, _ConvNd):
        dimensions = module.weight.dim() - 2
        return str((module.in_channels, *(given[-dimensions:] if len(given) >= dimensions else (32,) * dimensions)))
    return ""


def _plainly(operation: Operation, args: Any, kwargs: Any) -> Any:
    return _call_of(operation)(*args, **kwargs)


def _call_of(operation: Operation) -> Callable[..., Any]:
    node = operation.node
    if node.op == "call_method":
        return lambda x, *rest, **named: getattr(x, str(node.target))(*rest, **named)
    target: Callable[..., Any] = node.target if callable(node.target) else operator.getitem
    return target


def _attribute(model: nn.Module, path: str) -> Any:
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _gives_tuple(operation: Operation) -> bool:
    return operation.name in ("chunk", "split", "unbind")


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, (tuple, list)):
        return [leaf for item in value for leaf in _leaves(item)]
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    return [value]


def _signals(value: Any) -> list[Signal]:
    return [leaf for leaf in _leaves(value) if isinstance(leaf, Signal)]


def _means(value: Any) -> Any:
    return _filled(value, tuple(signal.mean for signal in _signals(value)))


def _filled(value: Any, tensors: tuple[Tensor, ...]) -> Any:
    """The same structure with tensors in the places of the signals, in their order."""
    left = list(tensors)

    def fill(part: Any) -> Any:
        if isinstance(part, Signal):
            return left.pop(0)
        if isinstance(part, (tuple, list)):
            return type(part)(fill(item) for item in part)
        return part

    return fill(value)


def _is_matrix(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dim() == 2


def _double(values: Any) -> Any:
    return None if values is None else values.detach().double()
