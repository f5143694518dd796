"""Whether the goal of a lesson is reached: its conditions held against what was really measured."""

from __future__ import annotations

from typing import Any

from headwater.lab.conditions import said_of
from headwater.lab.figures import known
from headwater.lab.guide import Condition
from headwater.lab.guides import GUIDES
from headwater.lab.refusal import RefusedError
from headwater.lab.said import in_both
from headwater.lab.shares import SHARES
from headwater.lab.slot import Slot
from headwater.records import encode


def goal_of(slot: Slot) -> dict[str, Any]:
    """How far the network is from the goal of its lesson.

    Raises:
        RefusedError: If it has no lesson, or one without a goal.
    """
    guide = GUIDES.get(slot.spec.lesson)
    if guide is None:
        raise RefusedError("no_goal", {"lesson": slot.spec.lesson}, "lesson", status=409)
    rows = [_held(condition, slot) for condition in guide.goal]
    data: dict[str, Any] = encode({"reached": all(row["holds"] for row in rows), "conditions": rows})
    return data


def _held(condition: Condition, slot: Slot) -> dict[str, Any]:
    if condition.among:
        chosen = str(getattr(slot.spec, condition.what))
        return {**_row(condition), "value": chosen, "holds": chosen in condition.among}
    value = known(condition.what, slot)
    holds = value is not None
    if value is not None:
        holds = (condition.low is None or value >= condition.low) and (
            condition.high is None or value <= condition.high
        )
    return {**_row(condition), "value": value, "holds": holds}


def _row(condition: Condition) -> dict[str, Any]:
    is_share = condition.what in SHARES
    return {"said": in_both(said_of(condition)), "low": condition.low, "high": condition.high, "share": is_share}
