"""Names of modules, parameters and sites."""


def clean(name: str) -> str:
    """The name without the prefix ``torch.compile`` adds."""
    return name.replace("_orig_mod.", "").removesuffix("_orig_mod")
