"""Draw the weights of every affine layer anew, at the scale its following activation needs.

Biases become zero. The projections of ``nn.MultiheadAttention``, each a layer without activation, are drawn too.
Weights tied to an embedding are left alone, their scale is the embedding's; so are frozen ones, which hold what was
learned elsewhere. Wrong for a model that has been trained: it forgets what it knows.
"""

from collections.abc import Callable

from torch import nn

from headwater.records import InputError
from headwater.remedies import seeds
from headwater.remedies.edits import DrawWeights, Edit
from headwater.remedies.edits_attention import DrawProjections, Projection
from headwater.remedies.order import Order, Step, activation_after, affine_layers
from headwater.remedies.remedy import NotApplicableError

Std = Callable[[nn.Module, Step], float]
OfFans = Callable[[int, int], float]


def lecun(fan_in: int, fan_out: int) -> float:
    """Std of a layer that no activation follows."""
    return float(1.0 / fan_in**0.5)


def draw(
    remedy_id: str, rule: str, std: Std, model: nn.Module, order: Order, seed: int, of_fans: OfFans = lecun
) -> tuple[Edit, ...]:
    """The plan of an initialisation remedy.

    Args:
        remedy_id: For messages.
        rule: How std follows from the layer, for the patch's comment.
        std: ``std(layer, the activation that follows it)``.
        model: The model to plan for.
        order: Its execution order.
        seed: Seed of the new weights; they do not repeat the numbers that data made under it may hold.
        of_fans: Std of a projection of attention, by its inputs and outputs.

    Raises:
        NotApplicableError: If no affine layer's weights can be drawn.
    """
    names = drawable_layers(remedy_id, model, order)
    layers = tuple((name, std(model.get_submodule(name), activation_after(order, name))) for name in names)
    drawn = DrawWeights(layers, seed + seeds.DRAWN_WEIGHTS, rule)
    return (drawn, *attention_weights(model, order, seed, of_fans))


def attention_weights(
    model: nn.Module, order: Order, seed: int, of_fans: OfFans = lecun, orthogonal: bool = False
) -> tuple[Edit, ...]:
    """The edit that draws the projections of every ``nn.MultiheadAttention``; none where there is none.

    Queries, keys and values stand in one matrix, of which each third is drawn as the layer it is.
    """
    attentions = {
        step.module: model.get_submodule(step.module)
        for step in order
        if step.kind == "attention" and not step.functional
    }
    projections: list[Projection] = []
    biases: list[str] = []
    for name, attention in attentions.items():
        for path, parts in _PROJECTIONS.items():
            owner, _, parameter = f"{name}.{path}".rpartition(".")
            weight = model.get_submodule(owner)._parameters.get(parameter)
            if weight is not None and weight.requires_grad and weight.is_floating_point():
                outputs, inputs = weight.shape[0] // parts, weight.shape[1]
                projections.append(Projection(f"{owner}.{parameter}", of_fans(inputs, outputs), parts))
        own = (attention._parameters.get("in_proj_bias"), attention.get_submodule("out_proj")._parameters.get("bias"))
        paths = (f"{name}.in_proj_bias", f"{name}.out_proj.bias")
        biases += [path for path, bias in zip(paths, own, strict=True) if bias is not None and bias.requires_grad]
    if not projections:
        return ()
    return (DrawProjections(tuple(projections), tuple(biases), seed + seeds.DRAWN_PROJECTIONS, orthogonal),)


# How many layers stand one above the other in each weight of nn.MultiheadAttention.
_PROJECTIONS = {"in_proj_weight": 3, "q_proj_weight": 1, "k_proj_weight": 1, "v_proj_weight": 1, "out_proj.weight": 1}


def drawable_layers(remedy_id: str, model: nn.Module, order: Order) -> list[str]:
    """Names of the affine layers whose weights can be drawn, in execution order.

    Raises:
        NotApplicableError: If there is none.
    """
    shared = embedded(model)
    names = [name for name in affine_layers(order) if is_drawable(model, name, shared)]
    if not names:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no linear or convolutional layer whose weight can be drawn anew "
            "(frozen, parametrised and tied weights are left alone)."
        )
    return names


def is_drawable(model: nn.Module, name: str, shared: frozenset[int]) -> bool:
    """Whether the layer has a weight of its own that may be drawn anew.

    Args:
        model: Whose layer.
        name: Of the layer.
        shared: What :func:`embedded` gives of the model: looked up once, not once per layer of ten thousand.

    Raises:
        InputError: If the weight has no storage yet.
    """
    weight = model.get_submodule(name)._parameters.get("weight")
    if weight is None or weight.dim() < 2 or not weight.is_floating_point() or not weight.requires_grad:
        return False
    if weight.is_meta:
        raise InputError(f"the weight of {name!r} is on the meta device: materialise the model before repairing it.")
    return id(weight) not in shared


def embedded(model: nn.Module) -> frozenset[int]:
    """``id`` of every weight of an embedding."""
    return frozenset(id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag)))
