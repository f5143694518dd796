"""Which remedies a finding calls for, best first."""

from collections import Counter
from dataclasses import replace

from headwater.diagnosis.decay import DECAYING, decay_share
from headwater.diagnosis.waterfall import waterfall
from headwater.records import Flow, Message, Prescription, SiteFlow
from headwater.theory import ACTIVATIONS

# Past this depth He-initialised rectifiers merge their inputs (|cos| 0.87 at 10 layers for orthogonal ones, by ReLU's
# correlation map: Schoenholz et al. 2017) and tanh with Xavier learns more; up to it both learn the same within 0.03.
# Measured by benchmarks/prescriptions.py, figures in docs/log.md.
MERGING_DEPTH = 10
LARGEST_DRAWN = 1.5  # rms of an embedding: PyTorch draws N(0, 1), and everybody else smaller numbers
FEWEST_BLOCKS = 2
_WEIGHED = ("affine", "attention", "recurrent")


def prescription(*remedies: str, code: str = "", text: str = "") -> Prescription:
    """A prescription for remedies that belong together; its texts go by their ids.

    Args:
        remedies: With their strengths, if they are to have others than their own.
        code: The change, where it is known.
        text: Names the texts, where a remedy is prescribed for more than one reason.
    """
    key = text or "+".join(remedy.partition(":")[0].replace(".", "_") for remedy in remedies)
    return Prescription(
        remedies=remedies,
        why=Message(f"prescription.{key}.why"),
        wrong_when=Message(f"prescription.{key}.wrong_when"),
        cost=Message(f"prescription.{key}.cost"),
        code=code,
    )


def change(*remedies: str, text: str = "") -> Prescription:
    """A prescription for remedies whose own texts say when they are wrong and what they cost.

    Args:
        remedies: With their strengths.
        text: Names the reason, where a remedy is prescribed for more than one.
    """
    of = f"remedy.{remedies[0].partition(':')[0]}"
    return replace(
        prescription(*remedies, text=text), wrong_when=Message(f"{of}.wrong_when"), cost=Message(f"{of}.cost")
    )


def for_gradient_scale(flow: Flow) -> tuple[Prescription, ...]:
    """Against a gradient that vanishes or explodes with depth, and signals that do.

    Weights that are pulled to zero faster than anywhere else take the gradient with them, whatever they were drawn at.
    """
    decays = (change("regularisation.reduce_weight_decay"),) if (decay_share(flow) or 0.0) > DECAYING else ()
    return (*decays, *for_long_vectors(flow), *_for_layers(flow), *for_blocks(flow))


def _for_layers(flow: Flow) -> tuple[Prescription, ...]:
    used = hidden_activations(flow)
    if not used and _blames_the_unknown(flow):
        return ()
    to_relu, to_tanh = prescription("activation.relu", "init.he"), prescription("activation.tanh", "init.xavier")
    if used & {"sigmoid", "softplus"}:
        if not _is_deep(flow):
            return to_relu, to_tanh
        shortcuts, tailored = _shortcuts(flow), _if_plain(flow, "activation.tailored")
        return (to_tanh, *shortcuts, *tailored, to_relu)
    if used and all(ACTIVATIONS[name].family == "s_shaped" for name in used):
        return (prescription("init.xavier"), *_shortcuts(flow), to_relu, *_if_deep(flow))
    return (prescription("init.he"), *_shortcuts(flow), *_if_deep(flow))


def _if_deep(flow: Flow) -> tuple[Prescription, ...]:
    """What keeps inputs apart at any depth, for plain networks past the depth at which other weights alone do.

    He's weights bring a gradient back through a thousand rectifiers, and no input with it
    (examples/thousand_layers.py).
    """
    plain = not any(row.site.kind == "join" for row in flow.sites)
    return _isometries(flow) if plain and _is_deep(flow) else ()


def _shortcuts(flow: Flow) -> tuple[Prescription, ...]:
    """A way round the layers, for plain networks past the depth at which weights alone do well enough.

    Measured by benchmarks/remedies.py, figures in docs/log.md.
    """
    return _if_plain(flow, "structure.prenorm") if _is_deep(flow) else ()


def _if_plain(flow: Flow, remedy: str) -> tuple[Prescription, ...]:
    """A remedy for networks without shortcuts, if this is one."""
    return () if any(row.site.kind == "join" for row in flow.sites) else (prescription(remedy),)


def _is_deep(flow: Flow) -> bool:
    return sum(row.site.kind == "affine" for row in flow.sites) > MERGING_DEPTH


def _blames_the_unknown(flow: Flow) -> bool:
    """Whether most decades go to operations that no remedy here reaches: handwritten activations, bare sums."""
    budget = waterfall(flow)
    return budget is not None and next(iter(budget.totals), "") in ("other", "shortcut", "pooling")


def for_saturation(flow: Flow) -> tuple[Prescription, ...]:
    """Against activations driven into their flat ends."""
    turns = any(row.site.kind == "recurrent" for row in flow.sites)
    drawn = (change("recurrent.orthogonal"),) if turns else ()
    return (*for_long_vectors(flow), prescription("init.xavier"), *drawn, prescription("activation.relu", "init.he"))


def for_dead_units(flow: Flow) -> tuple[Prescription, ...]:
    """Against units that no sample reaches."""
    return prescription("activation.leaky_relu", "init.he"), prescription("init.he")


def for_collapse(flow: Flow) -> tuple[Prescription, ...]:
    """Against inputs that merge with depth: isometry where the activation allows it, else one bent to allow it.

    A pre-norm shortcut goes with any activation, and changes more.
    """
    return (*_isometries(flow), *_if_plain(flow, "structure.prenorm"), *for_blocks(flow))


def for_blocks(flow: Flow) -> tuple[Prescription, ...]:
    """A way round whole blocks, where several stand side by side and nothing is added up behind the first of them."""
    first = next((index for index, row in enumerate(flow.sites) if _block_of(row)), len(flow.sites))
    blocks = Counter(_block_of(row) for row in flow.sites if row.site.kind in _WEIGHED and _block_of(row))
    joined = any(row.site.kind == "join" for row in flow.sites[first:])
    return () if joined or len(blocks) < FEWEST_BLOCKS else (prescription("structure.residual"),)


def _block_of(row: SiteFlow) -> str:
    """The numbered part of the model that a site is inside of, ``""`` for none and for the numbered layer itself."""
    parts = row.site.module.split(".")
    number = next((index for index, part in enumerate(parts) if part.isdecimal()), len(parts))
    return ".".join(parts[: number + 1]) if number + 1 < len(parts) else ""


def for_long_vectors(flow: Flow) -> tuple[Prescription, ...]:
    """Vectors drawn anew, where those of an embedding are longer than anybody draws them."""
    parameters = {name: p for p in flow.parameters for name in (p.name, *p.aliases)}
    for row in flow.sites:
        vectors = parameters.get(f"{row.site.module}.weight") if row.site.kind == "embedding" else None
        if vectors is None or not vectors.trainable or vectors.shape[-1] < 2:
            continue
        if (vectors.value.rms or 0.0) > LARGEST_DRAWN:
            return (prescription("init.embedding"),)
    return ()


def _isometries(flow: Flow) -> tuple[Prescription, ...]:
    """Weights or activations that keep lengths and angles from layer to layer, by what the activations are."""
    families = {ACTIVATIONS[name].family for name in hidden_activations(flow)}
    if families == {"rectifier"}:
        return prescription("init.mirrored"), prescription("activation.tailored_leaky")
    if hidden_activations(flow) <= {"tanh", "softsign", "hardtanh"}:
        return prescription("init.orthogonal"), prescription("activation.tailored")
    return (prescription("activation.tailored"),)


def hidden_activations(flow: Flow) -> set[str]:
    """Ids of the activations that have an affine map after them; what follows the last one is the output's own."""
    return {row.site.activation for row in before_last_affine(flow) if row.site.activation is not None}


def before_last_affine(flow: Flow) -> tuple[SiteFlow, ...]:
    """The sites before the last affine map, in execution order."""
    affine = [index for index, row in enumerate(flow.sites) if row.site.kind == "affine"]
    return flow.sites[: affine[-1]] if affine else ()
