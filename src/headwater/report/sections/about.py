"""What was looked for, and under what circumstances."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headwater.i18n import number
from headwater.records import RunInfo, WatchInfo
from headwater.report.markup import Html, el
from headwater.report.sections.parts import details
from headwater.report.words import Words

if TYPE_CHECKING:
    from headwater.report.payload import Report

MOST_EVENTS = 20  # that a page lists


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


def watch_sections(report: "Report", words: Words) -> list[Html]:
    """How a training was watched, what that cost it, and what happened on the way."""
    watch = report.watch
    if watch is None:
        return []
    parts = [el("h2", words("report.watch_head")), el("p", words(watch_sentence(watch), **watch_values(watch)))]
    if watch.events:
        shown = watch.events[:MOST_EVENTS]
        lines = [words("report.watch_event", step=event.step, event=words.say(event.message)) for event in shown]
        left = len(watch.events) - len(shown) + watch.events_left_out
        more = [el("li", words("report.watch_more_events", events=left))] if left else []
        parts.append(el("ul", *[el("li", line) for line in lines], *more, class_="missing"))
    return [el("section", *parts, id="watch")]


def watch_sentence(watch: WatchInfo) -> str:
    """Id of the sentence that says how many steps were measured, and at what cost if that is known."""
    return "report.watched" if watch.overhead is not None else "report.watched_cost_unknown"


def watch_values(watch: WatchInfo) -> dict[str, str]:
    """The numbers in that sentence."""
    overhead = "" if watch.overhead is None else number(100 * watch.overhead)
    return {"steps": number(watch.steps), "sampled": number(watch.sampled), "overhead": overhead}


def run_section(report: "Report", words: Words) -> Html:
    flow = report.flow
    measured = [
        ("run_loss", number(flow.loss)),
        ("run_samples", number(flow.samples)),
        ("run_optimizer", flow.optimizer or "–"),
        ("run_step", number(flow.step)),
    ]
    return run_section_of(report.run, words, measured)


def run_section_of(run: RunInfo, words: Words, measured: Sequence[tuple[str, str]] = ()) -> Html:
    """Where an answer came from, with what was measured there, if it is about a measurement."""
    facts = [
        ("run_model", run.model),
        ("run_parameters", number(run.parameters)),
        ("run_trainable", number(run.trainable)),
        ("run_device", run.device),
        ("run_seed", words("report.run_no_seed") if run.seed is None else str(run.seed)),
        *measured,
        ("run_wall_time", words("report.seconds", value=number(run.wall_time_s))),
        ("run_created", run.created),
        ("run_headwater", run.headwater),
        ("run_torch", run.torch),
        ("run_python", run.python),
    ]
    items = [el("div", el("dt", words(f"report.{term}")), el("dd", text)) for term, text in facts]
    return el("section", details(words("report.run_head"), el("dl", *items, class_="run")), id="run")
