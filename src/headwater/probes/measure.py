"""One step of a model, measured: batch in, Flow out, model as it was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headwater.probes.graph import BackwardGraph
from headwater.probes.parameters import parameter_flows
from headwater.probes.preserve import preserved
from headwater.probes.recorder import Recorder, SiteRecord
from headwater.probes.tree import describe, tensors
from headwater.records import Flow, InputError, Message, Moments, ParameterFlow, Site, SiteFlow

Loss = Callable[[Any, Any], Any]


def measure(
    model: nn.Module, batch: Any, loss: Loss, optimizer: torch.optim.Optimizer | None = None, step: int = 0
) -> Flow:
    """Run one forward and one backward pass and measure every site and parameter on the way.

    Outputs, ``.grad``, buffers, weights, train/eval mode and random states are bit-identical afterwards.

    Args:
        model: Any module.
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch) -> scalar tensor``.
        optimizer: Made over the model's parameters; it takes one step, so that updates are what it really does. Its
            own state (momentum) moves on; the weights are put back.
        step: Optimizer steps taken before this one, for the record.

    Raises:
        InputError: If there is nothing to train, the model rejects the batch, or the loss is no scalar with a graph.
    """
    check_trainable(model)
    with preserved(model, batch) as set_aside, _gradients_on(), _eager():
        recorder = Recorder(model)
        try:
            value = _forward(recorder, model, batch, loss)
            graph = BackwardGraph(value, recorder.sites)
            try:
                set_aside(graph.leaves)
                strangers = len(_strangers(graph.leaves, model, batch))
                _backward(value, retain_graph=any(tensor.grad_fn is not None for tensor in tensors(batch)))
                names = site_names(recorder.sites)
                path = graph.path(names)
            finally:
                graph.close()
        finally:
            recorder.detach()
        parameters = parameter_flows(model, optimizer, lambda: _closure(model, batch, loss))
    by_name = {name: flow for flow in parameters for name in (flow.name, *flow.aliases)}
    rows = [_site_flow(record, order, names[id(record)], by_name) for order, record in enumerate(recorder.sites)]
    return Flow(
        sites=tuple(rows),
        parameters=parameters,
        path=path,
        loss=float(value.detach()),
        samples=_samples(batch),
        optimizer=type(optimizer).__name__ if optimizer is not None else None,
        step=step,
        followed_share=_followed_share(rows, parameters),
        gaps=tuple(_gaps(recorder, rows, strangers)),
    )


def check_trainable(model: Any) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: If ``model`` is no module, has no parameters, lazy ones, or none that asks for a gradient.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model must be a torch.nn.Module, got {type(model).__name__}.")
    scripted = next((name for name, m in model.named_modules() if isinstance(m, torch.jit.ScriptModule)), None)
    if scripted is not None:
        raise InputError(
            f"{scripted or type(model).__name__!r} is compiled to TorchScript, which calls no Python between its "
            "operations: check the module it was scripted or traced from."
        )
    parameters = list(model.parameters())
    if not parameters:
        raise InputError(
            f"{type(model).__name__} has no parameters, so there is no gradient to measure. Layers kept in a plain "
            "list are invisible to PyTorch: keep them in nn.ModuleList([...])."
        )
    lazy = [name for name, parameter in model.named_parameters() if is_lazy(parameter)]
    if lazy:
        raise InputError(
            f"{lazy[0]} has no shape yet: a lazy module gets its weights from the first batch it sees. "
            "Call the model once on a batch before it is measured: model(batch[0])."
        )
    if not any(parameter.requires_grad for parameter in parameters):
        raise InputError(
            f"{type(model).__name__} has {len(parameters)} parameters and none is trainable. "
            "Unfreeze some: model.requires_grad_(True)."
        )


def checked_loss(model: nn.Module, batch: Any, loss: Loss, where: Callable[[], str] = lambda: "") -> Tensor:
    """``loss(model, batch)``, with errors that say what is wrong with it.

    Args:
        model: Any module.
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch) -> scalar tensor``.
        where: Names the module that was running, for the message.

    Raises:
        InputError: If the model or loss rejects the batch, or the loss is no scalar tensor with a graph.
    """
    try:
        value = loss(model, batch)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"loss(model, batch) raised {type(error).__name__}: {error}\n{where()}  batch: {describe(batch)}"
        ) from error
    if not isinstance(value, Tensor):
        hint = "Return the tensor itself, not loss.item()." if isinstance(value, float) else "Return a scalar tensor."
        raise InputError(f"loss(model, batch) must return a scalar tensor, got {type(value).__name__}. {hint}")
    if value.numel() != 1:
        raise InputError(
            f"loss(model, batch) must return a scalar, got a tensor of shape {list(value.shape)}. "
            'Reduce it: loss.mean(), or reduction="mean".'
        )
    if value.grad_fn is None:
        raise InputError(
            "loss(model, batch) has no graph: no gradient can flow back from it. It was computed under no_grad(), "
            "detached, or does not depend on a trainable parameter of the model."
        )
    return value


def site_names(records: list[SiteRecord]) -> dict[int, str]:
    """The name of each site by ``id`` of its record.

    A module called once has its plain name; called again, the number of the call is added. A function always carries
    its number, so that its name does not change when the user adds a second one.
    """
    calls = Counter(record.base_name for record in records if not record.functional)
    return {
        id(record): record.base_name
        if not record.functional and calls[record.base_name] == 1
        else f"{record.base_name}#{record.call}"
        for record in records
    }


def _forward(recorder: Recorder, model: nn.Module, batch: Any, loss: Loss) -> Tensor:
    def where() -> str:
        module = recorder.innermost
        return f"  inside: {recorder.name_of(module)} ({type(module).__name__})\n" if module is not None else ""

    with recorder:
        value = checked_loss(model, batch, loss, where)
    if not recorder.sites and recorder.failures:
        name, error = next(iter(recorder.failures.items()))
        raise InputError(f"nothing of the model could be measured; {name}: {error}.")
    if not recorder.sites:
        raise InputError("loss(model, batch) never called the model it was given. Call it: model(batch[0]).")
    return value


def _backward(value: Tensor, retain_graph: bool) -> None:
    """Run the backward pass; a graph that goes on behind the batch is the caller's and has to be retained."""
    try:
        value.reshape(()).backward(retain_graph=retain_graph)
    except RuntimeError as error:
        raise InputError(f"the backward pass of the loss raised {type(error).__name__}: {error}") from error


def _closure(model: nn.Module, batch: Any, loss: Loss) -> Tensor:
    model.zero_grad()
    value: Tensor = loss(model, batch)
    value.backward()
    return value


@contextmanager
def _gradients_on() -> Iterator[None]:
    """Gradients are recorded inside, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _eager() -> Any:
    """A compiled model runs its original code while it is measured: hooks set after compilation are not called."""
    return torch.compiler.set_stance("force_eager")


def _samples(batch: Any) -> int:
    first = next(tensors(batch), None)
    return first.shape[0] if first is not None and first.dim() else 0


def _strangers(leaves: list[Tensor], model: nn.Module, batch: Any) -> list[Tensor]:
    """Parameters the loss depends on that are not the model's: of layers in a plain list, or of the loss itself."""
    known = {id(tensor) for tensor in (*model.parameters(), *tensors(batch))}
    return [leaf for leaf in leaves if isinstance(leaf, nn.Parameter) and id(leaf) not in known]


def _site_flow(record: SiteRecord, order: int, name: str, parameters: dict[str, ParameterFlow]) -> SiteFlow:
    own = [parameters[parameter] for parameter in record.parameters if parameter in parameters]
    gradients = [flow.grad for flow in own if flow.grad is not None]
    state = record.state
    return SiteFlow(
        site=Site(
            name=name,
            op=record.op,
            kind=record.kind,
            order=order,
            module=record.module_name,
            activation=record.activation_id,
            activation_parameters=record.activation_parameters,
            parameters=record.parameters,
            shape=record.shape,
            dtype=record.dtype,
            functional=record.functional,
        ),
        activation=record.activation,
        activation_grad=record.activation_grad.moments,
        input=record.input,
        input_grad=record.input_grad.moments,
        derivative_rms=state.derivative_rms if state else None,
        dead_fraction=state.dead_fraction if state else None,
        saturated_fraction=state.saturated_fraction if state else None,
        observations=state.observations if state else 0,
        units=state.units if state else 0,
        abs_cosine=record.abs_cosine,
        effective_rank=record.effective_rank,
        grad_rms=Moments.merge_all(gradients).rms if gradients else None,
        update_ratio=_joint_update_ratio(own),
        weight_gain=record.weight_gain,
    )


def _joint_update_ratio(flows: list[ParameterFlow]) -> float | None:
    """‖Δw‖/‖w‖ over several parameters together."""
    pairs = [(flow.update_ratio, flow.value.norm) for flow in flows if flow.update_ratio is not None]
    weight = sum(norm**2 for _, norm in pairs if norm) ** 0.5
    update = sum((ratio * norm) ** 2 for ratio, norm in pairs if norm) ** 0.5
    return update / weight if weight else None


def _followed_share(rows: list[SiteFlow], parameters: tuple[ParameterFlow, ...]) -> float:
    """How much of what is trained lies at a site whose gradient was seen; the rest could hide anything."""
    seen = {name for row in rows if row.activation_grad is not None for name in row.site.parameters}
    trained = [flow for flow in parameters if flow.trainable and flow.grad is not None]
    followed = sum(flow.value.count for flow in trained if not seen.isdisjoint((flow.name, *flow.aliases)))
    return followed / max(1, sum(flow.value.count for flow in trained))


def _gaps(recorder: Recorder, rows: list[SiteFlow], strangers: int) -> list[Message]:
    gaps = [Message("gap.probe_failed", {"site": name, "error": error}) for name, error in recorder.failures.items()]
    blind = [row.site.name for row in rows if row.site.parameters and row.activation_grad is None]
    if blind:
        gaps.append(Message("gap.no_gradient_seen", {"sites": len(blind), "site": blind[0]}))
    if strangers:
        gaps.append(Message("gap.unregistered", {"tensors": strangers}))
    return gaps
