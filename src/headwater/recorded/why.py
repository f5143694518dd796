"""Where a training broke: the first tensor that was not finite, or grew out of all measure, in order of execution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.recorded.origin import PARAMETER_COUNTS, SITE_COUNTS, Found, Numbers, first_broken
from headwater.records import Message
from headwater.records.message import Value
from headwater.records.site import Site
from headwater.records.why import WELL, Origin, Sample, TensorKind, Why
from headwater.store import Recording
from headwater.store.columns import Group
from headwater.store.logfile import Damage

BEFORE = 20
"""Recorded steps shown before the one that broke."""

# A jump of 3 decades within 20 recorded steps is no course of a training: the steepest healthy warm-ups among those of
# tests/zoo.py move the gradient by less than 1.5. A loss has units of its own; its jump is told by the same factor.
_JUMP_DECADES = 3.0
_LOSS_FACTOR = 1e3
_GROWN = 10.0  # of a site's activation or gradient against its median before: a decade, as an alarm asks for
_POINTS = 500  # of the first look at a long run
_HALF = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")


def why(run: Recording) -> Why:
    """Find out where a run broke; works on one that goes on, too, and on what was left by a kill.

    Args:
        run: Opened.
    """
    members = getattr(run, "members", None)
    return _Search(run).found() if members is None else _of_ranks(run, members)


def damage_message(found: Damage) -> Message:
    """Bytes that could not be read, in words."""
    return Message("why.damage", {"file": found.file, "start": found.start, "stop": found.stop, "why": found.why})


_FIRST_OF_ALL: dict[str, int] = {"input": 0, "activation": 1, "param": 2, "grad": 3, "loss": 4}


def _of_ranks(run: Recording, members: Mapping[int, Recording]) -> Why:
    """Where it broke first, on whichever rank: one that spoils a mean of gradients spoils the weights of all."""
    found = {rank: _Search(member).found() for rank, member in members.items()}
    broken = {rank: why for rank, why in found.items() if why.verdict not in WELL}
    notes = tuple(event.message for event in run.events() if event.message.id.startswith("event.rank_"))
    if not broken:
        order = ("unreadable", "nothing_found", "nothing_recorded")  # one rank that cannot be read may be the one
        whole = min(found.values(), key=lambda why: order.index(why.verdict))
        return replace(whole, state=run.state.name, evidence=(*whole.evidence, *notes))
    rank = min(broken, key=lambda rank: (broken[rank].step or 0, _FIRST_OF_ALL.get(broken[rank].kind or "", 5), rank))
    where = Message("why.on_rank", {"rank": rank, "ranks": len(members)})
    first = broken[rank]
    return replace(first, rank=rank, state=run.state.name, evidence=(*first.evidence, where, *notes))


@dataclass(frozen=True)
class _Window:
    """Single recorded steps, a column each, by their places in the list of all; NaN where one cannot be read."""

    places: range
    sites: dict[str, Numbers]
    parameters: dict[str, Numbers]
    seen: NDArray[np.bool_]
    """Whether a step's sites and parameters are there; a file may be damaged, or have made room."""


class _Search:
    def __init__(self, run: Recording) -> None:
        self.run = run
        self.sites = run.sites
        self.parameters = run.parameters
        course = run.course()
        self.steps = course["update_ratio"].steps
        self.seq = run.sequence()
        self.course = {name: curve.values for name, curve in course.items()}
        self.losses = run.loss_of_steps()
        self.skipped = {event.step for event in run.events() if event.message.id == "event.step_skipped"}

    def found(self) -> Why:
        if not len(self.steps):
            return self._why("nothing_recorded", Message("why.nothing_recorded"))
        broke = self._first_nonfinite()
        if isinstance(broke, _Unseen):
            return self._explain_unseen(broke)
        if broke is not None:
            return self._explain_nonfinite(broke)
        for look in (self._exploding, self._spike, self._underflow):
            seen = look()
            if seen is not None:
                return seen
        told = self._told_between()
        if told is not None:
            return self._explain_told(*told)
        lost = self.run.lost_steps()
        if lost:
            return self._why("unreadable", Message("why.unreadable", {"lost": lost, "steps": len(self.steps)}))
        return self._why("nothing_found", Message("why.nothing_found", {"steps": len(self.steps)}))

    def _why(self, verdict: Any, message: Message, **known: Any) -> Why:
        run = self.run
        damage = tuple(damage_message(found) for found in run.damage_met)
        return Why(
            run=str(run.info.get("name", run.path.name)),
            verdict=verdict,
            state=run.state.name,
            recorded=len(self.steps),
            last_step=int(self.steps[-1]) if len(self.steps) else None,
            message=message,
            damage=damage,
            **known,
        )

    # Where

    def _first_nonfinite(self) -> int | _Unseen | None:
        """The number of the first recorded step with NaN or Inf anywhere, coarse first."""
        suspects: list[tuple[int, int]] = []
        for name in (*SITE_COUNTS, *PARAMETER_COUNTS):
            read = self.run.read if name in SITE_COUNTS else self.run.read_parameters
            seq, values = read(name, max_points=_POINTS, axis="seq")
            bad = np.flatnonzero((np.nan_to_num(values) > 0).any(axis=0))
            ends = np.append(self._places(seq[1:]), len(self.steps))
            suspects += [(int(self._places(seq[point])), int(ends[point])) for point in bad]
        told = [place for place, loss in enumerate(self.losses) if loss is not None and not math.isfinite(loss)]
        for begin, end in sorted({*suspects, *((place, place + 1) for place in told)}):
            place = self._first_within(range(begin, end))
            if place is not None:
                return place
        return None

    def _places(self, seq: Any) -> Any:
        """Where in the list of recorded steps their numbers stand."""
        return np.searchsorted(self.seq, seq)

    def _first_within(self, places: range) -> int | _Unseen | None:
        """The first of these steps with NaN or Inf that no scaler has skipped, as far as each can be read."""
        bad, seen = self._bad(places)
        first = next((place for place in places if place in bad and int(self.steps[place]) not in self.skipped), None)
        before = places if first is None else range(places.start, first + 1)
        unseen = [place for place in before if not seen[place - places.start]]
        if not unseen or any(int(self.steps[place]) in self.skipped for place in before):
            return first
        return _Unseen(unseen[0], places.stop - 1 if first is None else first)

    def _bad(self, places: range) -> tuple[set[int], NDArray[np.bool_]]:
        """Which of these steps have NaN or Inf, and which could be looked at."""
        window = self._window(places, list(SITE_COUNTS), list(PARAMETER_COUNTS))
        bad = np.zeros(len(places), bool)
        for values in (*window.sites.values(), *window.parameters.values()):
            bad |= (np.nan_to_num(values) > 0).any(axis=0)
        found = {places.start + int(column) for column in np.flatnonzero(bad)}
        told = {p for p in places if (loss := self.losses[p]) is not None and not math.isfinite(loss)}
        return found | told, window.seen

    def _window(self, places: range, sites: Sequence[str], parameters: Sequence[str]) -> _Window:
        """Columns of single steps. Steps may go back where a run was resumed, so the recorded number decides."""
        steps = self.steps[places.start : places.stop]
        low, high = int(steps.min()), int(steps.max()) + 1
        found: list[dict[str, Numbers]] = []
        seen = np.ones(len(places), bool)
        asked: tuple[tuple[Group, Sequence[str], int], ...] = (
            ("sites", sites, len(self.sites)),
            ("parameters", parameters, len(self.parameters)),
        )
        for group, names, rows in asked:
            columns: dict[str, Numbers] = {}
            there = np.full(len(places), not rows or not names)
            for name in names:
                seq, values = self.run.read_single(group, name, low, high)
                here = self._places(seq)
                own = (here >= places.start) & (here < places.stop)
                columns[name] = np.full((rows, len(places)), np.nan)
                columns[name][:, here[own] - places.start] = values[:, own]
                there[here[own] - places.start] = True
            seen &= there
            found.append(columns)
        return _Window(places, found[0], found[1], seen)

    # Why

    def _explain_nonfinite(self, place: int) -> Why:
        names = [*SITE_COUNTS, "input_abs_max", "activation_abs_max", "activation_grad_abs_max", "activation_count"]
        window = self._window(range(place, place + 1), names, [*PARAMETER_COUNTS, "spoiled", "value_abs_max"])
        sites = {name: np.nan_to_num(values[:, 0]) for name, values in window.sites.items()}
        params = {name: np.nan_to_num(values[:, 0]) for name, values in window.parameters.items()}
        known = {
            "step": int(self.steps[place]),
            "finite_until": self._before(place),
            "recovered_at": self._after(place),
        }
        found = first_broken(self.sites, sites, self.parameters, params, is_first=place == 0)
        if found is None:
            loss = self.losses[place]
            cause: Origin = "overflow" if loss is not None and math.isinf(loss) else "zero_by_zero"
            found = Found("loss", None, cause, {"loss": str(loss)})
        counts = [sites[name] for name in SITE_COUNTS if not name.startswith("input")]
        others = np.sum(counts, axis=0) > 0
        return self._told(found, place, known, int(others.sum()) - int(found.row is not None and others[found.row]))

    def _told_between(self, before: int | None = None) -> tuple[int, str] | None:
        """The first loss with NaN or Inf that was told at a step which was not measured, and that step."""
        curve = self.run.scalars().get("loss")
        if curve is None:
            return None
        found = ~np.isfinite(curve.values) & ~np.isin(curve.steps, self.steps)
        found &= ~np.isin(curve.steps, list(self.skipped))
        if before is not None:
            found &= curve.steps < before
        if not found.any():
            return None
        place = int(np.flatnonzero(found)[0])
        return int(curve.steps[place]), str(float(curve.values[place]))

    def _explain_told(self, step: int, loss: str) -> Why:
        """The loss was not finite at a step that was not measured, and no measured step shows where that came from."""
        earlier = np.flatnonzero(self.steps < step)
        last = int(earlier[-1]) if len(earlier) else None
        evidence = () if last is None else (Message("why.finite_until", {"step": int(self.steps[last])}),)
        return self._why(
            "nonfinite",
            Message("why.told_loss", {"step": step, "loss": loss}),
            step=step,
            finite_until=None if last is None else int(self.steps[last]),
            kind="loss",
            cause="unknown",
            evidence=evidence,
            samples=() if last is None else self._samples(last, Found("loss", None, "unknown", {})),
        )

    def _explain_unseen(self, unseen: _Unseen) -> Why:
        """NaN or Inf at steps that cannot be read one by one: when it began is known roughly, and where it did not."""
        first, last = int(self.steps[unseen.first]), int(self.steps[unseen.last])
        loss = self.losses[unseen.last]
        known = {"finite_until": self._before(unseen.first), "cause": "unknown"}
        samples = self._samples(unseen.last, Found("loss", None, "unknown", {}))
        if first == last and loss is not None and not math.isfinite(loss):
            message = Message("why.unseen_loss", {"step": last, "loss": str(loss)})
            return self._why("nonfinite", message, step=last, kind="loss", samples=samples, **known)
        evidence: list[Message] = []
        rows = self._suspected_sites(first, last)
        if len(rows):
            names: dict[str, Value] = {"count": len(rows), "site": self.sites[rows[0]].name}
            evidence.append(Message("why.unseen_sites", names))
        message = Message("why.unseen_between", {"first": first, "last": last})
        return self._why("nonfinite", message, evidence=tuple(evidence), samples=samples, **known)

    def _suspected_sites(self, first: int, last: int) -> NDArray[np.int64]:
        """Sites that have NaN or Inf between two steps by what sums these up."""
        bad = np.zeros(len(self.sites), bool)
        for name in SITE_COUNTS:
            values = self.run.read(name, start=first, stop=last + 1)[1]
            bad |= (np.nan_to_num(values) > 0).any(axis=1)
        return np.flatnonzero(bad)

    def _told(self, found: Found, place: int, known: dict[str, Any], affected: int) -> Why:
        site = self.sites[found.row] if found.row is not None else None
        values: dict[str, Value] = {
            "step": known["step"],
            "site": found.site,
            "op": site.op if site is not None else "",
            "dtype": site.dtype if site is not None else "",
            **found.values,
        }
        evidence = [Message("why.cause_of_loss" if found.kind == "loss" else f"why.cause_{found.cause}", values)]
        if known["finite_until"] is not None:
            evidence.append(Message("why.finite_until", {"step": known["finite_until"]}))
        told = self._told_between(known["step"])
        if told is not None:
            evidence.append(Message("why.loss_before", {"step": told[0], "loss": told[1]}))
        if known["recovered_at"] is not None:
            evidence.append(Message("why.recovered", {"step": known["recovered_at"]}))
        return self._why(
            "nonfinite",
            Message(f"why.nonfinite_{found.kind}", values),
            **known,
            kind=found.kind,
            site=found.site,
            op=site.op if site is not None else None,
            dtype=site.dtype if site is not None else None,
            cause=found.cause,
            evidence=tuple(evidence),
            affected=affected,
            samples=self._samples(place, found),
        )

    def _before(self, place: int) -> int | None:
        """The recorded step before, if it can be read."""
        if not place or not self._window(range(place - 1, place), ["activation_nan"], ["value_nan"]).seen.all():
            return None
        return int(self.steps[place - 1])

    def _after(self, place: int) -> int | None:
        """The first recorded step from which on all is finite again, among the next few hundred."""
        places = range(place, min(len(self.steps), place + _POINTS))
        bad, seen = self._bad(places)
        if not seen.all():
            return None
        last = max(bad, default=place)
        return int(self.steps[last + 1]) if last + 1 < places.stop else None

    # Finite, and wrong

    def _exploding(self) -> Why | None:
        """A gradient that has risen by decades against its median before, at the step where it is largest."""
        level = self.course["log10_gradient"]
        place = _first_jump(level, _JUMP_DECADES)
        if place is None:
            return None
        rows = range(max(0, place - BEFORE), place + 1)
        window = self._window(rows, ["activation_rms", "activation_grad_rms"], [])
        found = self._grown(window, "activation_rms", first=True) or self._grown(
            window, "activation_grad_rms", first=False
        )
        if found is None:
            return None
        site, kind, factor = found
        decades = float(level[place] - np.nanmedian(level[rows.start : place]))
        values: dict[str, Value] = {
            "step": int(self.steps[place]),
            "site": site.name,
            "op": site.op,
            "factor": factor,
            "decades": decades,
        }
        return self._why(
            "exploding",
            Message(f"why.exploding_{kind}", values),
            step=int(self.steps[place]),
            finite_until=self._before(place),
            kind=kind,
            site=site.name,
            op=site.op,
            dtype=site.dtype,
            cause="growth",
            evidence=(Message("why.cause_growth", values),),
            samples=self._samples(place, Found(kind, site.name, "growth", {}, site.order)),
        )

    def _grown(self, window: _Window, statistic: str, first: bool) -> tuple[Site, TensorKind, float] | None:
        """The first site, in its own direction, whose number is ten times its median before."""
        values = window.sites[statistic]
        if values.shape[1] < 2:
            return None
        with np.errstate(all="ignore"):
            factor = values[:, -1] / np.nanmedian(values[:, :-1], axis=1)
        grown = np.flatnonzero(factor > _GROWN)
        if not len(grown):
            return None
        row = int(grown[0] if first else grown[-1])
        return self.sites[row], "activation" if first else "grad", float(factor[row])

    def _spike(self) -> Why | None:
        """A loss a thousand times its median before."""
        losses = np.array([math.nan if loss is None else loss for loss in self.losses])
        with np.errstate(all="ignore"):
            level = np.log10(np.where(losses > 0, losses, np.nan))
        place = _first_jump(level, math.log10(_LOSS_FACTOR))
        if place is None:
            return None
        values: dict[str, Value] = {
            "step": int(self.steps[place]),
            "loss": float(losses[place]),
            "before": float(losses[place - 1]),
        }
        return self._why(
            "loss_spike",
            Message("why.loss_spike", values),
            step=int(self.steps[place]),
            finite_until=self._before(place),
            kind="loss",
            cause="growth",
            samples=self._samples(place, Found("loss", None, "growth", {})),
        )

    def _underflow(self) -> Why | None:
        """Gradients that are exactly zero in half precision, where the ones nearer the loss are not."""
        narrow = [row for row, site in enumerate(self.sites) if site.dtype in _HALF]
        if not narrow:
            return None
        seq, zeros = self.run.read("activation_grad_zero_fraction", max_points=_POINTS, axis="seq", reduce="min")
        _, tiny = self.run.read("activation_grad_subnormal_fraction", max_points=_POINTS, axis="seq", reduce="max")
        _, largest = self.run.read("activation_grad_rms", max_points=_POINTS, axis="seq", reduce="max")
        alive = np.nan_to_num(largest) > 0
        for point in range(len(seq)):
            for row in narrow:
                behind = alive[row + 1 :, point].any() if row + 1 < len(self.sites) else False
                if zeros[row, point] == 1.0 and behind and np.nanmax(tiny[row + 1 :, point], initial=0.0) > 0:
                    return self._underflowed(
                        int(self._places(seq[point])), row, float(np.nanmax(tiny[row + 1 :, point], initial=0.0))
                    )
        return None

    def _underflowed(self, place: int, row: int, share: float) -> Why:
        site = self.sites[row]
        step = int(self.steps[place])
        values: dict[str, Value] = {"step": step, "site": site.name, "op": site.op, "dtype": site.dtype, "share": share}
        found = Found("grad", site.name, "fp16_underflow", {}, row)
        return self._why(
            "underflow",
            Message("why.underflow", values),
            step=step,
            finite_until=self._before(place),
            kind="grad",
            site=site.name,
            op=site.op,
            dtype=site.dtype,
            cause="fp16_underflow",
            evidence=(Message("why.cause_fp16_underflow", values),),
            samples=self._samples(place, found),
        )

    # The way there

    def _samples(self, place: int, found: Found) -> tuple[Sample, ...]:
        places = range(max(0, place - BEFORE), place + 1)
        own = ["activation_rms", "activation_abs_max", "activation_grad_rms", "activation_grad_abs_max"]
        window = self._window(places, [*own, *SITE_COUNTS], list(PARAMETER_COUNTS))
        row = found.row
        parameter = self.parameters.index(found.site) if row is None and found.site in self.parameters else None
        return tuple(self._sample(place, window, own, row, parameter) for place in places)

    def _sample(self, place: int, window: _Window, own: list[str], row: int | None, parameter: int | None) -> Sample:
        column = place - window.places.start if window.seen[place - window.places.start] else None
        numbers: dict[str, float | None] = dict.fromkeys(own)
        nonfinite: int | None = None
        if column is not None and row is not None:
            numbers = {name: _known(window.sites[name][row, column]) for name in own}
            nonfinite = int(sum(np.nan_to_num(window.sites[name][row, column]) for name in SITE_COUNTS))
        elif column is not None and parameter is not None:
            nonfinite = int(sum(np.nan_to_num(window.parameters[n][parameter, column]) for n in PARAMETER_COUNTS))
        return Sample(
            step=int(self.steps[place]),
            loss=self.losses[place],
            nonfinite=nonfinite,
            log10_gradient=_known(self.course["log10_gradient"][place]),
            update_ratio=_known(self.course["update_ratio"][place]),
            **numbers,
        )


@dataclass(frozen=True)
class _Unseen:
    """Steps, by their places, among which one broke and that cannot be read one by one."""

    first: int
    last: int


def _first_jump(level: Numbers, decades: float) -> int | None:
    """The first place that stands so far above the median of the 20 known ones before; of a run of them the first."""
    known = np.flatnonzero(np.isfinite(level))
    if len(known) < 3:
        return None
    values = level[known]
    # The median is taken only where a bound says that it could matter: a run may have a million steps.
    padded = np.concatenate([np.full(BEFORE, math.inf), values[:-1]])
    lowest = np.lib.stride_tricks.sliding_window_view(padded, BEFORE).min(axis=1)
    for index in np.flatnonzero(values - lowest > decades):
        if index >= 2 and values[index] - float(np.median(values[max(0, index - BEFORE) : index])) > decades:
            return int(known[index])
    return None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
