"""A sweep, and every form in which it is shown: a map in a terminal, JSON and one HTML page."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from headwater.i18n import number
from headwater.records.picture import Axis, Panel, Picture
from headwater.records.sweep import Setting, Sweep, SweepTrial
from headwater.report.charts.plot import plot
from headwater.report.charts.plot_key import plot_key
from headwater.report.face import Face
from headwater.report.files import with_text
from headwater.report.frame import document, style
from headwater.report.lines import WIDEST, fit, wrap
from headwater.report.markup import Html, el, join
from headwater.report.names import clean
from headwater.report.sections.parts import details, prose, table
from headwater.report.words import Words

MOST_ROWS = 24  # of a map in a terminal
_CELLS = 8  # of a number in it
_SHADES = "·░▒▓█"


@dataclass(frozen=True)
class SweepReport(Face):
    """A sweep; its JSON is the record's own."""

    sweep: Sweep

    def to_dict(self, language: str | None = None) -> dict[str, Any]:
        """The JSON form, each message also in words."""
        words = Words.of(language)
        data: dict[str, Any] = with_text(self.sweep, words)
        return {**data, "language": words.language}

    def lines(self, words: Words, width: int) -> Iterable[Text]:
        """How many are done, the best point, the map, and what to know of it."""
        cells = min(max(width, 40), WIDEST)
        yield fit(Text(headline(self.sweep, words), "bold"), cells)
        yield from (Text("  " + line) for line in wrap(facts(self.sweep, words), cells - 2))
        best = best_sentence(self.sweep, words)
        if best:
            yield from (Text("  " + line) for line in wrap(best, cells - 2))
        for title, rows in _maps(self.sweep, words, cells):
            yield Text()
            yield fit(Text("  " + title, "dim"), cells)
            yield from (fit(Text("  " + row), cells) for row in rows)
        if self.sweep.notes:
            yield Text()
        for note in self.sweep.notes:
            yield from (Text("  " + line) for line in wrap(words.say(note), cells - 2))

    def page(self, words: Words) -> str:
        """The whole page."""
        sweep = self.sweep
        best = best_sentence(sweep, words)
        main = el(
            "main",
            el(
                "section",
                el("h1", headline(sweep, words)),
                el("p", facts(sweep, words), class_="lead"),
                el("p", best, class_="lead") if best else None,
                class_="verdict",
            ),
            *[el("section", _figure(drawn, f"s{i}", words)) for i, drawn in enumerate(sweep.pictures)],
            el("section", *[el("p", prose(words.say(note)), class_="lead") for note in sweep.notes]),
            el("section", _numbers(sweep, words)),
        )
        meta = join(clean(sweep.experiment), " · ", el("time", sweep.created[:10], datetime=sweep.created))
        return document(words("sweep.page_title", name=clean(sweep.name)), meta, main, sweep.headwater, words)

    def cell(self, words: Words) -> str:
        """The headline, the first map and the notes."""
        parts = [el("h2", headline(self.sweep, words)), el("p", facts(self.sweep, words))]
        parts += [_figure(drawn, f"s{i}", words) for i, drawn in enumerate(self.sweep.pictures[:1])]
        parts += [el("p", words.say(note)) for note in self.sweep.notes]
        return el("div", el("style", style()), *parts, class_="hw cell", lang=words.language)


def headline(sweep: Sweep, words: Words) -> str:
    """How many trainings there are, and whether some are missing."""
    done, key = len(sweep.trials), "sweep.headline_missing" if sweep.missing else "sweep.headline"
    return words(key, name=clean(sweep.name), done=done, total=done + sweep.missing)


def facts(sweep: Sweep, words: Words) -> str:
    """What was trained."""
    axes = ", ".join(f"{clean(name)} ({len(values)})" for name, values in sweep.axes.items())
    fixed = ", ".join(f"{clean(name)} {_shown(value)}" for name, value in sweep.fixed.items())
    said = words("sweep.facts", axes=axes, steps=sweep.steps, seeds=sweep.seeds, experiment=clean(sweep.experiment))
    return f"{said} {words('sweep.facts_fixed', fixed=fixed)}" if fixed else said


def best_sentence(sweep: Sweep, words: Words) -> str:
    """Where the metric is best; nothing if it is known nowhere."""
    found = {point: _mean([trial.metric for trial in trials]) for point, trials in _by_point(sweep).items()}
    known = {point: value for point, value in found.items() if math.isfinite(value)}
    if not known:
        return ""
    best = max(known, key=lambda point: known[point])
    where = ", ".join(f"{clean(name)} {_shown(value)}" for name, value in best)
    return words("sweep.best", metric=clean(sweep.metric_name), value=number(known[best]), point=where)


def _by_point(sweep: Sweep) -> dict[tuple[tuple[str, Setting], ...], list[SweepTrial]]:
    found: dict[tuple[tuple[str, Setting], ...], list[SweepTrial]] = {}
    for trial in sweep.trials:
        found.setdefault(tuple((name, trial.point[name]) for name in sweep.axes), []).append(trial)
    return found


def _maps(sweep: Sweep, words: Words, width: int) -> Iterable[tuple[str, list[str]]]:
    """For each panel of the first picture its title, and its rows as the picture has them."""
    for panel in sweep.pictures[0].panels if sweep.pictures else ():
        if panel.raster is None:
            points = [(x, y) for curve in panel.curves for x, y in zip(curve.x, curve.y, strict=True)]
            yield words.say(panel.title), [f"{_at(panel.x, x):>{_CELLS}}  {number(y)}" for x, y in points]
            continue
        names = [words.say(message) for message in (panel.raster.name, panel.y.title, panel.x.title)]
        title = f"{words.say(panel.title)}: {names[0]}; ↑ {names[1]}, → {names[2]}"
        columns = max(map(len, panel.raster.rows), default=0)
        fits = _CELLS * (columns + 1) + 2 <= width and len(panel.raster.rows) <= MOST_ROWS
        yield title, _numbered(panel) if fits else _shaded(panel.raster.rows)


def _numbered(panel: Panel) -> list[str]:
    """A raster as numbers, the highest row first, beside the values of both axes."""
    assert panel.raster is not None
    rows, ends = panel.raster.rows, panel.raster
    columns = [_at(panel.x, _middle(ends.x, i, len(rows[0]))) for i in range(len(rows[0]))]
    lines = [
        "".join(f"{cell:>{_CELLS}}" for cell in [_at(panel.y, _middle(ends.y, i, len(rows))), *map(_short, row)])
        for i, row in enumerate(rows)
    ]
    return [*reversed(lines), " " * _CELLS + "".join(f"{column:>{_CELLS}}" for column in columns)]


def _middle(ends: tuple[float, float], index: int, count: int) -> float:
    return ends[0] + (index + 0.5) / count * (ends[1] - ends[0])


def _at(axis: Axis, place: float) -> str:
    return _short(10.0**place if axis.scale == "log10" else place)


def _short(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _shaded(rows: tuple[tuple[float, ...], ...]) -> list[str]:
    """A raster in five shades, the highest row first."""
    known = [value for row in rows for value in row if math.isfinite(value)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)

    def shade(value: float) -> str:
        if not math.isfinite(value):
            return "?"
        place = (value - low) / (high - low) if high > low else 0.5
        return _SHADES[min(int(place * len(_SHADES)), len(_SHADES) - 1)]

    thinned = rows[:: -(-len(rows) // MOST_ROWS)]
    return ["".join(map(shade, row)) for row in reversed(thinned)]


def _figure(drawn: Picture, identity: str, words: Words) -> Html:
    caption = el("figcaption", prose(words.say(drawn.summary)), aria_hidden="true")
    return el("figure", plot_key(drawn, words), plot(drawn, words, identity), caption, class_="plot")


def _numbers(sweep: Sweep, words: Words) -> Html:
    heads = [clean(name) for name in sweep.axes]
    heads += [clean(sweep.metric_name), words("sweep.column_untrained"), words("sweep.column_gradient")]
    heads += [words("sweep.column_cosine"), words("sweep.column_seeds"), words("sweep.column_failed")]
    rows = []
    for point, trials in _by_point(sweep).items():
        cells = [_shown(value) for _, value in point]
        cells += [
            number(_mean(values))
            for values in (
                [trial.metric for trial in trials],
                [trial.untrained for trial in trials],
                [trial.gradient_decades for trial in trials if trial.gradient_decades is not None],
                [trial.abs_cosine for trial in trials if trial.abs_cosine is not None],
            )
        ]
        rows.append([*cells, str(len(trials)), str(sum(bool(trial.failure) for trial in trials))])
    label = words("sweep.table")
    return details(label, table(heads, rows, text_columns=len(sweep.axes), label=label))


def _shown(value: Setting) -> str:
    return number(value) if isinstance(value, float) else clean(str(value))


def _mean(values: list[float]) -> float:
    return statistics.fmean(values) if values else math.nan
