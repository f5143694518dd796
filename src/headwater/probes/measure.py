"""One step of a model, measured: batch in, Flow out, model as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headwater.kernels.ledger import Ledger
from headwater.probes.choose import Choice, Sites
from headwater.probes.directions import with_directions
from headwater.probes.eager import eager
from headwater.probes.graph import BackwardGraph
from headwater.probes.parameters import ParameterProbe, step
from headwater.probes.preserve import preserved, strangers_kept
from headwater.probes.recorder import Recorder
from headwater.probes.rows import followed_share, gaps, site_flows, site_names, with_followers, with_parameters
from headwater.probes.tree import describe, own_copy, tensors
from headwater.records import Flow, InputError

Loss = Callable[[Any, Any], Any]


def measure(
    model: nn.Module,
    batch: Any,
    loss: Loss,
    optimizer: torch.optim.Optimizer | None = None,
    steps_before: int = 0,
    sites: Sites | None = None,
) -> Flow:
    """Run one forward and one backward pass and measure every site and parameter on the way.

    Outputs, ``.grad``, buffers, weights, train/eval mode and random states are bit-identical afterwards.

    Args:
        model: Any module.
        batch: What ``loss`` takes beside the model.
        loss: ``loss(model, batch) -> scalar tensor``.
        optimizer: Made over the model's parameters; it takes one step, so that updates are what it really does. Its
            own state (momentum) moves on; the weights are put back, those that are not the model's too.
        steps_before: Optimizer steps taken before this one, for the record.
        sites: Which sites; see :class:`headwater.probes.choose.Choice`.

    Raises:
        InputError: If there is nothing to train, the model rejects the batch, or the loss is no scalar with a graph.
    """
    check_trainable(model)
    ledger = Ledger()
    parameters = ParameterProbe(model)
    readings = parameters.begin(model)
    with strangers_kept(model, optimizer), preserved(model, batch) as set_aside, _gradients_on(), eager():
        recorder = Recorder(model, ledger, choice=Choice.of(sites))
        try:
            value = _forward(recorder, model, batch, loss)
            graph = BackwardGraph([value.grad_fn], recorder.sites, ledger)
            recorder.on_revisited = graph.enter
            assert recorder.setup is not None
            try:
                nodes = {node: site.base_name for site in recorder.sites for node in site.out_nodes}
                recorder.setup.note_loss([value.grad_fn], nodes)
                recorder.setup.note_targets(batch, recorder.sites[-1].shape)
                recorder.setup.note_unregistered(model, graph.leaves, optimizer)
                set_aside(graph.leaves)
                strangers = len(_strangers(graph.leaves, model, batch))
                with recorder:  # reentrant checkpoints run their forwards again
                    _backward(value, retain_graph=any(tensor.grad_fn is not None for tensor in tensors(batch)))
                names = site_names(recorder.sites)
                path = graph.path(names)
                rows = with_followers(site_flows(recorder, graph), graph.followers())
            finally:
                graph.close()
        finally:
            recorder.close()
        parameters.read(ledger)
        recorder.setup.note_optimizer(optimizer)
        if optimizer is not None:
            parameters.keep()
            step(optimizer, lambda: _closure(model, batch, loss))
            parameters.compare(optimizer)
            parameters.look_closer(optimizer)
        found = with_directions(readings.flows(ledger), model)
    rows = with_parameters(rows, found)
    return Flow(
        sites=rows,
        parameters=found,
        path=path,
        loss=float(value.detach()),
        samples=_samples(batch),
        optimizer=type(optimizer).__name__ if optimizer is not None else None,
        step=steps_before,
        followed_share=followed_share(rows, found),
        gaps=tuple(gaps(recorder, rows, strangers)),
        setup=recorder.setup.setup(),
    )


def check_trainable(model: Any) -> None:
    """Refuse what cannot be measured.

    Raises:
        InputError: If ``model`` is no module, has no parameters, lazy ones, or none that asks for a gradient.
    """
    check_watchable(model)
    parameters = list(model.parameters())
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


def check_watchable(model: Any) -> None:
    """Refuse what can never be measured; weights may still be missing, or frozen for now.

    Raises:
        InputError: If ``model`` is no module, has no parameters, or runs without Python.
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
        value = loss(model, own_copy(batch))
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


def _forward(recorder: Recorder, model: nn.Module, batch: Any, loss: Loss) -> Tensor:
    def where() -> str:
        module = recorder.innermost
        return f"  inside: {recorder.name_of(module)} ({type(module).__name__})\n" if module is not None else ""

    with recorder:
        value = checked_loss(model, batch, loss, where)
    if not recorder.sites and recorder.failures:
        name, error = next(iter(recorder.failures.items()))
        raise InputError(f"nothing of the model could be measured; {name}: {error}.")
    if not recorder.sites and recorder.saw_call:
        raise InputError(
            f"{recorder.choice} is none of the operations that ran, which are: {', '.join(recorder.names_run(8))}."
        )
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
    value: Tensor = loss(model, own_copy(batch))
    value.backward()
    return value


@contextmanager
def _gradients_on() -> Iterator[None]:
    """Gradients are recorded inside, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _samples(batch: Any) -> int:
    first = next(tensors(batch), None)
    return first.shape[0] if first is not None and first.dim() else 0


def _strangers(leaves: list[Tensor], model: nn.Module, batch: Any) -> list[Tensor]:
    """Parameters the loss depends on that are not the model's: of layers in a plain list, or of the loss itself."""
    known = {id(tensor) for tensor in (*model.parameters(), *tensors(batch))}
    return [leaf for leaf in leaves if isinstance(leaf, nn.Parameter) and id(leaf) not in known]
