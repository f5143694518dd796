"""What surrounds a network while it is trained, as far as one step shows it."""

from dataclasses import dataclass, field

from headwater.records.moments import Moments
from headwater.records.site import Scalar


@dataclass(frozen=True)
class Setup:
    """Input, loss and optimizer.

    Attributes:
        input: Moments of the first floating-point tensor the model is called with; ``None`` if there is none (token
            numbers), or it was not seen.
        feature_decades: log₁₀ of a large over a small feature's rms, where a tenth is larger and a tenth smaller.
        feature_offset: Largest |mean| / spread of a feature of the input.
        operations: How often each operation stands in the graph from the model's first site to the loss, by autograd's
            name without ``Backward``.
        loss_operations: Those between the model's last site and the loss, nearest the loss first.
        signal_operations: Those of ``operations`` that something a site gives goes through: not what weights are made
            with (weight and spectral norms, rounding); ``None`` if that was not looked at.
        loss_reads: Those of ``loss_operations`` under a loss that takes logits, or logarithms of probabilities, and
            nothing else; ``None`` if that was not looked at.
        loss_sites: The sites whose outputs the loss takes in themselves, by their modules' names: the last one's, and
            those of codes or hidden layers that a term of the loss is made of.
        loss_elements: How many numbers the loss is the mean or sum of, ``None`` if that was not seen.
        loss_scale: Constant factor that the loss is multiplied with: 1/8 where it is divided among eight micro-batches,
            the number of targets where a cross-entropy sums them; ``None`` if that was not seen.
        penalised: How many weight matrices the loss holds directly, as an L1 or L2 term does.
        targets: Smallest and largest element of the batch's tensors that have the shape of the model's output.
        targets_of_several: The same of tensors that hold one number where the output holds several, as quantiles do.
        unregistered: Weights under the loss that hang at an attribute of a module as no parameters of it, and that no
            optimizer holds: the attribute's name to how many elements.
        optimizer: Settings of the optimizer's first group: ``lr``, ``weight_decay``, ``momentum``, …
    """

    input: Moments | None = None
    feature_decades: float | None = None
    feature_offset: float | None = None
    operations: dict[str, int] = field(default_factory=dict)
    loss_operations: tuple[str, ...] = ()
    signal_operations: dict[str, int] | None = None
    loss_reads: tuple[str, ...] | None = None
    loss_sites: tuple[str, ...] = ()
    loss_elements: int | None = None
    loss_scale: float | None = None
    penalised: int = 0
    targets: tuple[float, float] | None = None
    targets_of_several: tuple[float, float] | None = None
    unregistered: dict[str, int] = field(default_factory=dict)
    optimizer: dict[str, Scalar] = field(default_factory=dict)
