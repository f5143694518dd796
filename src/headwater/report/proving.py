"""What is told of a proof beside its verdict: how it was tuned and looked at, what the change costs, and the notes.

Also a proof by itself, as ``headwater prove`` shows it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from headwater.i18n import number
from headwater.records import Proof, RunInfo
from headwater.report.face import Face
from headwater.report.files import with_text
from headwater.report.frame import document, style
from headwater.report.lines import COLOURS, WIDEST, fit, wrap
from headwater.report.markup import Html, el, join
from headwater.report.words import Words, glyph

LEAST_MS = 1e-3  # a step of less is told in its own digits


@dataclass(frozen=True)
class ProofReport(Face):
    """A proof and where it came from; its JSON is the proof's own.

    Attributes:
        proof: What the experiment said.
        run: Where it came from.
    """

    proof: Proof
    run: RunInfo

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """The JSON form of the proof, each message also in words."""
        words = Words.of(language)
        data: dict[str, Any] = with_text(self.proof, words)
        return {**data, "language": words.language}

    def lines(self, words: Words, width: int) -> Iterable[Text]:
        """The verdict, the numbers, and how they came about."""
        cells = min(max(width, 20), WIDEST)
        head = headline(self.proof.verdict, self.proof.remedies, words)
        yield fit(head, cells)
        yield from (Text("  " + line) for line in wrap(words.proof_sentence(self.proof), cells - 2))
        yield from (Text("  " + line) for fact in facts(self.proof, words) for line in wrap(fact, cells - 2))

    def page(self, words: Words) -> str:
        """The whole page."""
        from headwater.report.sections.about import run_section_of
        from headwater.report.sections.proof import proof_section

        main = el("main", proof_section(self.proof, words), run_section_of(self.run, words))
        meta = join(self.run.model, " · ", el("time", self.run.created[:10], datetime=self.run.created))
        return document(words("report.title", model=self.run.model), meta, main, self.run.headwater, words)

    def cell(self, words: Words) -> str:
        """The proof's section."""
        from headwater.report.sections.proof import proof_section

        return el("div", el("style", style()), proof_section(self.proof, words), class_="hw cell", lang=words.language)


def headline(verdict: str, remedies: tuple[str, ...], words: Words) -> Text:
    """A verdict and what it is about, in one line."""
    said = Text(f"{glyph(verdict)} {words.name(f'proof.{verdict}', verdict)}", COLOURS.get(verdict, ""))
    return Text.assemble(said, " · ", (words.remedies(remedies), "bold")) if remedies else said


def facts(proof: Proof, words: Words) -> list[str]:
    """How a proof was made, in sentences; none of one of the first schema, which does not say."""
    if proof.cost is None:
        return []
    told = [words("proof.controls_sentence", placebo=number(proof.placebo), random=number(proof.random_remedy))]
    told.append(_tuning(proof, words))
    told.append(words(f"proof.method_{proof.interval_method}", seeds=proof.seeds_planned))
    if proof.stopped:
        told.append(words(f"proof.stopped_{proof.stopped}", seeds=len(proof.seeds), planned=proof.seeds_planned))
    told.append(words(f"proof.held_out_{proof.held_out}"))
    told += _failures(proof, words)
    cost = proof.cost
    told.append(
        words(
            "proof.cost",
            before=milliseconds(cost.step_s_before),
            after=milliseconds(cost.step_s_after),
            parameters_before=cost.parameters_before,
            parameters_after=cost.parameters_after,
        )
    )
    told.append(words("proof.machine", processes=proof.processes, threads=proof.threads))
    return [*told, *(words.say(note) for note in proof.notes)]


def _tuning(proof: Proof, words: Words) -> str:
    if len(proof.rates) < 2:
        return words("proof.untuned")
    chosen = {tuned.arm: factor(tuned.rate) for tuned in proof.tuned if tuned.arm != "random_remedy"}
    grid = ", ".join(map(factor, proof.rates))
    return words("proof.tuned", rates=grid, **{name: chosen.get(name, "–") for name in ("original", "treated")})


def _failures(proof: Proof, words: Words) -> list[str]:
    told = []
    for arm in proof.arms:
        failed = [failure for failure in arm.failures if failure]
        if failed:
            name = words.name(f"proof.arm_{arm.name}", arm.name)
            told.append(words("proof.broke_off", arm=name, count=len(failed), why=failed[0][:80]))
    return told


def factor(rate: float) -> str:
    """A factor on a learning rate: ``1/3`` rather than 0.333."""
    inverse = 1 / rate
    return f"1/{round(inverse)}" if rate < 1 and math.isclose(inverse, round(inverse), rel_tol=1e-9) else f"{rate:.3g}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds with three digits."""
    return number(None if math.isnan(seconds) else float(f"{1e3 * seconds:.3g}"))


def facts_list(proof: Proof, words: Words) -> Html | None:
    """The same for a page."""
    told = facts(proof, words)
    return el("ul", *[el("li", fact) for fact in told], class_="facts") if told else None
