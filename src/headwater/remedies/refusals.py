"""Models whose modules cannot be exchanged as they stand, each with the reason and the way out."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from headwater.probes.classify import module_kind
from headwater.remedies.remedy import NotApplicableError

_QUANTISED = ("torch.ao.nn.", "torch.nn.quantized", "torch.nn.intrinsic", "bitsandbytes.", "torchao.")


def refuse_unreachable(model: nn.Module) -> None:
    """Refuse models that surgery would break, or change without effect.

    Raises:
        NotApplicableError: The message has the reason and what to hand over instead.
    """
    for name, module in model.named_modules():
        for reason in _reasons(name, module):
            raise NotApplicableError(reason)
    for name, parameter in model.named_parameters():
        for reason in _reasons_of_parameter(name, parameter):
            raise NotApplicableError(reason)


def _reasons(name: str, module: Any) -> Iterator[str]:
    kind = type(module).__name__
    here = f"the model.{name}" if name else "the model"
    inner = f"model.{name}" if name else "model"
    if isinstance(module, torch.jit.ScriptModule):
        yield (
            f"{here} is compiled to TorchScript, whose operations cannot be exchanged: repair the module it was "
            "scripted or traced from."
        )
    if isinstance(vars(module).get("_modules", {}).get("_orig_mod"), nn.Module):
        yield (
            f"{here} is compiled, and a compiled program does not change with its modules: hand over "
            f"{inner}._orig_mod, and compile what comes back with torch.compile."
        )
    if isinstance(module, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
        yield (
            f"{here} is wrapped in {kind}, which holds on to the parameters it was made with: hand over "
            f"{inner}.module, and wrap what comes back."
        )
    if any("FSDP" in base.__name__ or base.__name__ == "FullyShardedDataParallel" for base in type(module).__mro__):
        yield (
            f"{here} is sharded by FSDP, so that each process holds a part of each weight: repair the model before it "
            "is sharded, on every rank alike with the same seed."
        )
    if type(module).__module__.startswith(_QUANTISED):
        yield (
            f"{inner} ({kind}) is quantised: its weights are codes, not numbers to draw or train. Repair the model in "
            "floating point and quantise what comes back."
        )
    weight = vars(module).get("_parameters", {}).get("weight")
    if weight is not None and weight.is_complex() and module_kind(module) == "affine":
        yield (
            f"the weight of {inner} is complex, and gains, activations and normalisations here are for real numbers. "
            "Repair the real parts of the model by themselves: hw.apply(part, ...)."
        )


def _reasons_of_parameter(name: str, parameter: Any) -> Iterator[str]:
    if is_lazy(parameter):
        yield (
            f"{name} has no shape yet: a lazy module gets its weights from the first batch it sees. Call the model "
            "once on a batch before it is repaired: model(batch[0])."
        )
    elif parameter.is_meta:
        yield f"{name} is on the meta device and has no numbers: materialise the model before it is repaired."
    elif type(parameter).__name__ == "DTensor" or hasattr(parameter, "placements"):
        yield (
            f"{name} is sharded over processes (DTensor): repair the model before it is sharded, on every rank alike "
            "with the same seed."
        )
    elif parameter.is_quantized or type(parameter).__module__.startswith(_QUANTISED):
        yield (
            f"{name} is quantised: its numbers are codes. Repair the model in floating point and quantise what comes "
            "back."
        )
