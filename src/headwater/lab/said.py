"""What the lab says in both languages, as JSON; and strict JSON for everything else it sends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.lab.plan import Plan
from headwater.records import Flow, Message, Prescription, encode
from headwater.records.message import Value
from headwater.report import Report
from headwater.report.view.sentences import Said, findings_of, headline_of, said, said_message

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


def diagnosis_of(report: Report, plan: Plan) -> dict[str, Any]:
    """A report as the lab shows it: what is wrong, why, and what to do about it."""
    diagnosis = report.diagnosis
    place = {row.site.name: index for index, row in enumerate(report.flow.sites)}
    shown = findings_of(diagnosis, place)[:MOST_FINDINGS]
    findings = []
    for finding, view in zip(diagnosis.findings, shown, strict=False):
        data = encode(view)
        data["layers"] = _layers(report.flow, finding.sites, plan)
        for prescription, remedy in zip(finding.prescriptions, data["remedies"], strict=False):
            remedy["remedies"] = list(prescription.remedies)
        findings.append(data)
    return {
        "verdict": diagnosis.verdict,
        "headline": in_both(headline_of(diagnosis)),
        "findings": findings,
        "waterfall": _waterfall(report),
    }


def remedies_of(report: Report) -> tuple[Prescription, ...]:
    """What can be applied, best first."""
    return tuple(p for finding in report.findings for p in finding.prescriptions if p.remedies)


def category_name(category: str) -> dict[str, str]:
    """What decades of a gradient are charged to, by name."""
    return in_both(said(lambda words: words.category(category)))


def _layers(flow: Flow, names: Sequence[str], plan: Plan) -> list[int]:
    modules = {row.site.name: row.site.module for row in flow.sites}
    return sorted({plan.layer_of(modules.get(name, name)) for name in names} - {0})


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
