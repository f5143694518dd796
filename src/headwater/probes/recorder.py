"""Follow one forward pass: every leaf module and functional activation becomes a site, in execution order."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from headwater.kernels import generic
from headwater.probes import classify
from headwater.probes.activation_state import ActivationState, activation_state
from headwater.probes.names import clean
from headwater.probes.tree import main_tensor, tensors
from headwater.records import Moments, SiteKind


@dataclass
class GradientSink:
    """Takes the gradients that arrive at one tensor during the backward pass; keeps their moments only."""

    moments: Moments | None = None

    def __call__(self, gradient: Tensor) -> None:
        self.moments = (self.moments or Moments()).merge(generic.moments(gradient))


@dataclass
class SiteRecord:
    """What a site showed, while the step is still running. Holds numbers and graph nodes, never a tensor."""

    module_name: str
    op: str
    kind: SiteKind
    call: int
    functional: bool
    parameters: tuple[str, ...]
    activation_id: str | None
    shape: tuple[int, ...]
    dtype: str
    activation: Moments
    input: Moments | None
    state: ActivationState | None
    abs_cosine: float | None
    effective_rank: float | None
    weight_gain: float | None
    out_node: Any
    in_nodes: tuple[Any, ...]
    activation_grad: GradientSink
    input_grad: GradientSink

    @property
    def base_name(self) -> str:
        """The site's name without the number of the call."""
        if not self.functional:
            return self.module_name or self.op
        return f"{self.module_name}/{self.op}" if self.module_name else self.op


@dataclass(frozen=True)
class _Measured:
    """What is known of one tensor, and the sink its gradient will arrive in."""

    moments: Moments
    gradient: GradientSink


@dataclass
class _Frame:
    """One running module call."""

    module: nn.Module
    called_child: bool = False
    input: Tensor | None = None
    measured: _Measured | None = None
    in_nodes: tuple[Any, ...] = ()
    state: ActivationState | None = None


class Recorder(TorchFunctionMode):
    """Records the sites of the forward passes that run inside ``with Recorder(model):``.

    Hooks are there inside the block only, whatever happens in it. Gradients arrive later, through tensor hooks on the
    outputs: full backward hooks would raise on in-place activations.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.sites: list[SiteRecord] = []
        self._names = {id(module): clean(name) for name, module in model.named_modules()}
        self._model = model
        self._frames: list[_Frame] = []
        self._failed: nn.Module | None = None
        self._calls: Counter[tuple[str, str]] = Counter()
        self._handles: list[RemovableHandle] = []
        self._tensor_handles: list[RemovableHandle] = []
        self._known: dict[int, tuple[weakref.ref[Tensor], int, _Measured]] = {}
        self._unit_axis = -1

    @property
    def innermost(self) -> nn.Module | None:
        """The module that is running, or was when an exception ended the pass."""
        return self._failed or (self._frames[-1].module if self._frames else None)

    def name_of(self, module: nn.Module) -> str:
        """The module's name in the model; the model itself is called by its class."""
        return self._names[id(module)] or type(module).__name__

    def __enter__(self) -> Recorder:
        for module in classify.operations(self._model):
            self._handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
            # Called after an exception too, with no output: a model that catches it goes on in the right frame.
            self._handles.append(module.register_forward_hook(self._after, with_kwargs=True, always_call=True))
        super().__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        super().__exit__(*exc_info)

    def detach(self) -> None:
        """Take the tensor hooks off; a batch or a parameter that was an input would keep its own for ever."""
        for handle in self._tensor_handles:
            handle.remove()
        self._tensor_handles.clear()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        activation = classify.functional_activation(func)
        x = args[0] if args else kwargs.get("input")
        if activation is None or not self._in_user_code() or not isinstance(x, Tensor) or not x.is_floating_point():
            return func(*args, **kwargs)
        frame = _Frame(self._frames[-1].module)
        self._note_input(frame, x)
        parameters = classify.call_parameters(activation, args, kwargs)
        frame.state = activation_state(activation, x, parameters, self._unit_axis)
        output = func(*args, **kwargs)
        op = func.__name__.rstrip("_")
        self._add(frame, op, "activation", output, functional=True, activation_id=activation.id)
        return output

    def _in_user_code(self) -> bool:
        """Whether a function called now is a site of its own; torch's leaf modules and known activations are one."""
        if not self._frames:
            return False
        module = self._frames[-1].module
        of_torch = classify.module_type(module).__module__.startswith("torch.nn.")
        return classify.activation_of(module) is None and (not of_torch or classify.is_container(module))

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._frames:
            self._frames[-1].called_child = True
        frame = _Frame(module)
        self._frames.append(frame)
        x = main_tensor((args, kwargs))
        if x is None or classify.is_container(module):
            frame.in_nodes = _nodes((args, kwargs))
            return
        self._note_input(frame, x)
        frame.in_nodes = _nodes((args, kwargs))
        activation = classify.activation_of(module)
        if activation is not None:
            parameters = classify.activation_parameters(activation, module)
            frame.state = activation_state(activation, x, parameters, self._unit_axis)

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        frame = self._pop(module)
        self._failed = (self._failed or module) if output is None else None
        if frame is None or frame.called_child:
            return
        activation = classify.activation_of(module)
        self._add(
            frame,
            classify.module_type(module).__name__,
            classify.module_kind(module),
            output,
            functional=False,
            activation_id=activation.id if activation else None,
        )

    def _pop(self, module: nn.Module) -> _Frame | None:
        """The frame of ``module``; frames above it belong to calls that ended in an exception the user caught."""
        while self._frames:
            frame = self._frames.pop()
            if frame.module is module:
                return frame
        return None

    def _note_input(self, frame: _Frame, x: Tensor) -> None:
        """Measure the input now: an in-place operation will have overwritten it when the output is there."""
        frame.measured = self._measure(x)
        frame.input = x
        frame.in_nodes = (x.grad_fn,) if x.grad_fn is not None else ()

    def _measure(self, tensor: Tensor) -> _Measured:
        """Moments and gradient of a tensor; measured once, though it is one site's output and the next one's input.

        A tensor that was changed in place since, which its version tells, is another one.
        """
        version = -1 if tensor.is_inference() else tensor._version
        known = self._known.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == version >= 0:
            return known[2]
        measured = _Measured(generic.moments(tensor), GradientSink())
        self._known[id(tensor)] = weakref.ref(tensor), version, measured
        if tensor.requires_grad and torch.is_grad_enabled():
            self._tensor_handles.append(tensor.register_hook(measured.gradient))
        return measured

    def _add(
        self, frame: _Frame, op: str, kind: SiteKind, output: Any, functional: bool, activation_id: str | None
    ) -> None:
        y = main_tensor(output)
        x, frame.input = frame.input, None
        if y is None:
            return
        module = frame.module
        name = self._names[id(module)]
        key = (name, op if functional else "")
        self._calls[key] += 1
        if kind == "affine":
            self._unit_axis = 1 if classify.is_convolution(module) else -1
        abs_cosine, effective_rank = _collapse(y)
        measured = self._measure(y)
        record = SiteRecord(
            module_name=name,
            op=op,
            kind=kind,
            call=self._calls[key],
            functional=functional,
            parameters=() if functional else self._own_parameters(module),
            activation_id=activation_id,
            shape=tuple(y.shape),
            dtype=str(y.dtype).removeprefix("torch."),
            activation=measured.moments,
            input=frame.measured.moments if frame.measured else None,
            state=frame.state.with_output(y) if frame.state else None,
            abs_cosine=abs_cosine,
            effective_rank=effective_rank,
            weight_gain=classify.weight_gain(module, x, y) if kind == "affine" and x is not None else None,
            out_node=y.grad_fn,
            in_nodes=frame.in_nodes,
            activation_grad=measured.gradient,
            input_grad=frame.measured.gradient if frame.measured else GradientSink(),
        )
        self.sites.append(record)

    def _own_parameters(self, module: nn.Module) -> tuple[str, ...]:
        """Its parameters, those of children it never calls included: attention multiplies by ``out_proj`` itself."""
        prefix = self._names[id(module)]
        return tuple(f"{prefix}.{name}" if prefix else name for name, _ in module.named_parameters())


def _collapse(y: Tensor) -> tuple[float | None, float | None]:
    if y.dim() < 2 or y.shape[0] < 2 or y.is_complex():
        return None, None
    return generic.collapse(y.detach().reshape(len(y), -1))


def _nodes(value: Any) -> tuple[Any, ...]:
    return tuple(t.grad_fn for t in tensors(value) if t.grad_fn is not None)
