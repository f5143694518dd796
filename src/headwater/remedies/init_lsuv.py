"""LSUV: orthogonal weights, each layer then divided by the deviation of what it gives on one batch.

So every layer's output has variance 1 whatever activation, normalisation or module of your own stands before it: no
gain has to be known. Layers run in order, each on what the layers before it give once they have been divided; as
biases are zero, one division is exact. Needs a batch: ``hw.apply(model, "init.lsuv", batches=[batch], loss=loss)``.

Unit variance is not trainability: at a thousand ReLU layers every variance and every gradient is perfect, all inputs
have merged into one, and the network stays at chance. So the collapse check always follows, on the same batch, and
what it found is told as a warning and in the patch. Wrong for plain networks deeper than about 50 layers
(``init.mirrored`` and ``activation.tailored`` are for those), where one batch says little about the data, and for a
model that has been trained. Costs one forward pass and one measured step, once.

Source: Mishkin and Matas 2016, arXiv:1511.06422, algorithm 1; the thousand layers are measured, docs/log.md.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from headwater.diagnosis import diagnose
from headwater.i18n import speak
from headwater.probes.measure import measure
from headwater.probes.preserve import preserved
from headwater.probes.tree import own_copy
from headwater.records import Finding, Message
from headwater.remedies import seeds
from headwater.remedies.data import Data
from headwater.remedies.edits import Edit, copied_model, fans
from headwater.remedies.edits_orthogonal import DrawOrthogonal, OrthogonalLayer
from headwater.remedies.init import attention_weights, drawable_layers
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "init.lsuv"
RULE = "LSUV: orthogonal, divided by the deviation of each layer's output on one batch"


@dataclass(frozen=True)
class DrawUnitVariance(DrawOrthogonal):
    """Orthogonal weights at scales that were measured.

    Attributes:
        collapsed: What the collapse check has to say of the result; ``None`` if the inputs stay apart.
    """

    collapsed: Message | None = None

    @property
    def warnings(self) -> tuple[Message, ...]:
        """That the inputs have merged, if they have."""
        return () if self.collapsed is None else (self.collapsed,)

    def lines(self) -> list[str]:
        """The outcome of the check stands above the weights."""
        outcome = speak(self.collapsed or Message("remedy.init.lsuv.apart"), "en")
        return [f"# Collapse check: {outcome}", *super().lines()]


def _plan(model: nn.Module, order: Order, seed: int, data: Data) -> tuple[Edit, ...]:
    names = drawable_layers(ID, model, order)
    start = tuple(OrthogonalLayer(name, 1.0 / fans(model.get_submodule(name))[0] ** 0.5) for name in names)
    drawn = DrawUnitVariance(start, seed + seeds.DRAWN_WEIGHTS, RULE)
    beside = attention_weights(model, order, seed, orthogonal=True)
    trial = copied_model(model)
    for edit in (drawn, *beside):
        edit.apply(trial)
    deviations = _deviations(trial, names, data, seed)
    layers = tuple(replace(layer, std=layer.std / deviations.get(layer.name, 1.0)) for layer in start)
    drawn = replace(drawn, layers=layers)
    drawn.apply(trial)
    return (replace(drawn, collapsed=_collapse(trial, data, seed)), *beside)


def _deviations(model: nn.Module, names: list[str], data: Data, seed: int) -> dict[str, float]:
    """Standard deviation of each layer's output, all layers before it divided by theirs already.

    What the model draws (dropout) it draws under the seed, so that the same seed gives the same weights.
    """
    found: dict[str, float] = {}
    with preserved(model, data.batches[0]), _dividing(model, names, found):
        torch.manual_seed(seed + seeds.TRAINING)
        try:
            _run(data, model, found)
        except NotApplicableError:
            raise
        except Exception as error:
            raise NotApplicableError(
                f"{ID}: loss(model, batch) raised {type(error).__name__}: {error}. It is run once to see how large "
                "each layer's output is; init.orthogonal needs no batch."
            ) from error
    return found


def _run(data: Data, model: nn.Module, found: dict[str, float]) -> None:
    """Without a graph; with one if the loss needs that, as one with a derivative of the output in it does."""
    try:
        with torch.no_grad():
            data.loss(model, own_copy(data.batches[0]))
    except RuntimeError:
        found.clear()
        with torch.enable_grad():
            data.loss(model, own_copy(data.batches[0]))


@contextmanager
def _dividing(model: nn.Module, names: list[str], found: dict[str, float]) -> Iterator[None]:
    """Each layer's output is divided by its deviation at the layer's first call, and the same at every later one."""

    def divide(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            if name not in found:
                found[name] = _deviation(name, output)
            return output / found[name]

        return hook

    handles = [model.get_submodule(name).register_forward_hook(divide(name), prepend=True) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _deviation(name: str, output: Any) -> float:
    if not isinstance(output, Tensor):
        raise NotApplicableError(f"{ID}: {name!r} gives no tensor, whose variance could be seen.")
    deviation = float(output.detach().double().var(correction=0).sqrt()) if output.numel() else 0.0
    if not 0.0 < deviation < float("inf"):
        raise NotApplicableError(
            f"{ID}: on this batch all that {name!r} gives has a deviation of {deviation:g}, which no scale "
            "brings to 1. Look at what comes in with hw.check(model, batch, loss); init.orthogonal needs no batch."
        )
    return deviation


def _collapse(model: nn.Module, data: Data, seed: int) -> Message | None:
    """What the rule for merged inputs finds on the batch."""
    with preserved(model, data.batches[0]):
        torch.manual_seed(seed + seeds.TRAINING)
        findings = diagnose(measure(model, data.batches[0], data.loss)).findings
    found = next((finding for finding in findings if finding.symptom == "rank_collapse"), None)
    return None if found is None else _told(found)


def _told(finding: Finding) -> Message:
    return Message("remedy.init.lsuv.collapsed", dict(finding.message.values))


REMEDY = Remedy(ID, _plan, needs_data=True)
