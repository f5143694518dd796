"""What was looked for, and under what circumstances."""

from typing import TYPE_CHECKING

from headwater.i18n import number
from headwater.report.markup import Html, el
from headwater.report.sections.parts import details
from headwater.report.words import Words

if TYPE_CHECKING:
    from headwater.report.payload import Report


def coverage_sections(report: "Report", words: Words) -> list[Html]:
    """What was looked for and what could not be, so that "healthy" means no more than it says."""
    missing = [*report.diagnosis.unchecked, *report.flow.gaps]
    checked = report.diagnosis.checked
    parts = []
    if checked:
        chips = el("ul", *[el("li", words.symptom(symptom)) for symptom in checked], class_="chips")
        parts += [el("h2", words("report.checked_head")), chips]
    if missing:
        heading = el("h3" if checked else "h2", words("report.unchecked_head"))
        parts += [heading, el("ul", *[el("li", words.say(message)) for message in missing], class_="missing")]
    return [el("section", *parts, id="checked")] if parts else []


def run_section(report: "Report", words: Words) -> Html:
    run, flow = report.run, report.flow
    seconds = words("report.seconds", value=number(run.wall_time_s))
    facts = [
        ("run_model", run.model),
        ("run_parameters", number(run.parameters)),
        ("run_trainable", number(run.trainable)),
        ("run_device", run.device),
        ("run_seed", words("report.run_no_seed") if run.seed is None else str(run.seed)),
        ("run_loss", number(flow.loss)),
        ("run_samples", number(flow.samples)),
        ("run_optimizer", flow.optimizer or "–"),
        ("run_step", number(flow.step)),
        ("run_wall_time", seconds),
        ("run_created", run.created),
        ("run_headwater", run.headwater),
        ("run_torch", run.torch),
        ("run_python", run.python),
    ]
    items = [el("div", el("dt", words(f"report.{term}")), el("dd", text)) for term, text in facts]
    return el("section", details(words("report.run_head"), el("dl", *items, class_="run")), id="run")
