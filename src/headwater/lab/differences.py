"""What tells two networks apart, in words, largest first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from headwater.i18n import number
from headwater.lab.figures import known
from headwater.lab.said import in_both, tell
from headwater.lab.shares import SHARES
from headwater.lab.slot import Slot
from headwater.report.view.sentences import said
from headwater.report.words import Words

_MOST = 5
# From where on a difference is worth a sentence: a tenth of accuracy, a decade of gradient, a factor of two in loss.
_TOLD = {
    "gradient_decades": 1.0,
    "test_accuracy": 0.05,
    "train_accuracy": 0.05,
    "gap": 0.05,
    "dead": 0.1,
    "saturated": 0.2,
    "small_weights": 0.1,
    "signal_decades": 1.0,
    "likeness": 0.1,
    "test_loss": 1.0,
}
_RATIOS = ("test_loss",)  # told by the factor between them


def differences(a: Slot, b: Slot) -> list[dict[str, str]]:
    """What the second has other than the first, and what comes of it."""
    told = [_settings(a, b)]
    if a.broke is not None or b.broke is not None:
        told.append(tell(f"difference.broke_{'both' if a.broke and b.broke else 'a' if a.broke else 'b'}"))
    found = []
    for name, least in _TOLD.items():
        first, second = known(name, a), known(name, b)
        if first is None or second is None:
            continue
        apart = _apart(first, second, name in _RATIOS)
        if apart >= least:
            found.append((apart / least, name, first, second))
    found.sort(key=lambda row: -row[0])
    told += [_figure(name, first, second) for _, name, first, second in found[:_MOST]]
    return told if len(told) > 1 else [*told, tell("difference.none")]


def _settings(a: Slot, b: Slot) -> dict[str, str]:
    names = [name for name in vars(a.spec) if getattr(a.spec, name) != getattr(b.spec, name)]
    if not names:
        return tell("difference.same")

    def sentence(words: Words) -> str:
        changes = (
            f"{words(f'lab.engine.control.{name}')}: "
            f"{shown(name, getattr(a.spec, name), words)} → {shown(name, getattr(b.spec, name), words)}"
            for name in names
        )
        return words("lab.engine.difference.settings", changes="; ".join(changes))

    return in_both(said(sentence))


def _figure(name: str, first: float, second: float) -> dict[str, str]:
    return in_both(
        said(
            lambda words: words(
                "lab.engine.difference.figure",
                figure=words(f"lab.engine.figure.{name}"),
                a=_value(name, first, words.percent),
                b=_value(name, second, words.percent),
            )
        )
    )


def _value(name: str, value: float, percent: Any) -> str:
    return str(percent(value)) if name in SHARES else number(value)


def _apart(first: float, second: float, is_ratio: bool) -> float:
    if is_ratio:  # in factors of two
        first, second = (math.log2(one) if one > 0 else -math.inf for one in (first, second))
    if math.isinf(first) or math.isinf(second):
        return 0.0 if first == second else 1e3
    return abs(first - second)


def shown(name: str, value: Any, words: Words) -> str:
    """The value of a control as people read it."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{layer}: {words(f'lab.engine.activation.{one}')}" for layer, one in value.items()) or "–"
    if isinstance(value, tuple):
        return words.remedies(value) or "–" if name == "remedies" else ", ".join(value) or "–"
    kind = "activation" if name in ("activation", "output") else "choice"
    return words.name(f"lab.engine.{kind}.{value}", str(value))
