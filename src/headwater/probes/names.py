"""Names of modules, parameters and sites."""

from torch import nn

_WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def clean(name: str) -> str:
    """The name without what ``torch.compile``, FSDP and checkpoint wrappers put into it."""
    if "_" in name:
        for wrapped in _WRAPPED:
            name = name.replace(f"{wrapped}.", "").removesuffix(wrapped).removesuffix(".")
    return name


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
