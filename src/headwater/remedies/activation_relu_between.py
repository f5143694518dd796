"""ReLU between affine layers that follow each other with nothing in between.

A product of matrices is a matrix: such layers together express one affine map, however many they are and however long
they train. Each gets a ReLU behind it, or behind the normalisation that follows it, up to the output's own layer. The
module stands in an ``nn.Sequential`` that takes the layer's place, so that a ``forward`` that calls the layer calls
both; names inside grow by ``.0``. Another activation is the next remedy's: ``["activation.relu_between",
"activation.tanh"]``.

Applies to chains, and to branches of them: what is added up between two layers is left as it is. Wrong where a linear
map is what is wanted: a factorised matrix (a layer narrower than those on both sides is passed over), a linear
autoencoder, a probe. The weights stay; those of He et al. go with it. Costs next to nothing.

Source: Cybenko 1989, "Approximation by superpositions of a sigmoidal function"; Glorot, Bordes, Bengio 2011, "Deep
sparse rectifier neural networks", for the rectifier; between normalisation and activation nothing: Ioffe and Szegedy
2015, arXiv:1502.03167, section 3.2.
"""

from collections.abc import Iterator
from itertools import pairwise

from torch import nn

from headwater.remedies.edits import Edit, fans
from headwater.remedies.edits_insert import Beside, InsertBeside
from headwater.remedies.order import Order, Step
from headwater.remedies.places import names_of
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "activation.relu_between"
_BENDS_ITSELF = ("recurrent", "attention")


def _plan(model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    bent = next((step for step in order if step.kind in _BENDS_ITSELF), None)
    if bent is not None:
        raise NotApplicableError(
            f"{ID}: {bent.module!r} bends the signal itself, and this remedy is for chains of affine layers. "
            "Put an activation where you want one: nn.ReLU()."
        )
    gaps = list(dict.fromkeys(_gaps(model, order)))
    if not gaps:
        raise NotApplicableError(
            f"{ID}: {type(model).__name__} has no two affine layers with nothing but linear operations between them. "
            "To exchange activations that are there: activation.relu."
        )
    _refuse_reused(gaps, model, order)
    places = tuple(Beside(names_of(model, name), "ReLU", ()) for name in gaps)
    return (InsertBeside(places, "after", "activation", "relu"),)


def _gaps(model: nn.Module, order: Order) -> Iterator[str]:
    """Behind which modules an activation belongs, in execution order."""
    affine = [index for index, step in enumerate(order) if step.kind == "affine"]
    for start, end in pairwise(affine):
        layer, between = order[start], order[start + 1 : end]
        if layer.functional or layer.followed_by or any(map(_is_no_gap, between)):
            continue
        inputs, outputs = _fans(model, layer)
        if outputs < min(inputs, _fans(model, order[end])[1]):
            continue
        yield next((step.module for step in reversed(between) if _normalises(step)), layer.module)


def _fans(model: nn.Module, step: Step) -> tuple[float, float]:
    """Inputs that a layer's outputs sum over, and outputs; of one that is a function nobody knows."""
    if step.functional or not hasattr(model.get_submodule(step.module), "weight"):
        return float("inf"), float("inf")
    return fans(model.get_submodule(step.module))


def _is_no_gap(step: Step) -> bool:
    """Whether something bends between two layers, or two signals come together, which an activation is not for."""
    return step.activation is not None or step.kind == "join"


def _normalises(step: Step) -> bool:
    return step.kind == "normalization" and not step.functional


def _refuse_reused(gaps: list[str], model: nn.Module, order: Order) -> None:
    """Refuse a module that also runs where no activation belongs, before the output say."""
    found = list(_gaps(model, order))
    for name in gaps:
        runs = sum(step.module == name and not step.functional for step in order)
        if runs > found.count(name):
            raise NotApplicableError(
                f"{ID}: {name!r} runs {runs} times, also where no activation belongs. Give each place a layer of its "
                "own, or call nn.ReLU() in forward."
            )


REMEDY = Remedy(ID, _plan)
