"""Draw the weights of every affine layer anew, at the scale its following activation needs.

Biases become zero. Weights tied to an embedding are left alone, their scale is the embedding's; so are frozen ones,
which hold what was learned elsewhere. Wrong for a model that
has been trained: it forgets what it knows.
"""

from collections.abc import Callable

from torch import nn

from headwater.records import InputError
from headwater.remedies import seeds
from headwater.remedies.edits import DrawWeights, Edit
from headwater.remedies.order import Order, Step, activation_after, affine_layers
from headwater.remedies.remedy import NotApplicableError

Std = Callable[[nn.Module, Step], float]


def draw(remedy_id: str, rule: str, std: Std, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    """The plan of an initialisation remedy.

    Args:
        remedy_id: For messages.
        rule: How std follows from the layer, for the patch's comment.
        std: ``std(layer, the activation that follows it)``.
        model: The model to plan for.
        order: Its execution order.
        seed: Seed of the new weights; they do not repeat the numbers that data made under it may hold.

    Raises:
        NotApplicableError: If no affine layer's weights can be drawn.
    """
    names = drawable_layers(remedy_id, model, order)
    layers = tuple((name, std(model.get_submodule(name), activation_after(order, name))) for name in names)
    return (DrawWeights(layers, seed + seeds.DRAWN_WEIGHTS, rule),)


def drawable_layers(remedy_id: str, model: nn.Module, order: Order) -> list[str]:
    """Names of the affine layers whose weights can be drawn, in execution order.

    Raises:
        NotApplicableError: If there is none.
    """
    names = [name for name in affine_layers(order) if is_drawable(model, name)]
    if not names:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no linear or convolutional layer whose weight can be drawn anew "
            "(frozen, parametrised and tied weights are left alone)."
        )
    return names


def is_drawable(model: nn.Module, name: str) -> bool:
    """Whether the layer has a weight of its own that may be drawn anew."""
    layer = model.get_submodule(name)
    weight = layer._parameters.get("weight")
    if weight is None or weight.dim() < 2 or not weight.is_floating_point() or not weight.requires_grad:
        return False
    if weight.is_meta:
        raise InputError(f"the weight of {name!r} is on the meta device: materialise the model before repairing it.")
    embeddings = [m for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))]
    return not any(embedding.weight is weight for embedding in embeddings)
