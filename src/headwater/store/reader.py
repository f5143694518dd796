"""Read a run: while it is written, after it ended, and when it was killed, copied by halves or damaged."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from headwater.records import Event, InputError, Message, Site
from headwater.records.codec import decode
from headwater.store.columns import COURSE, GROUPS, Group
from headwater.store.layout import FORMAT, LEVELS, RUN_FILE, NewerFormatError, checked, read_small, start_of
from headwater.store.logfile import Damage
from headwater.store.payloads import PayloadError, Table
from headwater.store.segments import Clock
from headwater.store.start import Piece, Start
from headwater.store.starting import boot_id, process_started

Reduce = Literal["min", "max", "mean", "last"]
Axis = Literal["step", "seq", "time"]

STALE_S = 15.0
"""Seconds without a heartbeat, which comes once a second, after which a run on another machine counts as broken."""


@dataclass(frozen=True)
class State:
    """Whether a run goes on.

    Attributes:
        name: ``running``, ``ended``, or ``broken``: no end was written, and nobody writes any more.
        reason: Of the end, as it was written.
        heartbeat: When the writer was last known to live, seconds since 1970, ``None`` if it never said so.
        trouble: Why nothing is being written at the moment, such as ``ENOSPC``.
    """

    name: Literal["running", "ended", "broken"]
    reason: str = ""
    heartbeat: float | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Curve:
    """One number over a run.

    Attributes:
        steps: Optimizer steps taken before.
        times: Seconds since 1970.
        values: NaN and Inf as they were.
    """

    steps: NDArray[np.int64]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    @staticmethod
    def joined(parts: Sequence[Curve]) -> Curve:
        """One after the other."""
        return Curve(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("steps", "times", "values"))
        )


@dataclass(frozen=True)
class Update:
    """What has come since the last time one looked.

    Attributes:
        cursor: For the next call of ``follow``.
        steps: Recorded steps from there on.
        values: Per statistic of sites, sites by steps.
        loss: Of each step, NaN where it was not told.
        events: What happened.
        scalars: By name, pairs of step and value.
        sites_changed: Whether there are sites that were not there before: ``sites`` is to be asked again.
        state: As it is now.
    """

    cursor: str
    steps: NDArray[np.int64]
    values: dict[str, Table]
    loss: NDArray[np.float64]
    events: tuple[Event, ...]
    scalars: dict[str, list[tuple[int, float]]]
    sites_changed: bool
    state: State


class Recording:
    """A run's folder, read.

    Args:
        path: Of the folder.
        rank: Whose numbers, where several trained together.

    Raises:
        InputError: If it is no run, or a newer version's; the message says so in one line.
    """

    def __init__(self, path: str | Path, rank: int = 0) -> None:
        self.path = Path(path)
        self.rank = rank
        self.damage_of_run: list[Damage] = []
        self.info = self._read_info()
        self._starts: dict[str, Start] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look for what has come since."""
        try:
            names = sorted(os.listdir(self.path))
            for name in names:
                found = start_of(name)
                if found is None or name in self._starts or (self.path / name).is_symlink():
                    continue
                self._starts[name] = Start(self.path / name, *found)
            for name in set(self._starts) - set(names):
                del self._starts[name]
            for start in self.starts:
                start.refresh()
        except NewerFormatError as error:
            raise InputError(_newer(self.path, str(error))) from error

    @property
    def starts(self) -> list[Start]:
        """Process starts of the rank, in order."""
        mine = [start for start in self._starts.values() if start.rank == self.rank]
        return sorted(mine, key=lambda start: start.number)

    @property
    def ranks(self) -> list[int]:
        """Of which there is something."""
        return sorted({start.rank for start in self._starts.values()})

    @property
    def damage(self) -> list[Damage]:
        """What could not be read: file, range and why."""
        torn = []
        for start in self.starts:
            tail = start.tail()
            if tail is not None and not _alive(start):
                torn.append(Damage(f"{start.folder.name}/{tail.file}", tail.start, tail.stop, tail.why))
        return [*self.damage_of_run, *(d for start in self.starts for d in start.damage()), *torn]

    @property
    def state(self) -> State:
        """Whether the run goes on, by its last start."""
        if not self.starts:
            return State("broken")
        start = self.starts[-1]
        beat = start.heartbeat
        last = beat.get("time")
        heartbeat = float(last) if isinstance(last, (int, float)) else None
        end = start.end
        if end is not None:
            return State("ended", str(end["values"].get("reason", "")), heartbeat)
        name: Literal["running", "broken"] = "running" if _alive(start) else "broken"
        return State(name, "", heartbeat, str(beat.get("trouble", "")) if name == "running" else "")

    @property
    def sites(self) -> list[Site]:
        """Sites in execution order."""
        return [_site(row, order) for order, row in enumerate(self._rows("sites"))]

    @property
    def site_names(self) -> list[str]:
        """Names of the sites, in execution order: the rows of what :meth:`read` gives."""
        return [row["name"] for row in self._rows("sites")]

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters, in the model's order."""
        return [row["name"] for row in self._rows("parameters")]

    @property
    def statistics(self) -> tuple[str, ...]:
        """What :meth:`read` can be asked for."""
        return GROUPS["sites"]

    @property
    def parameter_statistics(self) -> tuple[str, ...]:
        """What :meth:`read_parameters` can be asked for."""
        return GROUPS["parameters"]

    def __len__(self) -> int:
        """Recorded steps."""
        return sum(start.recorded(piece) for start in self.starts for piece in start.pieces)

    def read(
        self,
        statistic: str,
        sites: Sequence[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        max_points: int | None = None,
        *,
        reduce: Reduce = "max",
        axis: Axis = "step",
    ) -> tuple[NDArray[Any], Table]:
        """One statistic of the sites over the recorded steps.

        Args:
            statistic: One of :attr:`statistics`.
            sites: Which, in this order; all in execution order by default.
            start: The first step of interest.
            stop: The step behind the last one.
            max_points: How many points are enough; from so many on, each stands for several steps.
            reduce: What a point says of its steps: the largest value, so that no spike is lost, the smallest, the
                mean, or the last.
            axis: What the first result counts: optimizer steps, recorded steps, or seconds since 1970.

        Returns:
            The points, in the order they were recorded, and the values, sites by points, NaN where not measured.

        Raises:
            InputError: If there is no such statistic or site.
        """
        return self._read("sites", statistic, sites, start, stop, max_points, reduce, axis)

    def read_parameters(
        self,
        statistic: str,
        parameters: Sequence[str] | None = None,
        start: int | None = None,
        stop: int | None = None,
        max_points: int | None = None,
        *,
        reduce: Reduce = "max",
        axis: Axis = "step",
    ) -> tuple[NDArray[Any], Table]:
        """As :meth:`read`, of the parameters; one of :attr:`parameter_statistics`."""
        return self._read("parameters", statistic, parameters, start, stop, max_points, reduce, axis)

    def scalars(self) -> dict[str, Curve]:
        """Losses and whatever else was logged, by name; ``loss`` is that of the recorded steps."""
        found: dict[str, list[Curve]] = {}
        for start in self.starts:
            for piece in start.pieces:
                clock, (losses, told) = start.clock(piece), start.losses(piece)
                if len(told) == len(clock) and told.any():
                    found.setdefault("loss", []).append(Curve(clock.step[told], clock.time[told], losses[told]))
                logged = start.scalars(piece)
                for code, name in enumerate(logged.names):
                    own = logged.codes == code
                    curve = Curve(logged.steps[own], logged.times[own], logged.values[own])
                    found.setdefault(name, []).append(curve)
        return {name: Curve.joined(parts) for name, parts in found.items()}

    def sequence(self) -> NDArray[np.int64]:
        """The number of each recorded step, counted through all starts; what is damaged leaves a hole."""
        return _sequence(Clock.joined([start.clock(piece) for start in self.starts for piece in start.pieces]))

    def loss_of_steps(self) -> list[float | None]:
        """The loss of each recorded step, ``None`` where it was not told."""
        found: list[float | None] = []
        for start in self.starts:
            for piece in start.pieces:
                count = len(start.clock(piece))
                losses, told = start.losses(piece)
                rows = zip(losses.tolist(), told.tolist(), strict=True)
                found += [v if known else None for v, known in rows] if len(told) == count else [None] * count
        return found

    def course(self) -> dict[str, Curve]:
        """Of all parameters together: ``log10_gradient``, ``gradient_cosine``, ``update_ratio``, ``cost_s``."""
        clocks: list[Clock] = []
        parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in COURSE}
        for start in self.starts:
            for piece in start.pieces:
                clock = start.clock(piece)
                clocks.append(clock)
                known = start.course(piece)
                for name, values in parts.items():
                    found = known.get(name, np.empty(0))
                    values.append(found if len(found) == len(clock) else np.full(len(clock), np.nan))
        clock = Clock.joined(clocks)
        return {
            name: Curve(clock.step, clock.time, np.concatenate(p) if p else np.empty(0)) for name, p in parts.items()
        }

    def events(self) -> tuple[Event, ...]:
        """What happened, oldest first, gaps among it."""
        return tuple(_event(entry) for start in self.starts for entry in start.events())

    def alarms(self) -> tuple[Event, ...]:
        """Of the events those that were alarms."""
        return tuple(_event(entry) for start in self.starts for entry in start.events() if entry["alarm"])

    def flow_data(self, name: str) -> dict[str, Any] | None:
        """What a kept step showed (``first``, ``last`` or ``broke``) of the last start that kept one, as JSON."""
        for start in reversed(self.starts):
            found = start.flow(name)
            if found is not None:
                return found
        return None

    def follow(self, since: str | None = None, statistics: Sequence[str] = ("activation_grad_rms",)) -> Update:
        """What has come since a call before, for a page that is open while the training runs.

        Args:
            since: The ``cursor`` of that call; ``None`` for everything.
            statistics: Of the sites, which are of interest.
        """
        self.refresh()
        number, done, seen_events, seen_scalars, seen_sites = _cursor(since)
        names = self.site_names
        clocks: list[Clock] = []
        values: dict[str, list[Table]] = {statistic: [] for statistic in statistics}
        losses: list[NDArray[np.float64]] = []
        events: list[Event] = []
        scalars: dict[str, list[tuple[int, float]]] = {}
        for start in self.starts:
            if start.number < number:
                continue
            if start.number > number:
                number, done, seen_events, seen_scalars = start.number, 0, 0, 0
            done = self._new_steps(start, done, names, clocks, values, losses)
            happened = start.events()
            events += [_event(entry) for entry in happened[seen_events:]]
            seen_events = len(happened)
            seen_scalars = _new_scalars(start, seen_scalars, scalars)
        clock = Clock.joined(clocks)
        return Update(
            cursor=f"{number}.{done}.{seen_events}.{seen_scalars}.{len(names)}",
            steps=clock.step,
            values={name: _side_by_side(parts, len(names)) for name, parts in values.items()},
            loss=np.concatenate(losses) if losses else np.empty(0),
            events=tuple(events),
            scalars=scalars,
            sites_changed=len(names) != seen_sites,
            state=self.state,
        )

    def _new_steps(
        self,
        start: Start,
        done: int,
        names: list[str],
        clocks: list[Clock],
        values: dict[str, list[Table]],
        losses: list[NDArray[np.float64]],
    ) -> int:
        """Add a start's steps from the ordinal ``done`` on; gives the ordinal behind the last one."""
        places = self._places(start, "sites", names)
        for piece in start.pieces:
            clock = start.clock(piece)
            new = clock.ordinal >= done
            if not new.any():
                continue
            level = start.level_there(piece, "sites", 1)
            clocks.append(clock.taken(new))
            told = start.losses(piece)[0]
            losses.append(told[new] if len(told) == len(new) else np.full(int(new.sum()), np.nan))
            for statistic, parts in values.items():
                if level != 1:
                    parts.append(np.full((len(names), int(new.sum())), np.nan))
                    continue
                column = start.column(piece, "sites", 1, statistic, "last")
                parts.append(_placed(column[:, new], places, len(names)))
            done = int(clock.ordinal[-1]) + 1
        return done

    def _read(
        self,
        group: Group,
        statistic: str,
        rows: Sequence[str] | None,
        start: int | None,
        stop: int | None,
        max_points: int | None,
        reduce: Reduce,
        axis: Axis,
    ) -> tuple[NDArray[Any], Table]:
        if statistic not in GROUPS[group]:
            raise InputError(f"no statistic {statistic!r} of {group}; there are {', '.join(GROUPS[group])}.")
        if reduce not in ("min", "max", "mean", "last"):
            raise InputError(f"reduce={reduce!r} is none of min, max, mean and last.")
        names = self._chosen(group, rows)
        level = self._level(start, stop, max_points)
        clocks: list[Clock] = []
        parts: list[Table] = []
        for begun in self.starts:
            places = self._places(begun, group, names)
            for piece in begun.pieces:
                there = begun.level_there(piece, group, level)
                if there is None:
                    continue
                clock = begun.clock(piece, there, group)
                wanted = _between(clock, start, stop, there)
                if not wanted.any():
                    continue
                column = begun.column(piece, group, there, statistic, reduce)
                if there > level:
                    clock, column = _with_pinned(clock, column, there, begun.pinned(piece, group, statistic))
                    wanted = _between(clock, start, stop, there)
                clocks.append(clock.taken(wanted))
                parts.append(_placed(column[:, wanted], places, len(names)))
        clock = Clock.joined(clocks)
        values = _side_by_side(parts, len(names))
        points = {"step": clock.step, "seq": _sequence(clock), "time": clock.time}[axis]
        return _thinned(points, values, max_points, reduce)

    def _level(self, start: int | None, stop: int | None, max_points: int | None) -> int:
        """The finest level that has not many more points than wanted, which are then joined further."""
        if max_points is None:
            return 1
        if max_points < 1:
            raise InputError(f"max_points counts points from 1, got {max_points}.")
        count = len(self)
        if start is not None or stop is not None:
            count = 0
            for begun in self.starts:
                for piece in begun.pieces:
                    count += int(_between(begun.clock(piece), start, stop, 1).sum())
        for level in (1, *LEVELS):
            if count / level <= 4 * max_points:
                return level
        return LEVELS[-1]

    def _rows(self, group: Group) -> list[dict[str, Any]]:
        """Rows of all starts, each name once, in the order of execution."""
        found: dict[str, dict[str, Any]] = {}
        for start in self.starts:
            for row in start.rows(group):
                found[row["name"]] = row
        if group == "parameters":
            return list(found.values())
        return sorted(found.values(), key=_order)

    def _chosen(self, group: Group, rows: Sequence[str] | None) -> list[str]:
        names = [row["name"] for row in self._rows(group)]
        if rows is None:
            return names
        chosen = [rows] if isinstance(rows, str) else list(rows)
        known = set(names)
        for name in chosen:
            if name not in known:
                raise InputError(f"no {group[:-1]} {name!r} in {self.path.name}; there are {', '.join(names[:8])}.")
        return chosen

    def _places(self, start: Start, group: Group, names: list[str]) -> NDArray[np.int64]:
        """For each name its row in a start's tables, -1 if it has none."""
        rows = {row["name"]: place for place, row in enumerate(start.rows(group))}
        return np.array([rows.get(name, -1) for name in names], np.int64)

    def _read_info(self) -> dict[str, Any]:
        if not self.path.is_dir():
            raise InputError(
                _no_run(self.path, "there is no such folder" if not self.path.exists() else "it is a file")
            )
        try:
            info = checked(read_small(self.path / RUN_FILE))
        except FileNotFoundError:
            if not any(start_of(name) for name in os.listdir(self.path)):
                raise InputError(_no_run(self.path, f"it has no {RUN_FILE}")) from None
            return {"name": self.path.name}
        except (OSError, PayloadError) as error:
            self.damage_of_run.append(Damage(RUN_FILE, 0, (self.path / RUN_FILE).stat().st_size, str(error)))
            return {"name": self.path.name}
        version = info.get("format")
        if not isinstance(version, int) or version > FORMAT:
            raise InputError(_newer(self.path, f"format {version}"))
        return info


def _no_run(path: Path, why: str) -> str:
    return f"{path} is no run: {why}. A run is a folder that hw.watch(model, optimizer, run=...) has written."


def _newer(path: Path, what: str) -> str:
    return f"{path} was written by a newer headwater ({what}, this one reads {FORMAT}): pip install -U headwater."


def _alive(start: Start) -> bool:
    """Whether the process still writes: on this machine the process itself says so, elsewhere its heartbeat."""
    who, beat = start.who, start.heartbeat
    if who.get("host") == socket.gethostname() and who.get("boot") == boot_id() and who.get("pid_started"):
        return process_started(int(who.get("pid", 0))) == who["pid_started"]
    last = beat.get("time")
    return isinstance(last, (int, float)) and time.time() - last < STALE_S


def _site(row: dict[str, Any], order: int) -> Site:
    try:
        return decode(Site, {"op": "", "kind": "other", "module": "", **row, "order": order})
    except ValueError:
        return Site(row["name"], "", "other", order, "")


def _order(row: dict[str, Any]) -> float:
    order = row.get("order")
    return order if isinstance(order, (int, float)) else 0


def _event(entry: dict[str, Any]) -> Event:
    return Event(entry["step"], Message(entry["id"], entry["values"]))


def _between(clock: Clock, start: int | None, stop: int | None, level: int) -> NDArray[np.bool_]:
    """Which points lie in the range; at a coarser level those that may reach into it."""
    wanted = np.ones(len(clock), bool)
    if stop is not None:
        wanted &= clock.step < stop
    if start is not None:
        last = clock.step if level == 1 else np.append(clock.step[1:] - 1, np.iinfo(np.int64).max)
        wanted &= last >= start
    return wanted


def _with_pinned(clock: Clock, column: Table, level: int, pinned: tuple[Clock, Table] | None) -> tuple[Clock, Table]:
    """Single steps in place of the runs that they make up, where they were kept."""
    if pinned is None or len(pinned[1]) != len(column):
        return clock, column
    single, values = pinned
    runs, counts = np.unique(single.ordinal // level, return_counts=True)
    whole = runs[counts == level]
    rest = ~np.isin(clock.ordinal // level, whole)
    both = Clock.joined([clock.taken(rest), single])
    order = np.argsort(both.ordinal, kind="stable")
    return both.taken(order), np.concatenate([column[:, rest], values], axis=1)[:, order]


def _sequence(clock: Clock) -> NDArray[np.int64]:
    """Recorded steps counted through all starts."""
    restarts = np.flatnonzero(np.diff(clock.ordinal, prepend=0) < 0)
    out = clock.ordinal.copy()
    for place in restarts:
        out[place:] += out[place - 1] + 1 - out[place]
    return out


def _placed(column: Table, places: NDArray[np.int64], count: int) -> Table:
    """A start's rows in the order asked for."""
    out = np.full((count, column.shape[1]), np.nan)
    there = (places >= 0) & (places < len(column))
    out[there] = column[places[there]]
    return out


def _side_by_side(parts: list[Table], rows: int) -> Table:
    return np.concatenate(parts, axis=1) if parts else np.empty((rows, 0))


def _thinned(points: NDArray[Any], values: Table, max_points: int | None, reduce: Reduce) -> tuple[NDArray[Any], Table]:
    """Join neighbours until there are few enough."""
    from headwater.store.rollup import rolled_up

    if max_points is None or len(points) <= max_points:
        return points, values
    starts = np.arange(0, len(points), -(-len(points) // max_points))
    return points[starts], rolled_up(values.T, starts)[reduce].T


def _new_scalars(start: Start, seen: int, into: dict[str, list[tuple[int, float]]]) -> int:
    """Add what a start has logged from the row ``seen`` on; gives how many rows there are."""
    behind = 0
    for piece in start.pieces:
        logged = start.scalars(piece)
        first = max(0, seen - behind)
        rows = logged.codes[first:].tolist(), logged.steps[first:].tolist(), logged.values[first:].tolist()
        for code, step, value in zip(*rows, strict=True):
            into.setdefault(logged.names[code], []).append((step, value))
        behind += len(logged)
    return behind


def _cursor(since: str | None) -> tuple[int, int, int, int, int]:
    if since is None:
        return 0, 0, 0, 0, -1
    try:
        number, done, events, scalars, sites = (int(part) for part in since.split("."))
    except ValueError:
        raise InputError(f"since={since!r} is no cursor that follow() gave.") from None
    return number, done, events, scalars, sites


__all__ = ["Axis", "Curve", "Piece", "Recording", "Reduce", "State", "Update"]
