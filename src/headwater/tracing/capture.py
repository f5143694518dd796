"""One forward pass of a copy, written down: each operation with its values and its place in the autograd graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from headwater.probes import classify
from headwater.probes.tree import main_tensor, tensors
from headwater.records import SiteKind
from headwater.theory import Activation

# Functions that hand on their input's elements, each once: what follows takes their part of the way.
_RESHAPING = frozenset(
    (
        *("view", "view_as", "reshape", "reshape_as", "ravel", "flatten", "unflatten", "squeeze", "squeeze_"),
        *("unsqueeze", "unsqueeze_", "permute", "transpose", "transpose_", "swapaxes", "movedim", "t"),
        *("contiguous", "clone", "to", "type", "double", "float", "requires_grad_", "__get__", "__set__"),
    )
)
_DETACHING = frozenset(("detach", "detach_", "item", "tolist", "numpy", "__array__", "__get__"))
_AFFINE = ("linear", "bilinear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "einsum", "mv")
_RESHAPING_MODULES = frozenset({"Flatten", "Unflatten", "Identity"})
_LEAF_PACKAGES = ("torch.", "transformers.", "timm.", "diffusers.")
MOST_KEPT = 65_536  # elements; the values of larger tensors are nobody's to read, only their finiteness


@dataclass(eq=False)
class Operation:
    """One operation of a forward pass.

    Attributes:
        name: As ``named_modules()`` names the module; a function adds its own name and number (``block/relu#1``).
        op: Class name of the module, or name of the function.
        kind: What sort of operation it is.
        module: The module, ``None`` for a function.
        activation: The known activation it computes.
        parameters: The slopes or bounds that activation used.
        part: ``loss`` for what runs outside the model.
        source: Where its input stands in the graph; ``None`` for one that needs no gradient.
        edge: Where its output stands in the graph.
        x: Its input's values, ``None`` if there are too many.
        y: Its output's values.
        shape: Of its output.
    """

    name: str
    op: str
    kind: SiteKind
    module: nn.Module | None
    activation: Activation | None
    parameters: dict[str, Any]
    part: str
    source: GradientEdge | None
    edge: GradientEdge
    x: Tensor | None
    y: Tensor | None
    shape: torch.Size


@dataclass(frozen=True)
class Narrowed:
    """Where numbers have become less precise than the model's.

    Attributes:
        name: Of the operation.
        op: Class name of the module, or name of the function.
        dtype: Of its output.
    """

    name: str
    op: str
    dtype: torch.dtype


@dataclass(eq=False)
class Capture:
    """What one forward pass showed.

    Attributes:
        model: A copy that may be hooked.
        operations: In execution order.
        input: The leaf tensor the model was called with, ``None`` where its input is no floating-point tensor.
        output: Where the model's output stands in the graph.
        cut_off: Operations that took a tensor with a graph and gave numbers without one, as ``argmax`` does.
        without_derivative: Those of them that were not asked to, as ``detach`` and ``no_grad`` are.
        own_backwards: Operations with a backward of their own, which need not be their derivative.
        narrowed: The first operation whose numbers are of another type than the model's, as ``.float()`` makes them.
        nonfinite: The first operation that made NaN or Inf out of finite numbers.
        innermost: Name and module that were running when an exception ended the pass.
    """

    model: nn.Module
    operations: list[Operation] = field(default_factory=list)
    input: Tensor | None = None
    output: Tensor | None = None
    cut_off: list[str] = field(default_factory=list)
    without_derivative: list[str] = field(default_factory=list)
    own_backwards: list[str] = field(default_factory=list)
    narrowed: Narrowed | None = None
    nonfinite: str | None = None
    innermost: tuple[str, nn.Module] | None = None
    _names: dict[int, str] = field(default_factory=dict)
    _stack: list[tuple[str, nn.Module]] = field(default_factory=list)
    _leaf_depth: int = 0
    _before: list[tuple[Tensor | None, GradientEdge | None]] = field(default_factory=list)
    _calls: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def following(self) -> Iterator[Capture]:
        """Write down what runs inside; the hooks go away with the block."""
        self._names = {id(module): name for name, module in reversed(list(self.model.named_modules()))}
        handles = []
        for module in self.model.modules():
            handles.append(module.register_forward_pre_hook(self._enter, with_kwargs=True))
            handles.append(module.register_forward_hook(self._leave, with_kwargs=True, always_call=True))
        try:
            with _Functions(self):
                yield self
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if module is self.model and not self._stack and self.input is None:
            args, kwargs = self._with_leaf(args, kwargs)
        self._stack.append((self._names.get(id(module), ""), module))
        if self._leaf_depth or _is_leaf(module):
            self._leaf_depth += 1
            if self._leaf_depth == 1:
                x = main_tensor((*args, *kwargs.values()))
                self._before.append((_kept(x), _edge(x)))
        return args, kwargs

    def _leave(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        failed = result is None
        if failed and self.innermost is None:
            self.innermost = self._stack[-1]
        self._stack.pop()
        if self._leaf_depth:
            self._leaf_depth -= 1
            if not self._leaf_depth:
                x, source = self._before.pop()
                if not failed:
                    self._note_module(module, x, source, main_tensor(result))
        if module is self.model and not self._stack:
            self.output = main_tensor(result)

    def _with_leaf(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with the first floating-point tensor made a leaf that asks for a gradient."""

        def leaf(value: Any) -> Any:
            if self.input is None and isinstance(value, Tensor) and value.is_floating_point():
                self.input = value.detach().requires_grad_()
                return self.input
            if self.input is None and type(value) in (tuple, list):
                return type(value)(leaf(item) for item in value)
            return value

        return tuple(leaf(value) for value in args), {key: leaf(value) for key, value in kwargs.items()}

    def _note_module(self, module: nn.Module, x: Tensor | None, source: GradientEdge | None, y: Tensor | None) -> None:
        op = classify.module_type(module).__name__
        if op in _RESHAPING_MODULES:
            return
        activation = classify.activation_of(module)
        parameters = classify.activation_parameters(activation, module) if activation else {}
        name = self._names.get(id(module), "")
        self._add(name or op, op, classify.module_kind(module), module, activation, parameters, x, source, y)

    def note_function(self, function: Any, args: Any, before: tuple[Any, Any, bool], result: Any) -> None:
        """A torch function has run outside every leaf module."""
        x, source, had_graph = before
        op = getattr(function, "__name__", "")
        owner = self._stack[-1][0] if self._stack else ""
        y = main_tensor(result)
        if had_graph and (y is None or not y.requires_grad):
            if op not in _DETACHING and next(tensors(result), None) is None:
                return  # a question about it, such as its size
            name = f"{owner}/{op}" if owner else op
            self.cut_off.append(name)
            if torch.is_grad_enabled() and op not in _DETACHING:
                self.without_derivative.append(name)
            return
        if y is None or not had_graph:
            return
        self._note_type(f"{owner}/{op}" if owner else op, op, y)
        if op in _RESHAPING:
            return
        activation = classify.functional_activation(function)
        parameters = classify.call_parameters(activation, args[0], args[1]) if activation else {}
        kind: SiteKind = "activation" if activation else _function_kind(op, args)
        self._add(f"{owner}/{op}" if owner else op, op, kind, None, activation, parameters, x, source, y)

    def _add(
        self,
        name: str,
        op: str,
        kind: SiteKind,
        module: nn.Module | None,
        activation: Activation | None,
        parameters: dict[str, Any],
        x: Tensor | None,
        source: GradientEdge | None,
        y: Tensor | None,
    ) -> None:
        edge = _edge(y)
        if y is None or edge is None:
            return
        self._note_finiteness(name, op, y)
        self._note_type(name, op, y)
        if source is not None and edge.node is source.node:
            return  # it handed on its input: an Identity, a dropout that is off
        self._calls[name] += 1
        call = self._calls[name]
        part = "model" if self._stack or module is self.model else "loss"
        is_numbered = call > 1 or (module is None and part == "model")  # as sites are
        self.operations.append(
            Operation(
                name=f"{name}#{call}" if is_numbered else name,
                op=op,
                kind=kind,
                module=module,
                activation=activation,
                parameters=parameters,
                part=part,
                source=source,
                edge=edge,
                x=x,
                y=_kept(y),
                shape=y.shape,
            )
        )

    def note_own_backwards(self, nodes: Iterable[Any]) -> None:
        """Nodes of ``torch.autograd.Function``s, which no torch function stands for, become operations as well."""
        known = {operation.edge.node for operation in self.operations}
        for node in nodes:
            if not _is_users(node) or node in known:
                continue
            op = type(node).__name__.removesuffix("Backward")
            self._calls[op] += 1
            edge, shape = GradientEdge(node, 0), node._input_metadata[0].shape
            name = f"{op}#{self._calls[op]}"
            self.own_backwards.append(name)
            self.operations.append(
                Operation(name, op, "other", None, None, {}, "model", None, edge, None, None, torch.Size(shape))
            )

    def _note_type(self, name: str, op: str, y: Tensor) -> None:
        own = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), y.dtype)
        if self.narrowed is None and y.is_floating_point() and torch.finfo(y.dtype).eps > torch.finfo(own).eps:
            self.narrowed = Narrowed(name, op, y.dtype)

    def _note_finiteness(self, name: str, op: str, y: Tensor) -> None:
        if self.nonfinite is None and not bool(torch.isfinite(y.detach()).all()):
            self.nonfinite = f"{name} ({op})" if name != op else op


class _Functions(TorchFunctionMode):
    """Sees every torch function, and tells of those that no leaf module stands for."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._capture._leaf_depth:
            return func(*args, **kwargs)
        inputs = [tensor for tensor in tensors((args, kwargs)) if tensor.requires_grad]
        first = inputs[0] if inputs else None
        before = _kept(first), _edge(first), bool(inputs)
        result = func(*args, **kwargs)
        self._capture.note_function(func, (args, kwargs), before, result)
        return result


def _is_users(node: Any) -> bool:
    """Whether it is the backward of a ``torch.autograd.Function``."""
    return isinstance(node, BackwardCFunction)


def _is_leaf(module: nn.Module) -> bool:
    """Whether it is one operation of a library's, which no one needs to see inside."""
    return classify.module_type(module).__module__.startswith(_LEAF_PACKAGES) and not classify.is_container(module)


def _function_kind(op: str, args: Any) -> SiteKind:
    if op in classify.JOINS or op == "add_":
        return "join" if sum(tensor.requires_grad for tensor in tensors(args)) > 1 else "other"
    if op.startswith("conv") or op in _AFFINE:
        return "affine"
    kinds: tuple[tuple[str, SiteKind], ...] = (
        ("pool", "pooling"),
        ("norm", "normalization"),
        ("embedding", "embedding"),
        ("attention", "attention"),
    )
    return next((kind for part, kind in kinds if part in op), "other")


def _kept(tensor: Tensor | None) -> Tensor | None:
    """Its values as they are now; an operation in place may overwrite them."""
    if tensor is None or tensor.numel() > MOST_KEPT or not tensor.is_floating_point():
        return None
    with torch._C.DisableTorchFunction():
        return tensor.detach().clone()


def _edge(tensor: Tensor | None) -> GradientEdge | None:
    if tensor is None or not tensor.requires_grad:
        return None
    with torch._C.DisableTorchFunction():
        return get_gradient_edge(tensor)


def forward(model: nn.Module, run: Callable[[], Tensor]) -> tuple[Capture, Tensor | None, Exception | None]:
    """Run once under a capture; an exception is handed back with how far it came."""
    capture = Capture(model)
    with capture.following():
        try:
            return capture, run(), None
        except Exception as error:
            return capture, None, error
