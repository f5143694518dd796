"""Dropout after each hidden activation: in training, each of its values is set to zero with probability p.

What is left is scaled up by 1/(1-p), so that evaluation needs no change. Against overfitting: units cannot rely on each
other. Applies where hidden activations are modules; one that has a dropout behind it already is passed over. Wrong
against a network that does not learn at all: it adds noise, and any p bounds the depth through which a signal can pass.
At odds with batch normalisation, whose statistics differ between training and evaluation then, and with SELU, which has
``nn.AlphaDropout``. Costs little per step, and more steps.

Default p: 0.5, as in the sources for hidden layers.

Source: Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks
from overfitting", appendix A.4; Schoenholz et al. 2017, arXiv:1611.01232, section 5, for the depth; Li et al. 2019,
arXiv:1801.05134, for batch normalisation.
"""

from torch import nn

from headwater.remedies.edits import Edit
from headwater.remedies.edits_insert import Beside, InsertBeside
from headwater.remedies.order import Order, Step
from headwater.remedies.places import aliases, hidden_modules, is_dropout
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable


def _plan(p: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    steps = [step for step in hidden_modules(remedy_id, model, order) if not _has_dropout(model, order, step)]
    if not steps:
        raise NotApplicableError(
            f"{remedy_id}: a dropout stands behind every hidden activation of {type(model).__name__} already. Its "
            "probability is its attribute p: for m in model.modules(): if isinstance(m, nn.Dropout): m.p = ..."
        )
    places = dict.fromkeys(aliases(model, step.module) for step in steps)
    return (InsertBeside(tuple(Beside(names, "Dropout", (p,)) for names in places), "after", "other"),)


def _has_dropout(model: nn.Module, order: Order, activation: Step) -> bool:
    """Whether a dropout follows the activation before the next layer."""
    place = next(index for index, step in enumerate(order) if step is activation)
    for step in order[place + 1 :]:
        if is_dropout(model, step):
            return True
        if step.kind in ("affine", "activation"):
            break
    return False


REMEDY = adjustable(
    "regularisation.dropout", Strength("p, the share of values that are set to zero", 0.5, _plan, below=1.0)
)
