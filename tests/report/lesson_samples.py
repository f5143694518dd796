"""Lessons made from records by hand: what the faces of lessons are tried with."""

import math

from headwater.records import Message
from headwater.records.lesson import Check, LessonResult
from headwater.records.picture import Axis, Curve, Panel, Picture, Raster, Table
from headwater.report.lessons import LessonsReport

NAN, INF = math.nan, math.inf
ID = "sample"


def say(key: str, **values: str | int | float | None) -> Message:
    return Message(f"lesson.{ID}.{key}", values)


TEXTS = {
    "title": "A sample",
    "claim": "It is <so> & stays so.",
    "seen": "It was {value}.",
    "why": "Because.",
    "caveat": "Not always.",
    "curve": "depth {depth}",
    "theory": "theory",
    "x": "x",
    "y": "y",
    "raster": "loss",
    "summary": "Two curves at {value}.",
    "panel": "panel {number}",
    "table": "All of it",
    "column": "column",
    "check.effect": "the effect is there",
    "check.exact": "exactly so",
    "check.word": "it is so at all",
}


def curve(y: tuple[float, ...], depth: int = 1, **options: object) -> Curve:
    return Curve(say("curve", depth=depth), tuple(map(float, range(len(y)))), y, **options)


def panel(*curves: Curve, log: bool = False, number: int = 1, raster: Raster | None = None, **limits: float) -> Panel:
    axis = Axis(say("y"), "log10" if log else "linear", **limits)
    return Panel(say("panel", number=number), Axis(say("x")), axis, curves, raster)


def picture(*panels: Panel) -> Picture:
    return Picture(say("summary", value=0.25), panels)


def raster() -> Raster:
    rows = tuple(tuple(float(row * column) for column in range(7)) for row in range(5))
    return Raster((-1.0, 1.0), (-2.0, 2.0), (*rows, (NAN, 1.0, INF, 0.0, 1.0, 2.0, 3.0)), say("raster"))


PICTURES = {
    "lines": picture(panel(curve((1.0, 2.0, 4.0)), curve((3.0, 1.0, 0.5), 2))),
    "zeros": picture(panel(curve((-3.0, -10.0, -INF, -INF, -2.0)), log=True)),
    "all_zero": picture(panel(curve((-INF, -INF)), log=True)),
    "broken": picture(panel(curve((1.0, NAN, INF, -INF, 1e300, 2.0)))),
    "nothing": picture(panel(curve((NAN, NAN)))),
    "one_point": picture(panel(curve((5.0,), style="points"))),
    "flat": picture(panel(curve((0.5, 0.5, 0.5)))),
    "bars": picture(panel(curve((3.0, 5.0, 0.0), style="bars", low=(2.0, 4.0, 0.0), high=(4.0, 6.0, 0.5)))),
    "histogram": picture(panel(curve(tuple(float(i % 7) for i in range(60)), style="bars"))),
    "band": picture(
        panel(curve(tuple(float(i) for i in range(90)), low=tuple(i - 1.0 for i in range(90)), high=(INF,) * 90))
    ),
    "clipped": picture(panel(curve((-5.0, 0.0, 5.0, 50.0)), low=-1.0, high=2.0)),
    "long": picture(panel(curve(tuple(math.sin(i / 9) for i in range(5000))))),
    "reference": picture(panel(curve((1.0, 2.0)), Curve(say("theory"), (0.0, 1.0), (1.0, 2.5), is_reference=True))),
    "raster": picture(panel(Curve(say("theory"), (-1.0, 0.5), (0.0, 1.0), "points"), raster=raster())),
    "panels": picture(*[panel(curve((1.0, 2.0), number), number=number) for number in range(1, 6)]),
    "many_looks": picture(*[panel(*[curve((1.0, d), 10 * n + d) for d in range(6)], number=n) for n in range(1, 4)]),
    "log_x": picture(
        Panel(say("panel", number=1), Axis(say("x"), "log10"), Axis(say("y")), (
            Curve(say("theory"), (-INF, -3.0, 1.0), (0.1, 0.2, 0.9), "points"),
        ))
    ),
}  # fmt: skip


def result(lesson_id: str = ID, holds: bool = True, pictures: tuple[Picture, ...] = ()) -> LessonResult:
    checks = (
        Check(say("check.effect"), holds, 0.31 if holds else -0.02, 0.0, None, (0.2, 0.42) if holds else (-0.1, 0.06)),
        Check(say("check.exact"), True, 0.25, 0.25 - 1e-9, 0.25 + 1e-9),
        Check(say("check.word"), True),
    )
    table = Table(
        say("table"), (say("column"), say("column"), say("column")), ((say("theory"), "relu", 1e-26), ("x", None, 3))
    )
    return LessonResult(
        lesson_id, holds, checks, {"value": 1.3e-26}, pictures or tuple(PICTURES.values()), (table,), (0, 1, 2), 2.5
    )


def report(*results: LessonResult) -> LessonsReport:
    return LessonsReport(results or (result(),), "0.1.0", "2.13.0", "2026-11-21T08:00:00Z", 2.0)
