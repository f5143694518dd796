"""What a sweep is: read from a TOML file, each mistake named with its line."""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any

from headwater.records import InputError
from headwater.records.sweep import Setting

PLAIN_NETWORK = "headwater.sweeps.network:plain_network"
MOST_TRIALS = 100_000
_TOP = ("name", "experiment", "steps", "seeds", "first_seed", "axes", "fixed")
_RANGE = ("from", "to", "count", "spaced")
_SPACED = ("linear", "log")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class SweepSpec:
    """A grid of trainings.

    Attributes:
        name: Of the folder that results go to, below ``runs``.
        axes: The grid: each setting with its values, in the order that maps are drawn by.
        experiment: ``FILE.py:NAME`` or ``MODULE:NAME`` of a function that takes the settings and returns an Experiment.
        fixed: Settings that are the same everywhere.
        steps: Of each training.
        seeds: Trainings per point.
        first_seed: Seeds count up from here.
        folder: That ``experiment`` is looked for in.
    """

    name: str
    axes: Mapping[str, tuple[Setting, ...]]
    experiment: str = PLAIN_NETWORK
    fixed: Mapping[str, Setting] | None = None
    steps: int = 200
    seeds: int = 1
    first_seed: int = 0
    folder: str = "."

    def jobs(self) -> list[Job]:
        """A training for each point and seed, the first axis slowest; every point has one before any has two."""
        points = [dict(zip(self.axes, values, strict=True)) for values in product(*self.axes.values())]
        seeds = range(self.first_seed, self.first_seed + self.seeds)
        return [Job(tuple(point.items()), seed) for seed in seeds for point in points]

    @property
    def settings(self) -> list[str]:
        """What the experiment is called with."""
        return [*self.axes, *(self.fixed or {})]

    @property
    def digest(self) -> str:
        """What makes results those of this sweep: all they depend on but how many seeds and values there are."""
        about = [self.experiment, sorted(self.axes), sorted((self.fixed or {}).items()), self.steps]
        return hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Job:
    """One training to be made.

    Attributes:
        settings: Of its point, by name.
        seed: Of weights, data and draws.
    """

    settings: tuple[tuple[str, Setting], ...]
    seed: int

    @property
    def point(self) -> dict[str, Setting]:
        """Its settings."""
        return dict(self.settings)

    @property
    def key(self) -> str:
        """By which it is known again."""
        return json.dumps([sorted(self.settings), self.seed])


def read_spec(path: str | Path) -> SweepSpec:
    """The sweep that a TOML file describes.

    Args:
        path: Of the file; ``experiment`` in it is looked for from its folder.

    Raises:
        InputError: If there is no such file, or something in it is not as it should be: the message has its line.
    """
    file = Path(path)
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}.") from error
    try:
        data = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file} is no TOML: {error}.") from error
    return spec_of(data, Source(str(file), source), file.stem, str(file.resolve().parent))


@dataclass(frozen=True)
class Source:
    """Where a spec came from, to say in which line something is wrong.

    Attributes:
        name: Of the file; empty for a mapping.
        text: Its text.
    """

    name: str = ""
    text: str = ""

    def at(self, key: str, table: str = "") -> str:
        """``FILE, line 7: ``, the first line of ``key`` in a table; nothing where there is no file."""
        inside = ""
        for number, line in enumerate(self.text.splitlines(), 1):
            head = re.match(r"\s*\[\s*([^\]]+?)\s*\]", line)
            inside = head[1].strip("\"' ") if head else inside
            here = re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*(=|\.)", line)
            if (here and inside == table) or (head and inside in (key, f"{table}.{key}")):
                return f"{self.name}, line {number}: "
            if not inside and table and re.match(rf"\s*{re.escape(table)}\s*\.\s*[\"']?{re.escape(key)}\b", line):
                return f"{self.name}, line {number}: "
        return f"{self.name}: " if self.name else ""


def spec_of(data: Mapping[str, Any], source: Source | None = None, name: str = "sweep", folder: str = ".") -> SweepSpec:
    """The sweep that a mapping describes, with the keys of a file.

    Raises:
        InputError: If something in it is not as it should be.
    """
    source = source or Source()
    _known(data, _TOP, source)
    axes = data.get("axes")
    if not isinstance(axes, Mapping) or not axes:
        raise InputError(f"{source.at('axes')}a sweep needs axes: [axes] with a list each, as in depth = [10, 20, 40].")
    fixed = data.get("fixed", {})
    if not isinstance(fixed, Mapping):
        raise InputError(f"{source.at('fixed')}fixed is a table of settings, as in [fixed] width = 64.")
    for key, value in fixed.items():
        if not _is_setting(value):
            raise InputError(f"{source.at(key, 'fixed')}{key} must be a number, a word, true or false, got {value!r}.")
        if key in axes:
            raise InputError(f"{source.at(key, 'fixed')}{key} is an axis already: name it once.")
    named = data.get("name", name)
    if not isinstance(named, str) or not _NAME.fullmatch(named):
        raise InputError(f"{source.at('name')}name becomes a folder: letters, digits, . _ and - only, got {named!r}.")
    experiment = data.get("experiment", PLAIN_NETWORK)
    if not isinstance(experiment, str) or not experiment:
        raise InputError(f'{source.at("experiment")}experiment is "FILE.py:NAME" or "MODULE:NAME", got {experiment!r}.')
    spec = SweepSpec(
        name=named,
        axes={key: _values(key, values, source) for key, values in axes.items()},
        experiment=experiment,
        fixed=dict(fixed),
        steps=_count(data, "steps", 200, source),
        seeds=_count(data, "seeds", 1, source),
        first_seed=_count(data, "first_seed", 0, source, least=0),
        folder=folder,
    )
    trials = spec.seeds * math.prod(len(values) for values in spec.axes.values())
    if trials > MOST_TRIALS:
        raise InputError(f"{source.at('axes')}the grid has {trials:,} trainings, and {MOST_TRIALS:,} are the most.")
    return spec


def _values(key: str, given: Any, source: Source) -> tuple[Setting, ...]:
    """The values of an axis: a list, or a range of numbers."""
    here = source.at(key, "axes")
    if isinstance(given, Mapping):
        return _range(key, given, source)
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise InputError(
            f"{here}{key} takes a list of values, as in {key} = [1, 2], or {{ from = 1, to = 4, count = 7 }}."
        )
    wrong = next((value for value in given if not _is_setting(value)), None)
    if wrong is not None:
        raise InputError(f"{here}a value of {key} must be a number, a word or true or false, got {wrong!r}.")
    if len({type(value) is str for value in given}) > 1:
        raise InputError(f"{here}the values of {key} are all numbers or all words.")
    if len(set(given)) < len(given):
        raise InputError(f"{here}{key} names a value twice.")
    return tuple(given)


def _range(key: str, given: Mapping[str, Any], source: Source) -> tuple[Setting, ...]:
    here = source.at(key, "axes")
    _known(given, _RANGE, source, key, here)
    first, last, count, spaced = given.get("from"), given.get("to"), given.get("count"), given.get("spaced", "linear")
    numbers = all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (first, last))
    if not numbers or not isinstance(count, int) or isinstance(count, bool) or count < 2 or spaced not in _SPACED:
        raise InputError(
            f'{here}a range is {key} = {{ from = 1, to = 4, count = 7 }}, with spaced = "log" where values multiply; '
            f"got {dict(given)!r}."
        )
    if count > MOST_TRIALS:
        raise InputError(f"{here}{key} has {count:,} values, and {MOST_TRIALS:,} are the most.")
    low, high = float(str(first)), float(str(last))
    if not low < high or not math.isfinite(high - low) or (spaced == "log" and low <= 0):
        raise InputError(
            f"{here}the range of {key} must rise{' from above 0' if spaced == 'log' else ''}, got {dict(given)!r}."
        )
    shares = [i / (count - 1) for i in range(count)]
    raw = [low * (high / low) ** share if spaced == "log" else low + share * (high - low) for share in shares]
    whole = isinstance(first, int) and isinstance(last, int) and (spaced == "log" or (last - first) % (count - 1) == 0)
    values: list[Setting] = [round(value) for value in raw] if whole else [float(f"{value:.12g}") for value in raw]
    return tuple(dict.fromkeys(values))  # whole numbers of a narrow range may meet


def _count(data: Mapping[str, Any], key: str, default: int, source: Source, least: int = 1) -> int:
    value = data.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{source.at(key)}{key} must be a whole number from {least}, got {value!r}.")
    return value


def _known(
    data: Mapping[str, Any], known: Iterable[str], source: Source, table: str = "", here: str | None = None
) -> None:
    for key in data:
        if key not in known:
            raise InputError(f"{source.at(key, table) if here is None else here}{unknown('key', key, known)}")


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """That there is no such thing, and what is nearest to it."""
    names = list(known)
    near = get_close_matches(str(given), names, n=1, cutoff=0.5)
    meant = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(names)}."
    return f"there is no {what} {given!r}. {meant}"


def _is_setting(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))
