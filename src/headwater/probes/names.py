"""Names of modules, parameters and sites."""

from torch import nn


def clean(name: str) -> str:
    """The name without the prefix ``torch.compile`` adds."""
    return name.replace("_orig_mod.", "").removesuffix("_orig_mod")


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, ``DistributedDataParallel`` or ``DataParallel``, whose names are plain."""
    while True:
        if isinstance(model, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            inner = model.module
        else:
            modules = vars(model).get("_modules")
            inner = modules.get("_orig_mod") if isinstance(modules, dict) else None  # TorchScript has its own kind
        if not isinstance(inner, nn.Module):
            return model
        model = inner
