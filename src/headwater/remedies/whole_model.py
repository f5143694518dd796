"""Make an optimizer hold the parameters of a model. Copied into patches as it stands: torch is all it needs."""


def hold_all(model, optimizer):
    """What the optimizer misses of the trained joins a group of its kind; what is not the model's leaves.

    Vectors (biases, scales) and matrices often have groups of their own, of which only one decays: a parameter joins
    the first group that holds its kind; without any, a vector the first group without decay, others the first group.
    """
    groups, own = optimizer.param_groups, {id(p) for p in model.parameters()}
    held = [p for group in groups for p in group["params"]]
    kinds = [{p.dim() > 1 for p in [p for p in group["params"] if id(p) in own] or group["params"]} for group in groups]
    known = {id(p) for p in held}
    missing = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    for group in groups:
        group["params"][:] = [p for p in group["params"] if id(p) in own]  # in place: L-BFGS keeps the list itself
    for p in held:
        if id(p) not in own:
            optimizer.state.pop(p, None)
    for p in missing:
        alike = [group for group, kind in zip(groups, kinds, strict=True) if (p.dim() > 1) in kind]
        plain = [group for group in groups if p.dim() < 2 and not group.get("weight_decay")]
        (alike or plain or groups)[0]["params"].append(p)
    if hasattr(optimizer, "_numel_cache"):  # L-BFGS: it holds a list of its own, and a history of its length
        optimizer._params = groups[0]["params"]
        if missing or known - own:
            optimizer._numel_cache = None
            optimizer.state.clear()
