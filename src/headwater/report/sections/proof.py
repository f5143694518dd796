"""The proof and the change it is about."""

from headwater.i18n import number
from headwater.records import Prescription, Proof
from headwater.report import charts
from headwater.report.charts.proof import arms, mean
from headwater.report.markup import Html, code, el, join
from headwater.report.proving import facts_list
from headwater.report.sections.parts import details, pill, table
from headwater.report.words import Words


def proof_section(proof: Proof, words: Words) -> Html:
    return el(
        "section",
        el("h2", words("report.proof_head"), " ", pill(proof.verdict, words)),
        el("p", el("b", words.remedies(proof.remedies)), class_="remedy-line"),
        el("p", words.proof_sentence(proof), class_="lead"),
        el(
            "div",
            _figure(charts.metric_picture(proof, words), words("proof.metric_caption", metric=words.say(proof.metric))),
            _figure(charts.effect_picture(proof, words), words("proof.effect_caption")),
            _figure(charts.loss_picture(proof, words), words("proof.loss_caption"), _arm_key(proof, words)),
            class_="figures",
        ),
        facts_list(proof, words),
        details(words("report.picture_table"), join(_arm_table(proof, words), _effect_table(proof, words))),
        el("p", words("proof.wall_time", seconds=number(proof.wall_time_s)), class_="note"),
        id="proof",
    )


def _figure(drawn: Html, caption: str, key: Html | None = None) -> Html:
    return el("figure", el("figcaption", caption), key, drawn)


def _arm_key(proof: Proof, words: Words) -> Html:
    def mark(name: str) -> Html:
        shape = el("path", d="M0 6h24", class_=f"curve arm-{name}")
        return el("svg", shape, xmlns="http://www.w3.org/2000/svg", viewBox="0 0 24 12", aria_hidden="true")

    return el(
        "ul", *[el("li", mark(a.name), words.name(f"proof.arm_{a.name}", a.name)) for a in arms(proof)], class_="key"
    )


def _arm_table(proof: Proof, words: Words) -> Html:
    names = ["arm", "remedies", "mean", "per_seed", "first_loss", "last_loss", "failed"]
    rows = []
    for arm in arms(proof):
        remedies = sorted({words.remedies(applied) for applied in arm.remedies} - {""})
        rows.append(
            [
                words.name(f"proof.arm_{arm.name}", arm.name),
                "; ".join(remedies) or words("proof.none_applied"),
                number(mean(arm.metrics)),
                ", ".join(map(number, arm.metrics)),
                number(mean(tuple(losses[0] for losses in arm.losses if losses))),
                number(mean(tuple(losses[-1] for losses in arm.losses if losses))),
                "; ".join(failure for failure in arm.failures if failure) or "–",
            ]
        )
    return table([words(f"proof.{name}") for name in names], rows, text_columns=2, label=words("report.proof_head"))


def _effect_table(proof: Proof, words: Words) -> Html:
    def interval(pair: tuple[float, float]) -> str:
        return f"{number(pair[0])} … {number(pair[1])}"

    rows = [
        [words("proof.against_original"), number(proof.effect), interval(proof.interval)],
        [words("proof.against_placebo"), number(proof.metric_after - proof.placebo), interval(proof.placebo_interval)],
    ]
    head = [words("proof.arm"), words("proof.difference"), words("proof.interval")]
    return table(head, rows, text_columns=1, label=words("proof.interval"))


def change_section(prescription: Prescription, words: Words) -> Html:
    facts = [
        (words("report.why"), words.say(prescription.why)),
        (words("report.wrong_when"), words.say(prescription.wrong_when)),
        (words("report.cost"), words.say(prescription.cost)),
    ]
    ids = ", ".join(prescription.remedies)
    return el(
        "section",
        el("h2", words("report.change_head")),
        el("p", el("b", words.remedies(prescription.remedies)), class_="remedy-line") if ids else None,
        code(prescription.code)
        if prescription.code
        else el("p", words("report.no_code", remedies=ids), class_="caption"),
        el("dl", *[el("div", el("dt", term), el("dd", text)) for term, text in facts], class_="facts-list"),
        id="change",
    )
