"""Conditions of goals in words; no torch is needed to say them."""

from __future__ import annotations

from headwater.i18n import number
from headwater.lab.guide import Condition
from headwater.lab.shares import SHARES
from headwater.report.view.sentences import Said, said
from headwater.report.words import Words


def said_of(condition: Condition) -> Said:
    """A condition in words."""
    return said(lambda words: _sentence(condition, words))


def _sentence(condition: Condition, words: Words) -> str:
    if condition.among:
        name = words(f"lab.engine.control.{condition.what}")
        return words("lab.engine.goal.among", figure=name, choices=", ".join(condition.among))
    name = words(f"lab.engine.figure.{condition.what}")

    def shown(value: float | None) -> str:
        return words.percent(value) if condition.what in SHARES else number(value)

    if condition.low is not None and condition.high is not None:
        return words("lab.engine.goal.between", figure=name, low=shown(condition.low), high=shown(condition.high))
    if condition.low is not None:
        return words("lab.engine.goal.at_least", figure=name, low=shown(condition.low))
    return words("lab.engine.goal.at_most", figure=name, high=shown(condition.high))
