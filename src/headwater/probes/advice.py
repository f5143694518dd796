"""PyTorch's advice to whoever calls a compiled module while there are global hooks, which are ours and know."""

from __future__ import annotations

import re
import warnings

_ABOUT_GLOBAL_HOOKS = re.compile(r"Using `torch\.compile\(module\)` when there are global hooks")
_SILENCE = ("ignore", _ABOUT_GLOBAL_HOOKS, UserWarning, None, 0)


def silence_advice() -> None:
    """Keep PyTorch's advice about global hooks from the user.

    Straight into the list: ``filterwarnings`` would have Python forget which warnings it has shown once already, and
    the user would see those of the model again at every measured step.
    """
    if isinstance(warnings.filters, list):
        warnings.filters.insert(0, _SILENCE)


def show_advice() -> None:
    """Take that filter out again, and leave all others as they are.

    There may be several: a ``catch_warnings`` that began and ended in the middle of a measured step has put one back.
    """
    while isinstance(warnings.filters, list) and _SILENCE in warnings.filters:
        warnings.filters.remove(_SILENCE)
