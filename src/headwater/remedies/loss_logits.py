"""Logits go into the loss: the softmax or sigmoid before a loss that has its own is taken away.

``cross_entropy`` takes the softmax itself, and ``binary_cross_entropy_with_logits`` the sigmoid: applied twice, no
class ever gets a probability above e/(e + classes - 1), and the gradient is small where the network is most wrong. The
module becomes ``nn.Identity``, so no name changes; before ``nll_loss``, which wants logarithms, ``nn.Softmax`` becomes
``nn.LogSoftmax``. A function at the end of a ``forward`` is undone by a hook behind it, as logarithms of probabilities
are logits up to a constant; one in a loss is out of reach, and the message names its line. One training step is run to
see what the losses are given. Wrong where something else takes the outputs for probabilities: what compares them
with 0.5 has to compare with 0, and whoever wants probabilities takes the softmax or the sigmoid there. Costs nothing.

Source: PyTorch documentation of ``CrossEntropyLoss``, ``BCEWithLogitsLoss`` and ``NLLLoss``.
"""

from torch import nn

from headwater.remedies.data import Data
from headwater.remedies.edits import Edit, copied_model
from headwater.remedies.edits_head import ReplaceHead, UndoAtTheEnd
from headwater.remedies.loss_calls import Squashed, squashed_before_loss
from headwater.remedies.order import Order
from headwater.remedies.places import aliases
from headwater.remedies.remedy import NotApplicableError, Remedy

ID = "loss.logits"
# What stands between a network and a loss that is not for it, and what belongs there.
WRONG = {
    ("cross_entropy", "softmax"): "Identity",
    ("cross_entropy", "sigmoid"): "Identity",
    ("binary_cross_entropy_with_logits", "softmax"): "Identity",
    ("binary_cross_entropy_with_logits", "sigmoid"): "Identity",
    ("nll_loss", "softmax"): "LogSoftmax",
}


def _plan(model: nn.Module, order: Order, seed: int, data: Data) -> tuple[Edit, ...]:
    losses, squashed = squashed_before_loss(model, data)
    wrong = [each for each in squashed if (each.loss, each.kind) in WRONG]
    if not wrong:
        raise NotApplicableError(f"{ID}: {_why_not(model, losses, squashed)}")
    kinds = {each.kind for each in wrong}
    if all(each.module is None for each in wrong) and len(kinds) == 1:
        undo = UndoAtTheEnd(kinds.pop())
        if _is_at_the_end(model, undo, data):
            return (undo,)
    return tuple(dict.fromkeys(_edit(model, each) for each in wrong))


def _is_at_the_end(model: nn.Module, undo: UndoAtTheEnd, data: Data) -> bool:
    """Whether the losses are given logits once the forward's output is undone; by a step of a copy."""
    tried = copied_model(model)
    undo.apply(tried)
    try:
        _, squashed = squashed_before_loss(tried, data)
    except Exception:  # an output that is no tensor, say: whatever it is, the forward is not undone like this
        return False
    return not any((each.loss, each.kind) in WRONG for each in squashed)


def _edit(model: nn.Module, found: Squashed) -> Edit:
    kind = WRONG[found.loss, found.kind]
    if found.module is None:
        instead = f"hand on what {found.kind} is taken of" if kind == "Identity" else "take torch.log_softmax there"
        raise NotApplicableError(
            f"{ID}: {found.kind} is called as a function before {found.loss}, where no module can be replaced. In "
            f"{found.line} {instead}."
        )
    if found.elsewhere:
        raise NotApplicableError(
            f"{ID}: {found.module!r} also runs where no loss takes what it gives. Give the output a module of its own: "
            "two in __init__, each called at its place."
        )
    dim = getattr(model.get_submodule(found.module), "dim", 1) if kind == "LogSoftmax" else None
    return ReplaceHead(aliases(model, found.module), kind, dim)


def _why_not(model: nn.Module, losses: list[str], squashed: list[Squashed]) -> str:
    if any(found.loss == "cross_entropy" for found in squashed):
        return (
            "log_softmax before cross_entropy changes nothing, since the softmax of logarithms of probabilities gives "
            "these again: the loss and its gradient are right as they are."
        )
    if losses:
        return (
            f"{losses[0]} is given what it is made for; no softmax or sigmoid of {type(model).__name__} goes into it. "
            "loss.linear_output takes away an activation that cannot reach the targets."
        )
    return (
        "the loss calls no cross-entropy of torch.nn.functional on what the model gives. For probabilities in a loss "
        "written by hand: torch.nn.functional.cross_entropy(logits, targets)."
    )


REMEDY = Remedy(ID, _plan, needs_data=True)
