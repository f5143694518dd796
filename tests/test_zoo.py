"""In every architecture of the zoo, a check reports what plain hooks of another pass see, and nothing moves."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.records import ParameterFlow
from headwater.report import Report
from tests.cases import Case
from tests.probes.snapshot import differences, snapshot
from tests.zoo import ZOO

# Two passes over the same numbers differ by rounding alone: in memory laid out anew a product may be added up in
# another order.
RTOL = 1e-4
# What is zero but for rounding (the bias of a key in attention) is rounding alone, so it is held to what is largest.
NOISE = 1e-6


@dataclass
class Seen:
    """Numbers at a moment, and for each tensor the gradients that came as (sum of squares, how many)."""

    rms: float
    arrived: list[list[tuple[float, int]]]

    @property
    def has_gradient(self) -> bool:
        return any(self.arrived)

    @property
    def gradient_rms(self) -> float | None:
        """At the first tensor; at the others together if none arrived there; ``None`` if nothing did."""
        first, *others = self.arrived or [[]]
        parts = first or [part for gradients in others for part in gradients]
        count = sum(count for _, count in parts)
        return math.sqrt(math.fsum(energy for energy, _ in parts) / count) if count else None


@dataclass
class Call:
    """A call of a module in which no other module was called."""

    module: str
    exit: int
    output: Seen | None
    input: Seen | None


class Witness:
    """One step of a model, seen by plain hooks: no code of ours looks at it."""

    def __init__(self, case: Case) -> None:
        self.model, batch, loss = case.make()
        self.calls: list[Call] = []
        self._again: list[Call] = []  # what ran once more inside the backward pass, and this time with a graph
        self.events: list[tuple[str, str]] = []
        self._inputs: list[tuple[Seen | None, list[Tensor]]] = []
        self._root: list[int] = []
        self._hooked: dict[tuple[int, int], tuple[Tensor, list[tuple[float, int]]]] = {}
        handles = []
        for name, module in self.model.named_modules():
            if "parametrizations" not in name.split("."):  # these make a weight; no signal runs through them
                handles.append(module.register_forward_pre_hook(partial(self._enter, name), with_kwargs=True))
                handles.append(module.register_forward_hook(partial(self._exit, name)))
        # A copy, so that this hook is the first: the model itself may have given the loss.
        value = loss(self.model, batch).clone()
        value.register_hook(lambda _: self._root.append(torch._C._current_graph_task_id()))
        forward, self.calls = self.calls, self._again
        value.backward()
        self.calls = forward
        for handle in handles:
            handle.remove()
        self._fill_in()
        self.loss = float(value.detach())
        self.neighbours_learn = any(p.grad is not None for part in _modules(batch) for p in part.parameters())

    def _fill_in(self) -> None:
        """Gradients that arrived only where a module ran again, as the reentrant kind of checkpointing has it."""
        seen = Counter[str]()
        for call in self.calls:
            seen[call.module] += 1
            again = [
                other for other in self._again if other.module == call.module and other.output and other.output.arrived
            ]
            if call.output and not call.output.has_gradient and len(again) >= seen[call.module]:
                other = again[seen[call.module] - 1]
                call.output.arrived = other.output.arrived if other.output else []
                if call.input and other.input and not call.input.has_gradient:
                    call.input.arrived = other.input.arrived

    @property
    def sites(self) -> list[tuple[str, Call]]:
        """The calls that gave numbers, by the names they should have."""
        calls = [call for call in self.calls if call.output is not None]
        total, seen = Counter(call.module for call in calls), Counter[str]()
        named = []
        for call in calls:
            seen[call.module] += 1
            name = call.module or type(self.model).__name__
            named.append((name if total[call.module] == 1 else f"{name}#{seen[call.module]}", call))
        return named

    def _enter(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        self.events.append(("enter", name))
        given = _numbers((args, kwargs))
        self._inputs.append((self._seen(given[0]) if given else None, given))

    def _exit(self, name: str, module: nn.Module, args: Any, output: Any) -> None:
        entered, given = self._inputs.pop()
        is_leaf = self.events[-1] == ("enter", name)
        self.events.append(("exit", name))
        if not is_leaf:
            return
        made = _numbers(output)
        # An LSTM gives its states beside its outputs; what a module only hands on is not its doing.
        others = [tensor for tensor in made[1:] if all(tensor is not known for known in (made[0], *given))]
        seen = self._seen(made[0], *others) if made else None
        self.calls.append(Call(name, len(self.events) - 1, seen, entered))

    def _seen(self, tensor: Tensor, *others: Tensor) -> Seen:
        return Seen(_rms(tensor), [self._arriving(each) for each in (tensor, *others) if each.requires_grad])

    def _arriving(self, tensor: Tensor) -> list[tuple[float, int]]:
        """Where the gradients of a tensor will be.

        One hook serves all who ask: a second would see what hooks in between, the model's own, made of the gradient.
        What was overwritten in place, which its version tells, is another tensor.
        """
        key = id(tensor), tensor._version
        if key not in self._hooked:
            gradients: list[tuple[float, int]] = []
            inside = torch._C._current_graph_task_id() != -1

            def arrived(gradient: Tensor) -> None:
                # Not what a derivative taken on the way (a penalty, a fixed point) sends past: only the loss's own.
                if inside or (self._root and torch._C._current_graph_task_id() == self._root[0]):
                    gradients.append(_energy(gradient))

            tensor.register_hook(arrived)
            self._hooked[key] = tensor, gradients  # kept alive, or another tensor could have its id
        return self._hooked[key][1]


def _numbers(value: Any) -> list[Tensor]:
    """The floating-point and complex tensors of a nested value in order."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() or value.is_complex() else []
    if isinstance(value, Mapping):
        value = list(value.values())
    elif hasattr(value, "__dataclass_fields__"):
        value = list(vars(value).values())
    return [tensor for item in value for tensor in _numbers(item)] if isinstance(value, (list, tuple)) else []


def _modules(batch: Any) -> list[nn.Module]:
    """Networks that come with the batch instead of the model."""
    return [part for part in batch if isinstance(part, nn.Module)] if isinstance(batch, tuple) else []


def _energy(tensor: Tensor) -> tuple[float, int]:
    """Sum of squared magnitudes in float64, and of how many: of a sparse tensor, of those it stores."""
    values = tensor.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    return float(values.double().square().sum()), values.numel() // (2 if tensor.is_complex() else 1)


def _rms(tensor: Tensor) -> float:
    energy, count = _energy(tensor)
    return math.sqrt(energy / count) if count else 0.0


def _norm(tensor: Tensor) -> float:
    return math.sqrt(_energy(tensor)[0])


@dataclass
class Observed:
    """A case checked once, and witnessed once on a model of its own."""

    report: Report
    witness: Witness
    moved: list[str]
    warned: set[str]


def _everything(model: nn.Module, batch: Any) -> dict[str, Any]:
    """All that a check must leave as it was.

    Of a module that is not the model's, such as a generator beside the discriminator, its gradients and weights. Its
    buffers move on: a check does not know of it until it finds its parameters at the end of the graph.
    """
    found = snapshot(model, batch)
    for part in _modules(batch):
        moving = {f".{name}" if "." not in name else name for name, _ in part.named_buffers()}
        found |= {f"beside the model: {key}": v for key, v in snapshot(part).items() if key not in moving}
    return found


def _hooks_of_its_own(witness: Witness) -> dict[str, Any]:
    """Hooks a model sets on itself when it first runs, as those of Hugging Face do to collect router logits."""
    return {name: value for name, value in snapshot(witness.model).items() if name.startswith("hooks:")}


@pytest.fixture(scope="module", params=ZOO.values(), ids=lambda case: case.id)
def observed(request: pytest.FixtureRequest) -> Observed:
    torch.set_num_threads(1)
    model, batch, loss = request.param.make()
    for parameter in [p for p in model.parameters() if p.requires_grad][::2]:
        parameter.grad = torch.full_like(parameter, 7.0)
    before = _everything(model, batch)
    report, warned = _with_warnings(lambda: hw.check(model, batch, loss))
    after = _everything(model, batch)
    witness, warned_anyway = _with_warnings(lambda: Witness(request.param))
    own = _hooks_of_its_own(witness)
    moved = [name for name in differences(before, after) if name not in own or own[name] != after[name]]
    return Observed(report, witness, moved, warned - warned_anyway)


def _with_warnings(work: Callable[[], Any]) -> tuple[Any, set[str]]:
    """What ``work`` returns, and what it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = work()
    return result, {str(warning.message) for warning in caught}


def test_check_sees_every_site(observed: Observed) -> None:
    flow = observed.report.flow
    assert "gap.probe_failed" not in [gap.id for gap in flow.gaps]
    names = [row.site.name for row in flow.sites]
    assert len(set(names)) == len(names)
    assert flow.loss == pytest.approx(observed.witness.loss, rel=RTOL)
    assert observed.warned == set()


def test_sites_are_in_the_order_of_execution(observed: Observed) -> None:
    flow = observed.report.flow
    assert [row.site.order for row in flow.sites] == list(range(len(flow.sites)))
    assert [row.site.name for row in flow.sites if not row.site.functional] == [n for n, _ in observed.witness.sites]


def test_function_is_between_the_sites_its_module_ran_it_between(observed: Observed) -> None:
    events, ends = observed.witness.events, dict(observed.witness.sites)
    last = 0
    waiting: list[str] = []
    for row in observed.report.flow.sites:
        if row.site.functional:
            waiting.append(row.site.module)
            continue
        end = ends[row.site.name].exit
        assert set(waiting) <= _running(events, last, end)
        last, waiting = end, []
    assert set(waiting) <= _running(events, last, len(events))


def _running(events: list[tuple[str, str]], start: int, end: int) -> set[str]:
    """The modules whose own code ran between two events, the innermost of those entered and not yet left."""
    stack: list[str] = []
    found: set[str] = set()
    for index, (kind, name) in enumerate(events[:end]):
        if kind == "enter":
            stack.append(name)
        else:
            stack.pop()
        if index >= start and stack:
            found.add(stack[-1])
    return found


def test_activations_are_those_of_plain_hooks(observed: Observed) -> None:
    for name, call in observed.witness.sites:
        row = observed.report.flow.site(name)
        assert call.output is not None
        assert (row.activation.rms or 0.0) == pytest.approx(call.output.rms, rel=RTOL, abs=0), name
        assert ((row.input.rms or 0.0) if row.input else None) == (
            pytest.approx(call.input.rms, rel=RTOL, abs=0) if call.input else None
        ), f"input of {name}"


def test_gradients_are_those_of_plain_hooks(observed: Observed) -> None:
    sites = observed.witness.sites
    largest = max(call.output.gradient_rms or 0.0 for _, call in sites if call.output)
    assert largest > 0
    for name, call in sites:
        row = observed.report.flow.site(name)
        pairs = ((row.activation_grad, call.output, name), (row.input_grad, call.input, f"input of {name}"))
        for measured, seen, what in pairs:
            expected = seen.gradient_rms if seen else None
            assert (measured.rms if measured else None) == (
                None if expected is None else pytest.approx(expected, rel=RTOL, abs=NOISE * largest)
            ), what


def test_sites_that_see_no_gradient_are_a_gap(observed: Observed) -> None:
    """A frozen teacher: without a gradient by design, but not without a word."""
    modules = dict(observed.witness.model.named_modules())
    blind = [
        name
        for name, call in observed.witness.sites
        if call.output and not call.output.has_gradient and any(True for _ in modules[call.module].parameters())
    ]
    assert ("gap.no_gradient_seen" in [gap.id for gap in observed.report.flow.gaps]) == bool(blind), blind


def test_weights_beside_the_model_are_a_gap(observed: Observed) -> None:
    gaps = [gap.id for gap in observed.report.flow.gaps]
    assert ("gap.unregistered" in gaps) == observed.witness.neighbours_learn


def test_nothing_moves(observed: Observed) -> None:
    assert observed.moved == []


def test_parameters_have_their_gradients(observed: Observed) -> None:
    rows: dict[str, ParameterFlow] = {
        name: row for row in observed.report.flow.parameters for name in (row.name, *row.aliases)
    }
    model = observed.witness.model
    assert set(rows) == {name for name, _ in model.named_parameters(remove_duplicate=False)}
    norms = {name: None if p.grad is None else _norm(p.grad) for name, p in model.named_parameters()}
    largest = max(norm for norm in norms.values() if norm is not None)
    for name, parameter in model.named_parameters():
        expected = norms[name]
        assert rows[name].trainable == parameter.requires_grad
        assert rows[name].grad_norm == (
            None if expected is None else pytest.approx(expected, rel=RTOL, abs=NOISE * largest)
        ), name


def test_path_adds_up_to_what_its_ends_show(observed: Observed) -> None:
    flow = observed.report.flow
    assert flow.path is not None
    total = math.fsum(step.log10_gain for step in flow.path.steps)
    assert total == pytest.approx(flow.path.log10_first - flow.path.log10_last, abs=1e-9)
    assert flow.site(flow.path.first).site.order <= flow.site(flow.path.last).site.order
    for name, log10 in ((flow.path.first, flow.path.log10_first), (flow.path.last, flow.path.log10_last)):
        output = dict(observed.witness.sites)[name].output if not flow.site(name).site.functional else None
        if output is not None and len(output.arrived) == 1:
            assert log10 == pytest.approx(math.log10(output.gradient_rms or 0.0), abs=RTOL)
