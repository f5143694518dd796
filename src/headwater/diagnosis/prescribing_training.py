"""Which changes to the training a finding calls for, best first: the optimizer, the loss, the data, regularisation."""

import math
import statistics

from headwater.diagnosis.prescribing import change as change
from headwater.diagnosis.prescribing import for_gradient_scale, prescription
from headwater.records import Flow, Message, Prescription, SiteFlow

USUAL_RATIO = 3e-3  # of update to weight: 1e-3 is usual, 1e-2 for small networks (CS231n notes and their example)
LARGEST_STEP_DOWN, SMALLEST_STEP_DOWN = -2, -1  # decades; one more is tried after them
LARGEST_STEP_UP, SMALLEST_STEP_UP = 5, 1
SPIKE = 10.0  # times the usual step: a single one is far too long, not all of them
# Whose steps are of one size, whatever the gradient's.
NORMALISING = ("Adam", "RMSprop", "Adagrad", "Adafactor", "Lion")
LONG = 20  # time steps: over so many a forget bias of 1 leaves 0.017 of the gradient, and 3 leaves 0.88


def advice(kind: str, code: str) -> Prescription:
    """A prescription that no remedy can carry out, with the reason and what to change by hand.

    Args:
        kind: Names its texts.
        code: The change, as it could look.
    """
    key = f"prescription.advice_{kind}"
    return Prescription((), Message(f"{key}.why"), Message(f"{key}.wrong_when"), Message(f"{key}.cost"), code)


def shorter_steps(usual: float, largest: float) -> tuple[Prescription, ...]:
    """Against steps that are too long.

    Args:
        usual: Median ‖Δw‖/‖w‖.
        largest: The largest finite one.
    """
    decades = _decades(usual, SMALLEST_STEP_DOWN, LARGEST_STEP_DOWN)
    rates = [change(f"optimisation.learning_rate:{10.0**d:g}", text="shorter_steps") for d in (decades, decades - 1)]
    clipped = change("optimisation.clip_norm")
    if largest > SPIKE * usual:
        return rates[0], clipped, change("optimisation.warmup:50"), *rates[1:]
    return *rates, clipped, change("optimisation.adaptive_clip")


def longer_steps(usual: float) -> tuple[Prescription, ...]:
    """Against steps that get nowhere.

    Args:
        usual: Median ‖Δw‖/‖w‖.
    """
    decades = _decades(usual, SMALLEST_STEP_UP, LARGEST_STEP_UP)
    # The ratio of a weight that is small tells too little, that of one that is large too much: a decade either way.
    tries = [d for d in (decades, decades - 1, decades + 1) if d >= SMALLEST_STEP_UP]
    return tuple(change(f"optimisation.learning_rate:{10**d}", text="longer_steps") for d in tries)


def _decades(ratio: float, least: int, most: int) -> int:
    """Powers of ten from a ratio to the usual one, within bounds."""
    known = ratio > 0.0 and math.isfinite(ratio)
    wanted = round(math.log10(USUAL_RATIO / ratio)) if known else least
    low, high = sorted((least, most))
    return min(max(wanted, low), high)


def calmer_steps() -> tuple[Prescription, ...]:
    """Against steps that take each other back: below 1/λ the gradient no longer turns round."""
    return (
        change("optimisation.learning_rate:0.1", text="calmer_steps"),
        change("optimisation.learning_rate:0.3", text="calmer_steps"),
    )


def for_still_weights(cause: str, flow: Flow) -> tuple[Prescription, ...]:
    """Against weights that stay where they are, by why they do."""
    if cause == "optimizer_params":
        return (change("optimisation.rebind"),)
    if cause == "detached_graph":
        return (attach_graph(),)
    if cause == "learning_rate_low":
        return longer_steps(_usual_ratio(flow))
    return for_gradient_scale(flow) if cause == "numeric_underflow" else ()


def _usual_ratio(flow: Flow) -> float:
    """Median ‖Δw‖/‖w‖ of a step, or of what was meant to be one where rounding has let nothing of it through.

    Of matrices: a bias that starts at zero is itself no more than its steps so far, however short they are.
    """
    matrices = [p for p in flow.parameters if len(p.shape) > 1]
    moved = [p.update_ratio for p in matrices if p.update_ratio]
    rate, norms = flow.setup.optimizer.get("lr"), [(p.grad_norm, p.value.norm) for p in matrices]
    if not moved and rate and flow.optimizer == "SGD":
        moved = [float(rate) * grad / weight for grad, weight in norms if grad and weight and math.isfinite(grad)]
    if (
        not moved and rate and any(name in (flow.optimizer or "") for name in NORMALISING)
    ):  # each element moves by about the rate
        moved = [float(rate) / p.value.rms for p in matrices if p.value.rms]
    return statistics.median(moved) if moved else 0.0


def attach_graph() -> Prescription:
    """Where ``detach()``, ``.data`` or a block without gradients cuts the graph, only its author can join it."""
    return advice(
        "attach_graph",
        "# hidden = hidden.detach()    becomes    hidden = hidden\n"
        "# hidden = hidden.data        becomes    hidden = hidden\n"
        "# with torch.no_grad(): ...   becomes    ...",
    )


def register(attribute: str) -> Prescription:
    """Where layers are in a plain list, only the model's author can register them."""
    return advice(
        "register",
        f"# self.{attribute.rpartition('.')[2]} = [...]               becomes    nn.ModuleList([...])\n"
        "# a tensor with requires_grad=True    becomes    nn.Parameter(...)\n"
        "# then the optimizer is made again from model.parameters()",
    )


def for_dropout() -> tuple[Prescription, ...]:
    """Against dropout whose noise is larger than the signal."""
    return change("regularisation.reduce_dropout"), change("regularisation.reduce_dropout:0.5")


def for_decay() -> tuple[Prescription, ...]:
    """Against weight decay that makes up most of each step."""
    return (change("regularisation.reduce_weight_decay"),)


def for_two_regularisers(decay: float, dropped: float, penalised: int) -> tuple[Prescription, ...]:
    """Against several regularisers at once: each that is there, the pull on the weights first."""
    decays = for_decay() if decay > 0.0 else ()
    penalty = advice("lower_penalty", "# data_loss + 1.0 * penalty   becomes   data_loss + 1e-4 * penalty")
    drops = (change("regularisation.reduce_dropout"),) if dropped > 0.0 else ()
    both = (change("regularisation.reduce_weight_decay", "regularisation.reduce_dropout"),)
    return (*(both if decays and drops else ()), *decays, *((penalty,) if penalised else ()), *drops)


def for_unscaled_input() -> tuple[Prescription, ...]:
    """Against data that are far from mean 0 and variance 1."""
    return change("data.standardise"), prescription("normalisation.batch")


def for_positive_input(row: SiteFlow) -> tuple[Prescription, ...]:
    """Against inputs of a layer that are all positive: data are centred, activations exchanged."""
    centred = prescription("activation.tanh", "init.xavier")
    return (change("data.standardise"), centred) if row.input_grad is None else (centred,)


def for_mismatch(kind: str) -> tuple[Prescription, ...]:
    """Against an output and a loss that do not go together; ``kind`` is the last word of the cause's message."""
    if kind == "twice":
        return (change("loss.logits"),)
    if kind == "range":
        return (change("loss.linear_output"),)
    if kind == "no_logarithm":
        return (advice("logarithm", "# logits.softmax(-1)   becomes   logits.log_softmax(-1)"),)
    if kind == "of_scores":
        return (advice("scores", "# F.nll_loss(scores, target)   becomes   F.cross_entropy(scores, target)"),)
    return (advice("equal_shapes", "# loss(output, target)   becomes   loss(output, target.view_as(output))"),)


def for_time(row: SiteFlow, steps: int) -> tuple[Prescription, ...]:
    """Against a gradient that vanishes through time in a recurrent layer."""
    drawn = change("recurrent.orthogonal")
    if row.site.op not in ("LSTM", "LSTMCell"):
        return (drawn,)
    opened = [change(f"recurrent.forget_bias{strength}") for strength in ("", ":3")]
    return (*(reversed(opened) if steps >= LONG else opened), drawn)


def against_explosion(flow: Flow) -> tuple[Prescription, ...]:
    """Against a gradient that grows on its way back, beside what mends the scale of the layers."""
    turns = any(row.site.kind == "recurrent" for row in flow.sites)
    clipped = change("optimisation.clip_norm")
    return (change("recurrent.orthogonal"), clipped) if turns else (clipped,)


def for_nonfinite(kind: str, flow: Flow) -> tuple[Prescription, ...]:
    """Against NaN and Inf, by where they arose first; what arose in a training may come from its rate."""
    if kind == "input":
        return (advice("clean_data", "assert torch.isfinite(inputs).all()  # in the data pipeline, before the model"),)
    if kind == "update":
        return (advice("full_precision", "# model.half() becomes with torch.autocast(device, torch.float16): ..."),)
    if "Log" in flow.setup.loss_operations:
        return (advice("stable_loss", "# -(y * softmax(x, 1).log())   becomes   functional.cross_entropy(x, y)"),)
    trained = flow.training is not None or flow.step > 0
    return (*(shorter_steps(0.0, 0.0) if trained else ()), *(for_gradient_scale(flow) if kind == "activation" else ()))


def for_overflow(flow: Flow) -> tuple[Prescription, ...]:
    """Against numbers near the end of their dtype; what grew in a training may have grown by its rate."""
    trained = flow.training is not None or flow.step > 0
    return (*for_gradient_scale(flow), *(shorter_steps(0.0, 0.0) if trained else ()))


def for_misused_normalisation(kind: str) -> tuple[Prescription, ...]:
    """Against batch normalisation over ``few_values``, with statistics ``never_gathered`` or ``never_moving``."""
    by_itself = change("normalisation.per_sample")
    return (by_itself,) if kind == "few_values" else (change("normalisation.gather"), by_itself)


def against_overfitting() -> tuple[Prescription, ...]:
    """Each way to ask for a simpler function, at more than one strength; which one suits, held-out data must say."""
    return tuple(
        prescription(remedy)
        for remedy in (
            "regularisation.dropout",
            "regularisation.l2",
            "regularisation.dropout:0.2",
            "regularisation.l2:0.005",
            "regularisation.weight_decay:0.1",
            "regularisation.l1",
        )
    )
