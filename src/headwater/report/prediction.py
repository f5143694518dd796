"""A prediction for a terminal and as a picture: what to expect at each site, and where it gives out."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Self

from rich.cells import cell_len
from rich.text import Text

from headwater.i18n import number
from headwater.records import Message
from headwater.records.picture import Axis, Curve, Panel, Picture
from headwater.records.prediction import Limit, SitePrediction
from headwater.records.prediction import Prediction as Record
from headwater.report.face import Face
from headwater.report.lines import WIDTH, wrap
from headwater.report.names import clean, crop
from headwater.report.numbers import number_from_log10
from headwater.report.words import Words

MOST_ROWS = 12
NAME_CELLS, OP_CELLS = 16, 12


@dataclass(frozen=True)
class Prediction(Record, Face):
    """A prediction with its faces; the fields are those of the record."""

    @classmethod
    def of(cls, record: Record) -> Self:
        """The same as a record, with faces."""
        return cls(**{field.name: getattr(record, field.name) for field in fields(record)})

    def lines(self, words: Words, width: int) -> list[Text]:
        """At most 25 lines of 80 columns, unless much could not be predicted."""
        return _lines(self, words)

    def page(self, words: Words) -> str:
        """The whole HTML page."""
        from headwater.report.prediction_page import page

        return page(self, words)

    def cell(self, words: Words) -> str:
        """The picture, for a notebook."""
        from headwater.report.prediction_page import cell

        return cell(self, words)


def _lines(prediction: Record, words: Words) -> list[Text]:
    found = [Text(heading(prediction, words), style="bold"), *_wrapped(what(prediction, words)), Text()]
    found += _table(prediction, words)
    found.append(Text())
    found += [line for doubt in prediction.doubts for line in _wrapped(words.say(doubt))]
    found += _wrapped(words.say(prediction.trainable_why))
    found += [line for limit in prediction.limits for line in _wrapped(limit_in_words(limit, words))]
    if is_within_range(prediction):
        found += _wrapped(words("predict.no_limits"))
    found += [line for gap in prediction.gaps for line in _wrapped(words.say(gap))]
    return found


def heading(prediction: Record, words: Words) -> str:
    """Of what it is."""
    shape = "×".join(map(str, prediction.input_shape))
    return words("predict.title", model=clean(prediction.model), depth=prediction.depth, shape=shape)


def what(prediction: Record, words: Words) -> str:
    """What the numbers are."""
    return (
        words("predict.what")
        if prediction.unit is None
        else words("predict.relative_to", site=words.site(prediction.unit))
    )


def is_within_range(prediction: Record) -> bool:
    """Whether all of it is known, and no number format gives out."""
    numbers = [row.activation_rms for row in prediction.sites]
    known = all(value is not None and math.isfinite(value) for value in numbers)
    return bool(numbers) and known and not prediction.limits


def limit_in_words(limit: Limit, words: Words) -> str:
    """Where a way of computing gives out, and how."""
    side = "" if limit.quantity == "activation" else "_low" if limit.rms < limit.bound else "_high"
    return words(
        f"predict.limit_{limit.quantity}{side}",
        format=words(f"predict.format.{limit.id}"),
        site=words.site(limit.site),
        bound=number(limit.bound),
        rms=number(limit.rms),
    )


def marked(shown: str, uncertainty: float | None) -> str:
    """A number that may be further off than usual."""
    return shown if uncertainty is None else f"≈{shown}"


def picture(prediction: Record) -> Picture:
    """Expected activations, gradients and likeness per site, with what was measured."""
    activation = _panel(prediction, "activation", lambda row: row.activation_rms, lambda row: row.activation_band)
    gradient = _panel(prediction, "gradient", lambda row: row.activation_grad_rms, lambda row: row.activation_grad_band)
    places = tuple(float(row.site.order) for row in prediction.sites)
    curves = [Curve(Message("predict.curve_expected"), places, _values(prediction, lambda row: row.abs_cosine))]
    if prediction.is_measured:
        measured = _values(prediction, lambda row: row.measured.abs_cosine if row.measured else None)
        curves.append(Curve(Message("predict.curve_measured"), places, measured, "points"))
    cosine = Panel(
        Message("predict.panel_cosine"),
        Axis(Message("axis.layer")),
        Axis(Message("axis.abs_cosine"), low=0.0, high=1.0),
        tuple(curves),
    )
    summary = Message("predict.picture", {"sites": len(prediction.sites)})
    return Picture(summary, (activation, gradient, cosine))


def _panel(
    prediction: Record,
    what: str,
    value: Callable[[SitePrediction], float | None],
    band: Callable[[SitePrediction], tuple[float, float] | None],
) -> Panel:
    places = tuple(float(row.site.order) for row in prediction.sites)
    expected = _logs(prediction, value)
    bands = [_logs(prediction, partial(_end, band, end)) for end in (0, 1)]
    curves = [Curve(Message("predict.curve_expected"), places, expected, low=bands[0], high=bands[1])]
    if prediction.is_measured:
        name = "activation_rms" if what == "activation" else "activation_grad_rms"
        measured = _logs(prediction, lambda row: getattr(row.measured, name, None))
        curves.append(Curve(Message("predict.curve_measured"), places, measured, "points"))
    axis = Axis(Message("axis.activation_rms" if what == "activation" else "axis.gradient_rms"), "log10")
    return Panel(Message(f"predict.panel_{what}"), Axis(Message("axis.layer")), axis, tuple(curves))


def _end(band: Callable[[SitePrediction], tuple[float, float] | None], end: int, row: SitePrediction) -> float | None:
    limits = band(row)
    return None if limits is None else limits[end]


def _values(prediction: Record, read: Callable[[SitePrediction], float | None]) -> tuple[float, ...]:
    return tuple(math.nan if (value := read(row)) is None else value for row in prediction.sites)


def _logs(prediction: Record, read: Callable[[SitePrediction], float | None]) -> tuple[float, ...]:
    return tuple(
        -math.inf if value == 0 else math.log10(value) if value > 0 else math.nan for value in _values(prediction, read)
    )


def _table(prediction: Record, words: Words) -> list[Text]:
    """Heads, and a row for as many sites as fit; of more, some from the first to the last."""
    shown = _chosen(prediction.sites)
    heads = [words(f"predict.{head}") for head in ("site", "op", "activation", "gradient", "cosine")]
    rows = [heads, *(_cells(row, words) for row in shown)]
    if prediction.is_measured:  # each beside what was expected
        measured = [[words("predict.measured")] * 2, *(_measured_cells(row) for row in shown)]
        rows = [[*cells[:3], own[0], cells[3], own[1], *cells[4:]] for cells, own in zip(rows, measured, strict=True)]
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    found = [
        Text(
            "  ".join(_padded(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
        )
        for row in rows
    ]
    found[0].stylize("dim")
    left = len(prediction.sites) - len(shown)
    return [*found, *([Text(words("predict.more", count=left))] if left else [])]


def _cells(row: SitePrediction, words: Words) -> list[str]:
    return [
        words.site(row.site.name, NAME_CELLS),
        crop(clean(row.site.op), OP_CELLS),
        marked(number(row.activation_rms), row.activation_uncertainty),
        marked(number_from_log10(row.activation_grad_log10_rms), row.activation_grad_uncertainty),
        number(row.abs_cosine),
    ]


def _measured_cells(row: SitePrediction) -> list[str]:
    found = row.measured
    return [number(found.activation_rms if found else None), number(found.activation_grad_rms if found else None)]


def _padded(cell: str, width: int, column: int) -> str:
    """Names to the left, numbers to the right."""
    gap = " " * (width - cell_len(cell))
    return cell + gap if column < 2 else gap + cell


def _chosen(rows: tuple[SitePrediction, ...]) -> list[SitePrediction]:
    if len(rows) <= MOST_ROWS:
        return list(rows)
    last = len(rows) - 1
    places = sorted({round(i * last / (MOST_ROWS - 1)) for i in range(MOST_ROWS)})
    return [rows[place] for place in places]


def _wrapped(text: str) -> list[Text]:
    return [Text(line) for line in wrap(text, WIDTH)]
