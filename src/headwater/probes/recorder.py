"""Follow one forward pass: every leaf module and functional activation becomes a site, in execution order."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
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
from headwater.records.site import Scalar
from headwater.theory import Activation

CONVOLUTION_RANK = 4  # of (batch, channels, height, width)


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
    activation_parameters: dict[str, Scalar]
    shape: tuple[int, ...]
    dtype: str
    activation: Moments
    input: Moments | None
    state: ActivationState | None
    abs_cosine: float | None
    effective_rank: float | None
    weight_gain: float | None
    out_nodes: tuple[Any, ...]
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
    parameters: dict[str, Scalar] = field(default_factory=dict)
    failed: bool = False


class Recorder(TorchFunctionMode):
    """Records the sites of the forward passes that run inside ``with Recorder(model):``.

    Hooks are there inside the block only, whatever happens in it. Gradients arrive later, through tensor hooks on the
    outputs: full backward hooks would raise on in-place activations.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.sites: list[SiteRecord] = []
        self.failures: dict[str, str] = {}
        self._names = {id(module): clean(name) for name, module in model.named_modules()}
        self._model = model
        self._frames: list[_Frame] = []
        self._failed: nn.Module | None = None
        self._calls: Counter[tuple[str, str]] = Counter()
        self._handles: list[RemovableHandle] = []
        self._tensor_handles: list[RemovableHandle] = []
        self._known: dict[int, tuple[weakref.ref[Tensor], int, _Measured]] = {}
        self._unit_axis: dict[int, int] = {}

    @property
    def innermost(self) -> nn.Module | None:
        """The module that is running, or was when an exception ended the pass."""
        return self._failed or (self._frames[-1].module if self._frames else None)

    def name_of(self, module: nn.Module) -> str:
        """The module's name in the model; the model itself is called by its class."""
        return self._names[id(module)] or type(module).__name__

    def __enter__(self) -> Recorder:
        try:
            for module in classify.operations(self._model):
                self._handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
                # Called after an exception too, with no output: a model that catches it goes on in the right frame.
                self._handles.append(module.register_forward_hook(self._after, with_kwargs=True, always_call=True))
        except BaseException:
            self._unhook()
            raise
        super().__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._unhook()
        super().__exit__(*exc_info)

    def _unhook(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

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
        parameters = classify.call_parameters(activation, args, kwargs)
        self._try(frame, self._note_function, frame, activation, x, parameters)
        output = func(*args, **kwargs)
        self._try(frame, self._add, frame, func.__name__.rstrip("_"), "activation", output, True, activation.id)
        return output

    def _note_function(self, frame: _Frame, activation: Activation, x: Tensor, parameters: dict[str, Any]) -> None:
        self._note_input(frame, x)
        self._note_activation(frame, activation, x, parameters)

    def _try(self, frame: _Frame, work: Callable[..., None], *arguments: Any) -> None:
        """Our own work inside the user's forward: its torch calls are no sites, its errors no concern of the user's.

        What cannot be measured (a tensor under ``vmap``, a jagged one) is skipped, and the flow records the gap.
        """
        if frame.failed:
            return
        try:
            with torch._C.DisableTorchFunction():
                work(*arguments)
        except Exception as error:
            frame.failed = True
            reason = (str(error).splitlines() or [""])[0]
            self.failures.setdefault(self.name_of(frame.module), f"{type(error).__name__}: {reason}")

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
        self._try(frame, self._note_call, frame, args, kwargs)

    def _note_call(self, frame: _Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        x = main_tensor((args, kwargs))
        if x is not None and not classify.is_container(frame.module):
            self._note_input(frame, x)
            activation = classify.activation_of(frame.module)
            if activation is not None:
                parameters = classify.activation_parameters(activation, frame.module)
                self._note_activation(frame, activation, x, parameters)
        frame.in_nodes = _nodes((args, kwargs))

    def _after(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        frame = self._pop(module)
        self._failed = (self._failed or module) if output is None else None
        if frame is None or frame.called_child:
            return
        self._try(frame, self._note_output, frame, output)

    def _note_output(self, frame: _Frame, output: Any) -> None:
        activation = classify.activation_of(frame.module)
        self._add(
            frame,
            classify.module_type(frame.module).__name__,
            classify.module_kind(frame.module),
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

    def _note_activation(self, frame: _Frame, activation: Activation, x: Tensor, parameters: dict[str, Any]) -> None:
        """Its state, with units where the last affine map of this rank put them; else where convolutions have them."""
        axis = self._unit_axis.get(x.dim(), 1 if x.dim() >= CONVOLUTION_RANK else -1)
        frame.state = activation_state(activation, x, parameters, axis)
        frame.parameters = classify.scalar_parameters(parameters)

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
            self._unit_axis[y.dim()] = 1 if classify.is_convolution(module) else -1
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
            activation_parameters=frame.parameters,
            shape=tuple(y.shape),
            dtype=str(y.dtype).removeprefix("torch."),
            activation=measured.moments,
            input=frame.measured.moments if frame.measured else None,
            state=frame.state.with_output(y) if frame.state else None,
            abs_cosine=abs_cosine,
            effective_rank=effective_rank,
            weight_gain=classify.weight_gain(module, x, y) if kind == "affine" and x is not None else None,
            out_nodes=_made_nodes(y, output, frame.in_nodes),
            in_nodes=frame.in_nodes,
            activation_grad=measured.gradient,
            input_grad=frame.measured.gradient if frame.measured else GradientSink(),
        )
        self.sites.append(record)
        self._watch_other_outputs(record, y, output)

    def _watch_other_outputs(self, record: SiteRecord, y: Tensor, output: Any) -> None:
        """Gradients of the outputs beside the first: of an LSTM only its last state may be used."""
        for other in tensors(output):
            if other is not y and other.grad_fn in record.out_nodes and torch.is_grad_enabled():
                self._tensor_handles.append(other.register_hook(record.activation_grad))

    def _own_parameters(self, module: nn.Module) -> tuple[str, ...]:
        """Its parameters, those of children it never calls included: attention multiplies by ``out_proj`` itself."""
        prefix = self._names[id(module)]
        return tuple(f"{prefix}.{name}" if prefix else name for name, _ in module.named_parameters())


def _made_nodes(y: Tensor, output: Any, in_nodes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The graph nodes of a site's outputs, without inputs that it only hands on."""
    made = tuple(node for node in _nodes(output) if node not in in_nodes)
    return made or ((y.grad_fn,) if y.grad_fn is not None else ())


def _collapse(y: Tensor) -> tuple[float | None, float | None]:
    if y.dim() < 2 or y.shape[0] < 2 or y.is_complex():
        return None, None
    return generic.collapse(y.detach().reshape(len(y), -1))


def _nodes(value: Any) -> tuple[Any, ...]:
    return tuple(t.grad_fn for t in tensors(value) if t.grad_fn is not None)
