"""What the lab says in both languages, as JSON; and strict JSON for everything else it sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.lab.plainly import layer_of, plain_of, with_layers
from headwater.lab.plan import Plan
from headwater.records import Diagnosis, Message, encode
from headwater.records.message import Value
from headwater.report import Report
from headwater.report.view.sentences import MOST_REMEDIES, Said, findings_of, headline_of, said, said_message

MOST_FINDINGS = 4


def tell(message_id: str, **values: Value) -> dict[str, str]:
    """A text of the engine, ``lab.engine.<message_id>``, in both languages."""
    return told(Message(f"lab.engine.{message_id}", values))


def told(message: Message) -> dict[str, str]:
    """A message in both languages."""
    return in_both(said_message(message))


def in_both(text: Said) -> dict[str, str]:
    """The JSON form of a sentence."""
    return {"en": text.en, "ko": text.ko}


def diagnosis_of(report: Report, plan: Plan, moves: Mapping[int, float], optimizer: str) -> dict[str, Any]:
    """A report as the lab shows it: what is wrong, why, and what to do about it.

    Args:
        report: What was found.
        plan: Of the network.
        moves: By layer, ‖Δw‖/‖w‖ of a step.
        optimizer: That takes it.
    """
    diagnosis, flow = report.diagnosis, report.flow
    place = {row.site.name: index for index, row in enumerate(flow.sites)}
    shown = findings_of(diagnosis, place)[:MOST_FINDINGS]
    findings = []
    for finding, view in zip(diagnosis.findings, shown, strict=False):
        data = encode(view)
        data["plain"] = in_both(plain_of(finding, flow, plan, moves, optimizer))
        data["layers"] = sorted({layer_of(flow, plan, name) for name in finding.sites})
        for cause, told_cause in zip(finding.causes, data["causes"], strict=False):
            told_cause["why"] = in_both(with_layers(cause, flow, plan))
        for prescription, remedy in zip(finding.prescriptions, data["remedies"], strict=False):
            remedy["remedies"] = list(prescription.remedies)
        findings.append(data)
    return {
        "verdict": diagnosis.verdict,
        "headline": _headline(diagnosis, flow.step),
        "findings": findings,
        "waterfall": _waterfall(report),
    }


def _headline(diagnosis: Diagnosis, step: int) -> dict[str, str]:
    """The verdict in one line: before any step it is one on the start alone."""
    if diagnosis.verdict == "findings":
        return in_both(headline_of(diagnosis))
    return tell(f"verdict.{diagnosis.verdict}_{'so_far' if step else 'at_first'}", steps=step)


def offered_first(report: Report) -> tuple[tuple[str, ...], ...]:
    """The remedies that are offered against what is worst, in the order of the diagnosis."""
    prescriptions = report.findings[0].prescriptions[:MOST_REMEDIES] if report.findings else ()
    return tuple(prescription.remedies for prescription in prescriptions if prescription.remedies)


def category_name(category: str) -> dict[str, str]:
    """What decades of a gradient are charged to, by name."""
    return in_both(said(lambda words: words.category(category)))


def _waterfall(report: Report) -> dict[str, Any] | None:
    fall = report.diagnosis.waterfall
    if fall is None:
        return None
    totals = [
        {"category": category, "name": category_name(category), "decades": decades}
        for category, decades in fall.totals.items()
    ]
    data: dict[str, Any] = encode({"totals": totals, "decades": fall.decades})
    return data
