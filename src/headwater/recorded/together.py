"""A run of several ranks as one: what each has recorded, merged when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.recorded.flows import merged_flows
from headwater.recorded.health import differing_models, health_of
from headwater.recorded.run import Run
from headwater.records import Diagnosis, Event, Flow, InputError, Message
from headwater.records.ranks import RankState
from headwater.store import Curve, State, Update
from headwater.store.columns import COURSE, Group
from headwater.store.following import Cursor
from headwater.store.merging import counted_first, joint_cosine, joint_ratio
from headwater.store.payloads import Table
from headwater.store.reading import Axis, Wanted, thinned
from headwater.store.start import Start
from headwater.store.together import EXACT_CELLS, Points, holding_of, place_of_start, read_together, shared_points

_OF_PARAMETERS = ("grad_rms", "update_ratio")  # of a site, told by the parameters it owns


class TogetherRun(Run):
    """Several ranks' recording of one training; made by :func:`open_run`.

    A step is there once every rank has recorded it that was there then. ``members`` are the ranks' own runs.
    """

    def __init__(self, path: str | Path) -> None:
        self.members: dict[int, Run] = {}
        self._points: Points | None = None
        super().__init__(path)

    def refresh(self) -> None:
        """Look for what has come since, from every rank."""
        super().refresh()
        self._points = None
        for rank in self.ranks:
            if rank in self.members:
                self.members[rank].refresh()
            else:
                self.members[rank] = Run(self.path, rank)

    @property
    def is_merged(self) -> bool:
        return True

    @property
    def starts(self) -> list[Start]:
        """Process starts of all ranks, in order."""
        found = [start for run in self.members.values() for start in run.starts]
        return sorted(found, key=lambda start: (start.number, start.rank))

    @property
    def points(self) -> Points:
        """The steps that are there."""
        if self._points is None:
            self._points = shared_points(self._by_rank)
        return self._points

    @property
    def _by_rank(self) -> dict[int, list[Start]]:
        return {rank: run.starts for rank, run in self.members.items()}

    def of_rank(self, rank: int) -> Run:
        """One rank's own recording.

        Raises:
            InputError: If there is none.
        """
        if rank not in self.members:
            raise InputError(no_rank(self, rank))
        return self.members[rank]

    def health(self) -> list[RankState]:
        """How each rank is, those among it that should be there and are not."""
        return health_of(self.members)

    @property
    def state(self) -> State:
        """Whether the run goes on: as long as any rank does; it has ended when all that were not lost have."""
        states = [run.state for run in self.members.values()]
        for name in ("running", "broken", "ended"):
            found = [state for state in states if state.name == name]
            if found:
                return max(found, key=lambda state: state.heartbeat or 0.0)
        return State("broken")

    @property
    def facts(self) -> dict[str, Any]:
        """How the first rank was watched."""
        return next((run.facts for run in self.members.values() if run.facts), {})

    def __len__(self) -> int:
        return len(self.points)

    def scalars(self) -> dict[str, Curve]:
        """Losses and whatever else was logged, by name; where several ranks told a number, the mean of theirs."""
        told: dict[str, list[Curve]] = {}
        for run in self.members.values():
            for name, curve in run.scalars().items():
                told.setdefault(name, []).append(curve)
        return {name: _mean_curve(curves) for name, curves in told.items()}

    def sequence(self) -> NDArray[np.int64]:
        """The number of each step that is there."""
        return np.arange(len(self.points))

    def loss_of_steps(self) -> list[float | None]:
        """The mean of the ranks' losses at each step, ``None`` where none was told."""
        curve = self.scalars().get("loss")
        known = {} if curve is None else dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
        return [known.get(step) for step in self.points.steps.tolist()]

    def course(self) -> dict[str, Curve]:
        """Of all parameters together; ``own_s``, ``wait_s`` and ``cost_s`` are those of the slowest rank."""
        points = self.points
        parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in COURSE}
        for run in self.members.values():
            for name, curve in run.course().items():
                parts[name].append(_on(points.steps, curve))
        found = {name: np.fmax.reduce(values) for name, values in parts.items() if values}
        if any(place_of_start(start).wrapper in ("fsdp", "tensor", "none") for start in self.starts):
            found |= self._course_of_pieces()
        return {name: Curve(points.steps, points.times, values) for name, values in found.items()}

    def _course_of_pieces(self) -> dict[str, NDArray[np.float64]]:
        """What parameters show together of which ranks hold different ones."""
        names = self.parameters
        counts = self._elements("parameters", names)[:, None]
        rms = self._merged(Wanted("parameters", "grad_rms", names))
        with np.errstate(all="ignore"):
            gradient = np.log10(_joint_rms(rms, counts))
        parts, signs = self._parts()
        return {
            "log10_gradient": gradient,
            "gradient_cosine": joint_cosine(parts["gradient_cosine"], parts["grad"], signs),
            "update_ratio": joint_ratio(parts["update_ratio"], parts["value"], signs),
        }

    def _parts(self) -> tuple[dict[str, Table], NDArray[np.float64]]:
        """What each rank's weights show together and, with a sign of -1, what of it a rank before it holds as well."""
        points = self.points
        parts: dict[str, list[NDArray[np.float64]]] = {
            name: [] for name in ("update_ratio", "gradient_cosine", "value", "grad")
        }
        signs: list[float] = []
        first = counted_first(holding_of(self._by_rank, "parameters", self.parameters).pieces)
        for run, counted in zip(self.members.values(), first, strict=True):
            if not counted.any():
                continue  # all of it is held by others
            held, course = set(run.parameters), run.course()
            names = [name for name, own in zip(self.parameters, counted, strict=True) if not own and name in held]
            again = {
                name: read_together({run.rank: run.starts}, points, Wanted("parameters", name, names))
                for name in ("update_ratio", "gradient_cosine", "value_rms", "grad_norm")
            }
            counts = holding_of({run.rank: run.starts}, "parameters", names).counts[0]
            for name in ("update_ratio", "gradient_cosine"):
                parts[name] += [_on(points.steps, course[name]), *again[name]]
            parts["value"] += [_norm_of_all(run, "value", points), *(again["value_rms"] * np.sqrt(counts)[:, None])]
            parts["grad"] += [_norm_of_all(run, "grad", points), *again["grad_norm"]]
            signs += [1.0, *[-1.0] * len(names)]
        stacked = {name: np.stack(rows) if rows else np.empty((0, len(points))) for name, rows in parts.items()}
        return stacked, np.array(signs)

    def events(self) -> tuple[Event, ...]:
        """What happened at any rank, oldest first; what several ranks say is said once. How ranks are stands last."""
        return (*self._events(alarms=False), *self._of_health())

    def alarms(self) -> tuple[Event, ...]:
        return self._events(alarms=True)

    def _events(self, alarms: bool) -> tuple[Event, ...]:
        found: dict[str, Event] = {}
        for run in self.members.values():
            for event in run.alarms() if alarms else run.events():
                found.setdefault(repr(event), event)
        return tuple(sorted(found.values(), key=lambda event: event.step))

    def _of_health(self) -> tuple[Event, ...]:
        said = [Event(state.last_step or 0, state.message) for state in self.health() if state.message is not None]
        differ = differing_models(self.members)
        if differ is not None:
            first, second, name = differ
            said.insert(
                0, Event(0, Message("event.rank_model_differs", {"first": first, "second": second, "name": name}))
            )
        return tuple(said)

    def kept_steps(self) -> dict[int, dict[int, str]]:
        """Of each rank, the names of the flows it keeps by their step."""
        return {rank: run.kept_steps()[rank] for rank, run in self.members.items()}

    def flows_by_rank(self, which: str = "last") -> dict[int, Flow]:
        """What one step showed, rank by rank: the last one that all ranks have kept which were not lost before.

        Args:
            which: ``first``, ``last`` or ``broke``; of the last, that of the ranks where it broke first.
        """
        if which != "last":
            found = {rank: flow for rank, run in self.members.items() if (flow := run.flow(which)) is not None}
            first = min((flow.step for flow in found.values()), default=0)
            return {rank: flow for rank, flow in found.items() if flow.step == first}
        kept = {rank: names for rank, names in self.kept_steps().items() if names}
        lost = {state.rank for state in self.health() if state.name in ("lost", "missing")}
        asked = [set(names) for rank, names in kept.items() if rank not in lost] or [set(n) for n in kept.values()]
        shared = set.intersection(*asked) if asked else set()
        if not shared:
            return {}
        step = max(shared)
        chosen = {rank: self.members[rank].flow(names[step]) for rank, names in kept.items() if step in names}
        return {rank: flow for rank, flow in chosen.items() if flow is not None}

    def flow(self, which: str = "last") -> Flow | None:
        """Everything a kept step showed, of all ranks together."""
        flows = self.flows_by_rank(which)
        return merged_flows(flows, {rank: self.members[rank].place for rank in flows}) if flows else None

    def flow_data(self, name: str) -> dict[str, Any] | None:
        flow = self.flow(name)
        return flow.to_dict() if flow is not None else None

    def _looked_at(self, diagnosis: Diagnosis, flow: Flow) -> Diagnosis:
        from headwater.diagnosis.ranks import with_ranks
        from headwater.recorded.side_by_side import side_by_side

        return with_ranks(diagnosis, side_by_side(self), flow.step)

    def follow(self, since: str | None = None, statistics: Sequence[str] = ("activation_grad_rms",)) -> Update:
        """What has come since a call before; see :meth:`Recording.follow`."""
        self.refresh()
        cursor = Cursor.of(since)
        points, names, events = self.points, self.site_names, self.events()
        new = Points(points.keys[cursor.steps :], points.times[cursor.steps :])
        span = (int(new.steps.min()), int(new.steps.max()) + 1) if len(new) else (0, 0)
        values = {
            name: self._merged(Wanted("sites", name, names, *span), new) if len(new) else np.empty((len(names), 0))
            for name in statistics
        }
        losses = dict(zip(points.steps.tolist(), self.loss_of_steps(), strict=True))
        told = [losses.get(step) for step in new.steps.tolist()]
        curves = {name: curve for name, curve in self.scalars().items() if name != "loss"}
        logged = [
            (step, name, value)
            for name, curve in curves.items()
            for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
        ]
        scalars: dict[str, list[tuple[int, float]]] = {}
        for step, name, value in sorted(logged, key=lambda row: row[:2])[cursor.scalars :]:
            scalars.setdefault(name, []).append((step, value))
        behind = Cursor(0, len(points), len(events), len(logged), len(names))
        return Update(
            cursor=str(behind),
            steps=new.steps,
            values=values,
            loss=np.array([np.nan if loss is None else loss for loss in told]),
            events=events[cursor.events :],
            scalars=scalars,
            sites_changed=len(names) != cursor.sites,
            state=self.state,
        )

    # How it is read

    def _rows(self, group: Group) -> list[dict[str, Any]]:
        """Rows of all ranks, each name once: those of the first rank, then what others have beside them."""
        found: dict[str, dict[str, Any]] = {}
        for run in self.members.values():
            for row in run._rows(group):
                found.setdefault(row["name"], row)
        return list(found.values())

    def _read(self, wanted: Wanted, axis: Axis) -> tuple[NDArray[Any], Table]:
        points, sequence = self.points, self.sequence()
        within = np.ones(len(points), bool)
        if wanted.start is not None:
            within &= points.steps >= wanted.start
        if wanted.stop is not None:
            within &= points.steps < wanted.stop
        chosen = Points(points.keys[within], points.times[within])
        values = self._merged(wanted, chosen)
        counted = {"step": chosen.steps, "seq": sequence[within], "time": chosen.times}[axis]
        return thinned(counted, values, wanted)

    def _merged(self, wanted: Wanted, points: Points | None = None) -> Table:
        points = self.points if points is None else points
        cells = len(points) * max(1, len(wanted.names)) * max(1, len(self.members))
        if cells <= EXACT_CELLS:
            wanted = replace(wanted, max_points=None)
        if wanted.group == "sites" and wanted.statistic in _OF_PARAMETERS:
            return self._of_owned(wanted, points)
        return read_together(self._by_rank, points, wanted)

    def _of_owned(self, wanted: Wanted, points: Points) -> Table:
        """What sites show of the parameters they own."""
        sites = {row["name"]: row.get("parameters", []) for row in self._rows("sites")}
        known = {name for row in self._rows("parameters") for name in (row["name"], *row.get("aliases", ()))}
        first = {a: row["name"] for row in self._rows("parameters") for a in (row["name"], *row.get("aliases", ()))}
        own = [[first[name] for name in sites.get(site, ()) if name in known] for site in wanted.names]
        names = list(dict.fromkeys(name for part in own for name in part))
        place = {name: index for index, name in enumerate(names)}
        counts = self._elements("parameters", names)[:, None]
        of = {
            name: read_together(self._by_rank, points, replace(wanted, group="parameters", statistic=name, names=names))
            for name in dict.fromkeys((wanted.statistic, "value_rms"))
        }
        out = np.full((len(wanted.names), len(points)), np.nan)
        for row, part in enumerate(own):
            rows = [place[name] for name in part]
            if not rows:
                continue
            values = of[wanted.statistic][rows]
            if wanted.statistic == "grad_rms":
                out[row] = _joint_rms(values, counts[rows])
            else:
                out[row] = _joint_ratio(values, of["value_rms"][rows], counts[rows])
        return out

    def _elements(self, group: Group, names: list[str]) -> NDArray[np.float64]:
        """Elements of each row, over all pieces."""
        holding = holding_of(self._by_rank, group, names)
        total = np.zeros(len(names))
        for column in range(len(names)):
            _, first = np.unique(holding.pieces[:, column], return_index=True)
            total[column] = sum(holding.counts[rank, column] for rank in first if holding.pieces[rank, column] >= 0)
        return total


def no_rank(run: Run, rank: int) -> str:
    """What is said where a rank is asked for that has recorded nothing."""
    there = ", ".join(map(str, run.ranks)) or "none"
    return f"{run.path.name} has nothing of rank {rank}; there is {there}."


def _mean_curve(curves: list[Curve]) -> Curve:
    """The mean of several ranks' numbers, step by step."""
    if len(curves) == 1:
        return curves[0]
    joined = Curve.joined(curves)
    steps, places, counts = np.unique(joined.steps, return_inverse=True, return_counts=True)
    times = np.full(len(steps), -np.inf)
    np.maximum.at(times, places, joined.times)
    return Curve(steps, times, np.bincount(places, joined.values, len(steps)) / counts)


def _on(steps: NDArray[np.int64], curve: Curve) -> NDArray[np.float64]:
    """A curve's values at the steps, the last where one comes twice; NaN where it has none."""
    known = dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))
    return np.array([known.get(step, np.nan) for step in steps.tolist()], np.float64)


def _norm_of_all(run: Run, kind: str, points: Points) -> NDArray[np.float64]:
    """‖·‖ of all that a rank holds of weights or gradients, at each point."""
    held = read_together({run.rank: run.starts}, points, Wanted("parameters", f"{kind}_rms", run.parameters))
    counts = holding_of({run.rank: run.starts}, "parameters", run.parameters).counts[0]
    with np.errstate(over="ignore"):
        return np.sqrt(np.nansum(counts[:, None] * held**2, axis=0))


def _joint_rms(rms: Table, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of several tensors together; of squares that leave float64 only their ratios are taken."""
    top = np.fmax.reduce(rms, axis=0)
    with np.errstate(all="ignore"):
        unit = np.where(top > 0, top, 1.0)
        known = np.where(np.isnan(rms), 0.0, counts)
        return unit * np.sqrt(np.nansum(known * (rms / unit) ** 2, axis=0) / known.sum(axis=0))


def _joint_ratio(ratio: Table, weight: Table, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """‖Δw‖/‖w‖ of several parameters together."""
    with np.errstate(all="ignore"):
        squares = np.where(np.isnan(ratio) | ~(weight > 0), 0.0, counts * weight**2)
        return np.sqrt(np.nansum(squares * ratio**2, axis=0) / squares.sum(axis=0))
