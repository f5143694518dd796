"""Less dropout: no module drops more than a share p any more.

Dropout, dropout between recurrent layers and dropout of attention weights. What is kept is scaled by 1/(1 - p), so the
noise it makes is p/(1 - p) times the signal: a ninth at 0.1, four times at 0.8. Against dropout so high that nothing
is learned through it. Wrong where the model learns its training data by heart: there dropout is the cure. Reaches
modules only, not ``F.dropout`` in a ``forward``. Costs nothing. Applied twice it is applied once.

Default p: 0.1, as in transformers.

Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", appendix A.4 (0.2
to 0.5 in hidden layers); Vaswani et al. 2017, arXiv:1706.03762, section 5.4 (0.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from torch import nn

from headwater.remedies.edits import Edit, wrapped
from headwater.remedies.order import Order
from headwater.remedies.remedy import NotApplicableError, Strength, adjustable


@dataclass(frozen=True)
class SetShare(Edit):
    """Set the share that some modules drop.

    Attributes:
        places: Name of each module and of its attribute.
        p: The share.
    """

    places: tuple[tuple[str, str], ...]
    p: float

    def apply(self, model: nn.Module) -> None:
        """In place, on the modules."""
        for name, attribute in self.places:
            setattr(model.get_submodule(name), attribute, self.p)

    def lines(self) -> list[str]:
        """A loop per attribute."""
        lines = []
        for attribute, run in groupby(sorted(self.places, key=lambda place: place[1]), key=lambda place: place[1]):
            lines += [
                f"for name in {wrapped([name for name, _ in run], indent=4)}:",
                f"    model.get_submodule(name).{attribute} = {self.p!r}",
            ]
        return lines


def shares_dropped(model: nn.Module) -> Iterator[tuple[str, str, float]]:
    """Name, attribute and share of every module that drops something."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0.0:
            yield name, "p", float(module.p)
        elif isinstance(module, (nn.MultiheadAttention, nn.RNNBase)) and module.dropout > 0.0:
            yield name, "dropout", float(module.dropout)


def _plan(p: float, remedy_id: str, model: nn.Module, order: Order, seed: int) -> tuple[Edit, ...]:
    found = list(shares_dropped(model))
    high = tuple((name, attribute) for name, attribute, share in found if share > p)
    if high:
        return (SetShare(high, p),)
    if found:
        most = max(share for _, _, share in found)
        raise NotApplicableError(
            f"{remedy_id}: the modules of {type(model).__name__} drop {most:g} at most, which is no more than {p:g}. "
            f"Less still: regularisation.reduce_dropout:{most / 2:g}."
        )
    raise NotApplicableError(
        f"{remedy_id}: {type(model).__name__} has no dropout that is a module. One that is called as a function, "
        "F.dropout(x, p, self.training), takes its p there."
    )


REMEDY = adjustable(
    "regularisation.reduce_dropout", Strength("p, the largest share that is dropped afterwards", 0.1, _plan, below=1.0)
)
