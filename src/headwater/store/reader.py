"""Read a run: while it is written, after it ended, and when it was killed, copied by halves or damaged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headwater.records import Event, InputError, Site
from headwater.records.codec import decode
from headwater.store.columns import COURSE, GROUPS, Group
from headwater.store.events import event_of
from headwater.store.following import Update, update_since
from headwater.store.layout import FORMAT, RUN_FILE, NewerFormatError, checked, read_small, start_of
from headwater.store.logfile import Damage
from headwater.store.payloads import PayloadError, Table
from headwater.store.reading import Axis, Reduce, Wanted, read_points, steps_before, thinned
from headwater.store.segments import Clock
from headwater.store.start import Piece, Start
from headwater.store.state import State, is_alive, state_of

_TRIES = 3


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

    def by_step(self) -> Curve:
        """In the order of steps."""
        order = np.argsort(self.steps, kind="stable")
        return Curve(self.steps[order], self.times[order], self.values[order])

    @staticmethod
    def joined(parts: Sequence[Curve]) -> Curve:
        """One after the other."""
        return Curve(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("steps", "times", "values"))
        )


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

    @property
    def is_merged(self) -> bool:
        """Whether several ranks' numbers are read as one."""
        return False

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
        """What could not be read: file, range and why. Every file is looked through."""
        return self._damage(met=False)

    @property
    def damage_met(self) -> list[Damage]:
        """The same, among what was read so far: of a long run that is far less than all."""
        return self._damage(met=True)

    def _damage(self, met: bool) -> list[Damage]:
        torn = []
        for start in self.starts:
            tail = start.tail()
            if tail is not None and not is_alive(start):
                torn.append(Damage(f"{start.folder.name}/{tail.file}", tail.start, tail.stop, tail.why))
        return [*self.damage_of_run, *(d for start in self.starts for d in start.damage(met)), *torn]

    @property
    def state(self) -> State:
        """Whether the run goes on, by its last start."""
        return state_of(self.starts[-1] if self.starts else None)

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
        return self._read(
            Wanted("sites", statistic, self._chosen("sites", sites), start, stop, max_points, reduce), axis
        )

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
        rows = self._chosen("parameters", parameters)
        return self._read(Wanted("parameters", statistic, rows, start, stop, max_points, reduce), axis)

    def read_single(self, group: Group, statistic: str, start: int, stop: int) -> tuple[NDArray[np.int64], Table]:
        """One statistic of all sites or parameters, of those steps alone that are there one by one.

        Args:
            group: Of sites or of parameters.
            statistic: Which.
            start: The first step of interest.
            stop: The step behind the last one.

        Returns:
            The numbers of the recorded steps, as in :meth:`sequence`, and the values, rows by steps. A step is not
            among them if its file is damaged, or has gone to make room.
        """
        clock, values = read_points(
            self.starts, Wanted(group, statistic, self._chosen(group, None), start, stop, single=True)
        )
        return clock.ordinal, values

    def lost_steps(self) -> int:
        """Recorded steps of which something cannot be read in any form, because a file is damaged or gone."""
        return sum(start.recorded(piece) for start in self.starts for piece in start.pieces if start.has_lost(piece))

    def scalars(self) -> dict[str, Curve]:
        """Losses and whatever else was logged, by name; ``loss`` is that of the recorded steps and of some between."""
        found: dict[str, list[Curve]] = {}
        for start in self.starts:
            for piece in start.pieces:
                here: dict[str, list[Curve]] = {}
                clock, (losses, told) = start.clock(piece), start.losses(piece)
                if len(told) == len(clock) and told.any():
                    here["loss"] = [Curve(clock.step[told], clock.time[told], losses[told])]
                logged = start.scalars(piece)
                for code, name in enumerate(logged.names):
                    own = logged.codes == code
                    here.setdefault(name, []).append(Curve(logged.steps[own], logged.times[own], logged.values[own]))
                for name, parts in here.items():
                    found.setdefault(name, []).append(parts[0] if len(parts) == 1 else Curve.joined(parts).by_step())
        return {name: Curve.joined(parts) for name, parts in found.items()}

    def sequence(self) -> NDArray[np.int64]:
        """The number of each recorded step, counted through all starts; what is damaged leaves a hole."""
        offsets = steps_before(self.starts)
        clocks = [start.clock(piece).ordinal + offsets[start.number] for start in self.starts for piece in start.pieces]
        return np.concatenate(clocks) if clocks else np.empty(0, np.int64)

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
        return tuple(event_of(entry) for start in self.starts for entry in start.events())

    def alarms(self) -> tuple[Event, ...]:
        """Of the events those that were alarms."""
        return tuple(event_of(entry) for start in self.starts for entry in start.events() if entry["alarm"])

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
        return update_since(self.starts, self.site_names, self.state, since, statistics)

    def _read(self, wanted: Wanted, axis: Axis) -> tuple[NDArray[Any], Table]:
        for _ in range(_TRIES):
            clock, values = read_points(self.starts, wanted)
            if not any(start.is_outdated for start in self.starts):
                break
            self.refresh()  # while it was read, files were gathered in larger ones
        points = {"step": clock.step, "seq": clock.ordinal, "time": clock.time}[axis]
        return thinned(points, values, wanted)

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


def _site(row: dict[str, Any], order: int) -> Site:
    try:
        return decode(Site, {"op": "", "kind": "other", "module": "", **row, "order": order})
    except ValueError:
        return Site(row["name"], "", "other", order, "")


def _order(row: dict[str, Any]) -> float:
    order = row.get("order")
    return order if isinstance(order, (int, float)) else 0


__all__ = ["Axis", "Curve", "Piece", "Recording", "Reduce", "State", "Update"]
