"""Follow forward passes: every leaf module, functional activation and join becomes a site, in execution order."""

from __future__ import annotations

import inspect
import sys
import time
import weakref
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils.hooks import RemovableHandle

from headwater.kernels import generic
from headwater.kernels.ledger import Ledger
from headwater.probes import classify
from headwater.probes.activation_state import ActivationState, activation_state
from headwater.probes.advice import show_advice, silence_advice
from headwater.probes.attention import multihead_statistics
from headwater.probes.backward_passes import BackwardPasses
from headwater.probes.catalogue import ModuleInfo, module_infos
from headwater.probes.choose import Choice
from headwater.probes.frame import Frame, Measured
from headwater.probes.functions import FunctionSites
from headwater.probes.place import is_spread
from headwater.probes.setup import SetupProbe, module_settings
from headwater.probes.site_record import GradientSink, SiteRecord
from headwater.probes.time_steps import TimeSteps, rng_before
from headwater.probes.tree import main_tensor, tensors
from headwater.records import SiteKind, TimeGradient
from headwater.theory import ACTIVATIONS, Activation

_CALL = nn.Module._call_impl.__code__
CONVOLUTION_RANK = 4  # of (batch, channels, height, width)
PATIENCE = 3  # failures of our own at one place after which it is left alone


class Recorder:
    """Records the sites of the forward passes that run inside ``with Recorder(model, ledger):``.

    The hooks are PyTorch's global ones: nothing is attached to the model, so a copy or a pickle of it carries nothing,
    and a module that is replaced is seen all the same. They are there inside the block only, whatever happens in it.
    A module with hooks of the user's gets its own for as long, to run after those. Gradients arrive later, through
    tensor hooks on the outputs: full backward hooks would raise on in-place activations.

    Args:
        model: Whose modules become sites.
        ledger: Takes the statistics.
        thorough: Also what costs more than one pass over a tensor: collapse, attention, time steps, graph nodes.
        functions: Whether functional activations and joins become sites, for which every torch function is looked at.
        choice: Which sites; all by default.
        catalogue: What :func:`module_infos` gives for these, if it is at hand.
    """

    def __init__(
        self,
        model: nn.Module,
        ledger: Ledger,
        thorough: bool = True,
        functions: bool = True,
        choice: Choice | None = None,
        catalogue: dict[int, ModuleInfo] | None = None,
    ) -> None:
        self.sites: list[SiteRecord] = []
        self.failures: dict[str, str] = {}
        self.strikes: dict[str, list[str]] = {}  # what failed at each place; of a training, over all its steps
        self.without_time_steps: list[str] = []
        self.is_open = True
        self.on_output: Callable[[list[Any]], None] | None = None  # with the graph nodes of what the model returned
        self.on_next_pass: Callable[[], None] | None = None  # before a forward pass that is not the first
        self.on_revisited: Callable[[list[Any]], None] | None = None  # with the nodes of what ran again in the backward
        self.on_local_gradient: Callable[[Tensor, Tensor], None] | None = None  # with a parameter, before others add
        self.spent_s = 0.0
        self.setup = SetupProbe() if thorough else None
        self.ledger = ledger
        self.thorough = thorough
        self.choice = choice
        self._infos = catalogue or module_infos(model, choice)
        self._mode = FunctionSites(self) if functions else None
        self._frames: list[Frame] = []
        self._live = False
        self._revisiting = False
        self._reentered = False  # whether what runs again is what the gradient goes through
        self._backward = BackwardPasses(model)
        self._failed: nn.Module | None = None
        self._root_calls: list[tuple[ModuleInfo, bool]] = []  # and whether the module was in training
        self._calls: Counter[tuple[str, str]] = Counter()
        self._revisits: Counter[tuple[str, str]] = Counter()
        self._by_key: dict[tuple[str, str, int], SiteRecord] = {}
        self._own_hooks: set[int] = set()
        self._quickly = {} if thorough or functions else {id(i.module): i for i in self._infos.values() if i.is_quick}
        self._handles: list[RemovableHandle] = []
        self._after_id = -1
        self._tensor_handles: list[RemovableHandle] = []
        self._known: dict[int, tuple[weakref.ref[Tensor], int, Measured]] = {}
        self._nested: dict[int, tuple[weakref.ref[Tensor], int, GradientSink]] = {}
        self._signals: dict[int, weakref.ref[Tensor]] = {}  # of operations that are no sites: a join of two may be one
        self._unit_axis: dict[int, int] = {}

    @property
    def innermost(self) -> nn.Module | None:
        """The module that is running, or was when an exception ended the pass."""
        return self._failed or (self._frames[-1].info.module if self._frames else None)

    def name_of(self, module: nn.Module) -> str:
        """The module's name in the model; the model itself is called by its class."""
        info = self._infos.get(id(module))
        return (info.name if info else "") or type(module).__name__

    def __enter__(self) -> Recorder:
        self._backward.attach()
        self._handles.append(hooks.register_module_forward_pre_hook(self._before))
        # Called after an exception too, with no output: a model that catches it goes on in the right frame.
        after = hooks.register_module_forward_hook(self._after, with_kwargs=True, always_call=True)
        self._handles.append(after)
        self._after_id = after.id
        self._hook_after_the_users()
        silence_advice()
        return self

    def _hook_after_the_users(self) -> None:
        """Global hooks run before a module's own, which may change what it takes or returns: there, run after them."""
        for info in self._infos.values():
            module = info.module
            if module._forward_hooks or module._forward_pre_hooks:
                before, after = _OwnHook(self, "_before_own"), _OwnHook(self, "_after_own")
                self._own_hooks.add(id(module))
                self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
                self._handles.append(module.register_forward_hook(after, with_kwargs=True, always_call=True))

    def __exit__(self, *exc_info: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        # PyTorch's handle forgets this one of the three tables it has put the hook in.
        hooks._global_forward_hooks_with_kwargs.pop(self._after_id, None)
        show_advice()
        self.leave()

    def leave(self) -> None:
        """Forget a forward pass that never came to its end: an interrupt is no exception hooks are called for."""
        self._frames.clear()
        self._live = False
        if self._mode is not None:
            self._mode.end()

    def close(self) -> None:
        """Take no more gradients; a batch or a parameter that was an input would keep its hook for ever."""
        self.is_open = False
        self._backward.detach()
        for handle in self._tensor_handles:
            handle.remove()
        self._tensor_handles.clear()
        self._known.clear()
        self._signals.clear()
        self._nested.clear()
        for record in self.sites:
            record.out_nodes = record.in_nodes = ()
            record.time_steps = None

    def forget(self) -> None:
        """Begin again with no sites."""
        self.sites.clear()
        self._by_key.clear()
        self._known.clear()
        self._signals.clear()
        self._nested.clear()
        self._root_calls.clear()

    def leave_out_idle_calls(self) -> None:
        """Drop the calls that no gradient came back from, such as a look at the validation set with gradients on.

        Those of a module that no gradient came back from at all stay: that is news.
        """
        alive = {
            record.root_call for record in self.sites if self.gradient_rows(record.activation_grad + record.other_grad)
        }
        trained = {self._root_calls[call][0].name for call in alive}
        idle = {
            call
            for call, (info, in_training) in enumerate(self._root_calls)
            if call not in alive and info.name in trained and not in_training
        }
        if not idle:
            return
        self.sites = [record for record in self.sites if record.root_call not in idle]
        calls: Counter[tuple[str, str]] = Counter()
        for record in self.sites:
            key = (record.info.name, record.op if record.functional else "")
            calls[key] += 1
            record.call = calls[key]

    def note_gradient(self, sink: GradientSink, gradient: Tensor) -> None:
        """Measure a gradient that has arrived at a sink."""
        started = time.perf_counter()
        try:
            task = torch._C._current_graph_task_id()
            if not sink.nested:
                self._backward.note(task)
            with torch._C.DisableTorchFunction():
                sink.rows.append(self.ledger.measure(gradient))
                sink.tasks.append(task)
        except Exception as error:
            self._note_failure("backward", error)
            sink.taker = None  # once is enough
        self.spent_s += time.perf_counter() - started

    def watch_local_gradients(self, work: Callable[[Tensor, Tensor], None]) -> None:
        """Hand over each parameter and its gradient when this process alone has filled it.

        The hook runs before that of ``DistributedDataParallel``, which sends the gradient on its way to be averaged.
        """
        self.on_local_gradient = work
        self._backward.on_filled = self._note_local

    def _note_local(self, parameter: Tensor, gradient: Tensor) -> None:
        started = time.perf_counter()
        try:
            if self.on_local_gradient is not None:
                with torch._C.DisableTorchFunction():
                    self.on_local_gradient(parameter, gradient)
        except Exception as error:
            self._note_failure("backward", error)
            self.on_local_gradient = None  # once is enough
        self.spent_s += time.perf_counter() - started

    def gradient_rows(self, sinks: list[GradientSink]) -> list[int]:
        """Rows of the gradients that went into ``.grad``; one tensor that several calls share has one sink."""
        return [
            row
            for sink in dict.fromkeys(sinks)
            for row, task in zip(sink.rows, sink.tasks, strict=True)
            if sink.nested or self._backward.counts(task)
        ]

    @property
    def saw_backward(self) -> bool:
        """Whether any gradient arrived anywhere."""
        return self._backward.any

    @property
    def outside_grad(self) -> bool:
        """Whether gradients were seen, and none of them went into ``.grad``."""
        return self._backward.all_outside

    def time_gradients(self, record: SiteRecord) -> tuple[TimeGradient, ...]:
        """Of a recurrent layer, the gradient at each time step; ask before the optimizer moves its weights."""
        waiting = record.time_steps
        if waiting is None or not self.gradient_rows(record.activation_grad + record.other_grad):
            return record.time_gradients
        record.time_steps = None
        try:
            with torch._C.DisableTorchFunction():
                record.time_gradients, gap = waiting.finish()
        except Exception as error:
            self._note_failure(record.base_name, error)
            return ()
        if gap == "dropout_mask_unknown":
            self.without_time_steps.append(record.base_name)
        return record.time_gradients

    def drop_time_steps(self) -> None:
        """Give up gradients through time that have arrived and were not asked for: the weights have moved since."""
        for record in self.sites:
            if record.time_steps is not None and self.gradient_rows(record.activation_grad + record.other_grad):
                record.time_steps = None

    @property
    def saw_call(self) -> bool:
        """Whether the model ran at all."""
        return bool(self._root_calls)

    def names_run(self, most: int) -> list[str]:
        """Names of modules that could have been sites."""
        names = [info.name for info in self._infos.values() if info.name and not info.is_container]
        return names[:most] + ["…"] * (len(names) > most)

    def functions_seen(self) -> bool:
        """Whether some site is no module."""
        return any(record.functional for record in self.sites)

    # Modules

    def _before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if id(module) in self._own_hooks:
            return
        if self._backward.are_sharded:
            self._backward.meet(module)
        if self._quickly and self._frames and id(module) in self._quickly:
            self._frames[-1].called_child = True
        else:
            self._before_own(module, args)

    def _after(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        if id(module) in self._own_hooks:
            return
        info = self._quickly.get(id(module))
        if info is None or not self._frames or self._frames[-1].info is info:
            self._after_own(module, args, *rest)
        elif self._live and not self._revisiting:
            started = time.perf_counter()
            self.attempt(Frame(info), self._note_all, info, args, *rest)
            self.spent_s += time.perf_counter() - started
        elif self._live:
            self.attempt(Frame(info), self._revisit, Frame(info), rest[-1])

    def _note_all(self, info: ModuleInfo, args: tuple[Any, ...], *rest: Any) -> None:
        """Input, activation and output of a module of torch's that overwrites nothing, in one go after its call."""
        frame = Frame(info)
        x = main_tensor(args or rest[0])
        if x is not None:
            self.note_input(frame, x)
            if info.activation is not None:
                parameters = classify.activation_parameters(info.activation, info.module)
                self.note_activation(frame, info.activation, x, parameters)
        self.add(frame, info.op, info.kind, rest[-1], functional=False, activation=info.activation)

    def _before_own(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> None:
        info = self._infos.get(id(module))
        if info is None or info.module is not module:
            return
        if self._backward.are_sharded:
            self._backward.meet(module)
        started = time.perf_counter()
        if self._frames and info is self._frames[0].info and self._was_interrupted(module):
            self.leave()
        if not self._frames:
            self._begin(info)
        elif self._live:
            self._frames[-1].called_child = True
        frame = Frame(info)
        self._frames.append(frame)
        if self._live and not self._revisiting:
            self.attempt(frame, self._note_call, frame, args)
        elif self._live:
            self.attempt(frame, self._note_nested_call, frame, args)
        self.spent_s += time.perf_counter() - started

    def _was_interrupted(self, module: nn.Module) -> bool:
        """Whether a call of the module never came to its end: an interrupt is no exception hooks are called for.

        A module that calls itself is on Python's stack as often as it is among the frames.
        """
        running = 0
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            running += frame.f_code is _CALL and frame.f_locals.get("self") is module
            frame = frame.f_back
        return running <= sum(known.info.module is module for known in self._frames)

    def _begin(self, info: ModuleInfo) -> None:
        """The model, or a part of it, is called from outside."""
        self._failed = None
        self._live = torch.is_grad_enabled() and not torch.jit.is_tracing() and not torch.compiler.is_compiling()
        # Checkpointing runs forwards again inside the backward pass, where the sites are known already.
        self._revisiting = torch._C._current_graph_task_id() != -1
        if not self._live:
            return
        if not self._revisiting and self._backward.moved_on():
            # Another micro-batch: the calls are those of the one before, over again.
            if self.on_next_pass is not None:
                self.on_next_pass()
            if not self.is_open:
                self._live = False
                return
            self._calls.clear()
            self._revisits.clear()
        if not self._revisiting:
            self._root_calls.append((info, info.module.training))
        if self._mode is not None and not self._revisiting:
            self._mode.begin()

    def _note_call(self, frame: Frame, args: tuple[Any, ...]) -> None:
        info = frame.info
        if self.setup is not None and len(self._frames) == 1:
            self.setup.note_input(args)
        if self.thorough:
            frame.in_nodes = _nodes(args)
            frame.rng_state = rng_before(info.module)
        if info.is_container and not info.also_as_container:
            return
        if not info.chosen:
            self.note_signal(args)
            return
        x = main_tensor(args)
        if x is None:
            return
        self.note_input(frame, x)
        if info.activation is not None:
            parameters = classify.activation_parameters(info.activation, info.module)
            self.note_activation(frame, info.activation, x, parameters)

    def _after_own(self, module: nn.Module, args: tuple[Any, ...], *rest: Any) -> None:
        """After a module, with keywords and output; after one that raised, PyTorch gives no keywords and ``None``."""
        kwargs, output = rest if len(rest) == 2 else ({}, *rest)
        info = self._infos.get(id(module))
        if info is None or info.module is not module:
            return
        started = time.perf_counter()
        frame = self._pop(info)
        self._failed = (self._failed or module) if output is None else None
        if frame is not None and self._live:
            if self._revisiting:
                self.attempt(frame, self._revisit, frame, output)
            elif not info.chosen and not frame.called_child:
                self.attempt(frame, self.note_signal, output)
            elif info.chosen and not (frame.called_child and not info.also_as_container):
                self.attempt(frame, self._note_output, frame, args, kwargs, output)
            if not self._frames:
                self._announce(frame, output)
        if not self._frames:
            self._live = False
            if self._mode is not None:
                self._mode.end()
        self.spent_s += time.perf_counter() - started

    def _announce(self, frame: Frame, output: Any) -> None:
        """Tell who follows the graph that the model, or a part of it, has returned."""
        if not self._revisiting and self.on_output is not None:
            self.attempt(frame, self.on_output, list(_nodes(output)))
        if self._reentered and self.on_revisited is not None:
            self.attempt(frame, self.on_revisited, list(_nodes(output)))
        self._reentered = False

    def _pop(self, info: ModuleInfo) -> Frame | None:
        """The frame of a module; frames above it belong to calls that ended in an exception the user caught."""
        while self._frames:
            frame = self._frames.pop()
            if frame.info is info:
                return frame
        return None

    def _note_output(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        info = frame.info
        if frame.measured is None:
            self._note_late_input(frame, args, kwargs, output)
        record = self.add(frame, info.op, info.kind, output, functional=False, activation=info.activation)
        if record is not None and self.thorough:
            self._look_closer(record, frame, args, kwargs, output)

    def _note_late_input(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        """The input of a module that takes keywords only, of which the hook before the call does not know.

        One that the module has overwritten, or hands on as it is, cannot be told from its output any more.
        """
        x = main_tensor(kwargs) if not frame.info.is_container else None
        if self.thorough:
            frame.in_nodes = _nodes((args, kwargs))
        if x is None or any(x is y for y in tensors(output)):
            return
        self.note_input(frame, x)
        activation = frame.info.activation
        if activation is not None:
            parameters = classify.activation_parameters(activation, frame.info.module)
            self.note_activation(frame, activation, x, parameters)

    def _look_closer(
        self, record: SiteRecord, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        """What only some modules have: weights of one matrix, time, attention."""
        module, x = frame.info.module, frame.input
        y = main_tensor(output)
        if hasattr(y, "to_local"):
            return
        if record.kind == "affine" and x is not None and y is not None:
            record.weight_gain = classify.weight_gain(module, x, y)
        if isinstance(module, nn.RNNBase) and not self._backward.are_sharded:  # its weights will be elsewhere by then
            record.time_steps = TimeSteps.of(module, args, kwargs, frame.rng_state)
            self._tensor_handles.extend(record.time_steps.attach(output))
        if isinstance(module, nn.RNN) and module.nonlinearity == "tanh" and y is not None:
            record.states.append(_state_of_tanh(y.detach()))
        if isinstance(module, nn.MultiheadAttention) and not any(is_spread(p) for p in module.parameters()):
            given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
            read = {name: given[name] for name in ("query", "key", "key_padding_mask", "attn_mask") if name in given}
            record.attention = multihead_statistics(module, **read)

    def _note_nested_call(self, frame: Frame, args: tuple[Any, ...]) -> None:
        """A module runs again, this time with a graph; what is in-place will have changed its input afterwards."""
        if self.thorough:
            frame.in_nodes = _nodes(args)
        x = main_tensor(args)
        if frame.info.chosen and x is not None and x.requires_grad:
            frame.nested_input = self._nested_sink(x)

    def _revisit(self, frame: Frame, output: Any) -> None:
        """Reentrant checkpointing builds its graph only when it runs again: the gradient arrives there."""
        if frame.called_child or not frame.info.chosen:
            return
        key = (frame.info.name, "")
        self._revisits[key] += 1
        record = self._by_key.get((*key, self._revisits[key]))
        y = main_tensor(output)
        if record is None or record.needs_gradient or y is None or not y.requires_grad or self._calls[key] > 1:
            return
        self._reentered = True
        record.activation_grad.append(self._nested_sink(y))
        if frame.nested_input is not None and not record.input_needs_gradient:
            record.input_grad.append(frame.nested_input)
        if self.thorough:
            record.out_nodes = _made_nodes(y, output, frame.in_nodes)
            record.in_nodes = frame.in_nodes

    def _nested_sink(self, x: Tensor) -> GradientSink:
        """Takes the gradient of a tensor made inside a backward pass: one that several sites share is read once."""
        known = self._nested.get(id(x))
        if known is None or known[0]() is not x or known[1] != x._version:
            known = weakref.ref(x), x._version, GradientSink(self, nested=True)
            self._nested[id(x)] = known
            self._tensor_handles.append(x.register_hook(known[2]))
        return known[2]

    # Functions

    def user_code(self) -> ModuleInfo | None:
        """Of the module whose own ``forward`` calls a function now; torch's modules and known activations are one."""
        if not self._live or not self._frames or self._frames[-1].info.is_torch_leaf:
            return None
        return self._frames[-1].info

    def note_signal(self, value: Any) -> None:
        """What an operation made or took that was not chosen to be a site."""
        x = main_tensor(value) if self.choice is not None and self.choice.globs else None
        if x is not None:
            self._signals[id(x)] = weakref.ref(x)

    def knows_signal(self, x: Tensor) -> bool:
        """Whether an operation has made or taken this very tensor."""
        known, signal = self._known.get(id(x)), self._signals.get(id(x))
        return (known is not None and known[0]() is x) or (signal is not None and signal() is x)

    def note_nodes(self, frame: Frame, arguments: Any) -> None:
        """Where in the autograd graph a function begins."""
        if self.thorough:
            frame.in_nodes = _nodes(arguments)

    # Measuring

    def attempt(self, frame: Frame, work: Callable[..., Any], *arguments: Any) -> None:
        """Our own work inside the user's forward: its torch calls are no sites, its errors no concern of the user's.

        What cannot be measured (a tensor under ``vmap``, a jagged one) is skipped, and the flow records the gap.
        """
        where = frame.info.name or type(frame.info.module).__name__
        strikes = self.strikes.get(where)
        if strikes is not None and len(strikes) >= PATIENCE:
            self.failures.setdefault(where, strikes[-1])
            return
        try:
            with torch._C.DisableTorchFunction():
                work(*arguments)
        except Exception as error:
            if torch._C._functorch.peek_interpreter_stack() is not None:
                self.failures.setdefault(where, "it ran inside a transform of torch.func, whose tensors have no values")
                return
            self._note_failure(where, error)
            self.strikes.setdefault(where, []).append(self.failures[where])

    def _note_failure(self, where: str, error: Exception) -> None:
        self.failures.setdefault(where, in_one_line(error))

    def note_input(self, frame: Frame, x: Tensor) -> None:
        """Measure the input now: an in-place operation will have overwritten it when the output is there."""
        frame.measured = self._measure(x, made_here=False)
        frame.input = x
        if self.thorough and not frame.in_nodes:
            frame.in_nodes = (x.grad_fn,) if x.grad_fn is not None else ()

    def note_activation(self, frame: Frame, activation: Activation, x: Tensor, parameters: dict[str, Any]) -> None:
        """Its state, with units where the last affine map of this rank put them; else where convolutions have them."""
        axis = self._unit_axis.get(x.dim(), 1 if x.dim() >= CONVOLUTION_RANK else -1)
        frame.state = activation_state(activation, generic.local(x.detach()), parameters, axis)
        frame.parameters = classify.scalar_parameters(parameters)

    def _measure(self, tensor: Tensor, made_here: bool = True) -> Measured:
        """Row and gradient of a tensor; measured once, though it is one site's output and the next one's input.

        A tensor that was changed in place since, which its version tells, is another one.
        """
        known = self._known.get(id(tensor))
        version = -1 if tensor.is_inference() else tensor._version
        is_known = known is not None and known[0]() is tensor and known[1] == version >= 0
        if known is not None and is_known and known[2].expects_gradient == tensor.requires_grad:
            return known[2]
        # What a checkpoint runs without a graph has one once the checkpoint hands it on: the same numbers, another end.
        row = known[2].row if known is not None and is_known else self.ledger.measure(tensor)
        measured = Measured(row, GradientSink(self), tensor.requires_grad)
        self._known[id(tensor)] = weakref.ref(tensor), version, measured
        if tensor.requires_grad:
            handle = tensor.register_hook(measured.gradient)
            if tensor.is_leaf or not made_here:  # others go with the graph, and do nothing once this is closed
                self._tensor_handles.append(handle)
        return measured

    def add(
        self,
        frame: Frame,
        op: str,
        kind: SiteKind,
        output: Any,
        functional: bool,
        activation: Activation | None,
    ) -> SiteRecord | None:
        y = main_tensor(output)
        if y is None:
            return None
        info = frame.info
        if kind == "affine":
            self._unit_axis[y.dim()] = 1 if classify.is_convolution(info.module) else -1
        measured = self._measure(y)
        record = self._record(frame, op, kind, functional, activation, y)
        record.passes += 1
        record.activation.append(measured.row)
        record.activation_grad.append(measured.gradient)
        record.needs_gradient = record.needs_gradient or y.requires_grad
        if frame.measured is not None:
            record.input.append(frame.measured.row)
            record.input_grad.append(frame.measured.gradient)
            record.input_needs_gradient = record.input_needs_gradient or frame.measured.expects_gradient
        if frame.state is not None:
            record.states.append(frame.state)
        if self.thorough:
            record.out_nodes = _made_nodes(y, output, frame.in_nodes)
            record.in_nodes = frame.in_nodes
            here = generic.local(y.detach())
            record.abs_cosine, record.effective_rank = _collapse(here)
            record.unit_spread = _unit_spread(here, self._unit_axis.get(here.dim(), -1))
        if not isinstance(output, Tensor):
            self._watch_other_outputs(record, y, output, frame.in_nodes)
        return record

    def _record(
        self, frame: Frame, op: str, kind: SiteKind, functional: bool, activation: Activation | None, y: Tensor
    ) -> SiteRecord:
        """The record of this call: a new one, or that of the same call on the micro-batch before."""
        key = (frame.info.name, op if functional else "")
        call = self._calls[key] = self._calls.get(key, 0) + 1
        full_key = (*key, call)
        record = self._by_key.get(full_key)
        if record is None:
            record = SiteRecord(
                info=frame.info,
                op=op,
                kind=kind,
                call=call,
                functional=functional,
                activation_id=activation.id if activation else None,
                activation_parameters=frame.parameters,
                settings=module_settings(frame.info.module) if self.thorough and not functional else {},
                shape=y.shape,
                dtype=y.dtype,
                root_call=len(self._root_calls) - 1,
            )
            self._by_key[full_key] = record
            self.sites.append(record)
        return record

    def _watch_other_outputs(self, record: SiteRecord, y: Tensor, output: Any, in_nodes: tuple[Any, ...]) -> None:
        """Gradients of the outputs beside the first: of an LSTM only its last state may be used."""
        handed_on = set(in_nodes)
        for other in tensors(output):
            made_here = other is not y and other.grad_fn is not None and other.grad_fn not in handed_on
            if made_here:
                sink = GradientSink(self)
                record.other_grad.append(sink)
                self._tensor_handles.append(other.register_hook(sink))


class _OwnHook:
    """A hook on one module; a copy or a pickle of the module gets one that does nothing."""

    def __init__(self, recorder: Recorder | None = None, method: str = "") -> None:
        self._recorder = recorder
        self._method = method

    def __call__(self, module: nn.Module, *arguments: Any) -> None:
        if self._recorder is not None:
            getattr(self._recorder, self._method)(module, *arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> _OwnHook:
        return _OwnHook()

    def __reduce__(self) -> Any:
        return _OwnHook, ()


def in_one_line(error: Exception) -> str:
    """What went wrong, without the pages that PyTorch may add."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _state_of_tanh(y: Tensor) -> ActivationState:
    """Of a tanh whose outputs are all one sees: its inputs are what gives them."""
    nearly = 1.0 - torch.finfo(y.dtype).eps
    return activation_state(ACTIVATIONS["tanh"], generic.local(y).clamp(-nearly, nearly).atanh(), {}, -1)


def _made_nodes(y: Tensor, output: Any, in_nodes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The graph nodes of a site's outputs, without inputs that it only hands on."""
    made = tuple(node for node in _nodes(output) if node not in in_nodes)
    return made or ((y.grad_fn,) if y.grad_fn is not None else ())


def _collapse(y: Tensor) -> tuple[float | None, float | None]:
    if y.dim() < 2 or y.shape[0] < 2 or y.is_complex():
        return None, None
    return generic.collapse(y.detach().reshape(len(y), -1))


def _unit_spread(y: Tensor, axis: int) -> float | None:
    if y.dim() < 2 or y.is_complex():
        return None
    return generic.unit_spread(y.detach().movedim(axis, -1).reshape(-1, y.shape[axis]))


def _nodes(value: Any) -> tuple[Any, ...]:
    return tuple(t.grad_fn for t in tensors(value) if t.grad_fn is not None)
