"""What regularisation remedies share: which parameters are weights."""

from torch import nn

from headwater.probes.classify import module_kind
from headwater.remedies.remedy import NotApplicableError


def weight_matrices(remedy_id: str, model: nn.Module) -> tuple[str, ...]:
    """Names of the trained parameters that are weights: matrices and kernels of anything but normalisation.

    Biases, scales and slopes are left out, for shrinking them makes a function no simpler; so are embeddings, of which
    a batch sees a few rows while all would shrink, and weights that a parametrisation computes.

    Raises:
        NotApplicableError: If there is none.
    """
    spared = {
        id(parameter)
        for module in model.modules()
        if module_kind(module) in ("normalization", "embedding")
        for parameter in module.parameters(recurse=False)
    }
    names = tuple(
        name
        for name, parameter in model.named_parameters()
        if parameter.dim() >= 2
        and parameter.requires_grad
        and id(parameter) not in spared
        and "parametrizations" not in name.split(".")
    )
    if not names:
        raise NotApplicableError(
            f"{remedy_id}: {type(model).__name__} has no trained weight matrix (frozen, parametrised and embedding "
            "weights are left alone)."
        )
    return names
