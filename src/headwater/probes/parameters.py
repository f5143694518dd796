"""What one step shows of the parameters: their gradients, and how the optimizer really moved them."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from headwater.kernels import generic, jobs
from headwater.kernels.ledger import NARROW, Ledger
from headwater.probes.effective_step import (
    below_epsilon_fraction,
    epsilon_of,
    intended_update,
    lost_to_rounding_fraction,
)
from headwater.probes.names import clean
from headwater.records import InputError, Moments, ParameterFlow

SAMPLE = 1 << 14
"""Weights of a larger parameter that stand for it where a copy has to be kept; a mean over them is good to 1 %."""

_RUN = 64  # neighbouring elements taken together: a cache line or more, and several columns of any matrix
_CHUNK = 1 << 18  # elements of one job, so that a large parameter is shared among threads


@dataclass(eq=False)
class _Subject:
    """One parameter, and what is kept of it from one measured step to the next."""

    parameter: nn.Parameter
    names: list[str]
    offsets: NDArray[np.int64]  # of the runs that are kept
    length: int  # of a run
    before: NDArray[np.float64] | Tensor | None = None
    gradient_before: NDArray[np.float64] | None = None
    replaced: bool = False

    @property
    def kept(self) -> int:
        return len(self.offsets) * self.length


@dataclass(eq=False)
class _Reading:
    """What one step showed of one parameter."""

    subject: _Subject
    signs: NDArray[np.float64]  # one number: their coherence
    products: NDArray[np.float64]  # three: of a gradient and the one before
    change: NDArray[np.float64]  # four: of the weights in a step
    value_rows: list[int] = field(default_factory=list)
    gradient_rows: list[int] = field(default_factory=list)
    has_gradient: bool = False
    was_read: bool = False
    was_stepped: bool = False
    gradient_was_known: bool = False
    sign_coherence: float | None = None
    other_change: tuple[float | None, float | None, int] | None = None
    below_epsilon: float | None = None
    lost_to_rounding: float | None = None


@dataclass(eq=False)
class Readings:
    """What one step showed of all parameters; :meth:`flows` puts it into words when somebody asks.

    Attributes:
        by_parameter: By ``id``.
        grad_scale: What the gradients were multiplied by when they were read.
        held: Of the parameters that optimizers hold which stepped, ``id``; ``None`` if none did.
    """

    by_parameter: dict[int, _Reading]
    grad_scale: float = 1.0
    held: set[int] | None = None

    def flows(self, ledger: Ledger) -> tuple[ParameterFlow, ...]:
        """What the step showed, parameter by parameter.

        Args:
            ledger: That the statistics were written to.
        """
        return tuple(self._flow(key, reading, ledger) for key, reading in self.by_parameter.items())

    def gradient_rows(self) -> list[int]:
        """The ledger's rows of all gradients."""
        return [row for reading in self.by_parameter.values() for row in reading.gradient_rows]

    def _flow(self, key: int, reading: _Reading, ledger: Ledger) -> ParameterFlow:
        subject, parameter = reading.subject, reading.subject.parameter
        ratio, unchanged, spoiled = _change_of(reading)
        grad = ledger.merged(reading.gradient_rows) if reading.has_gradient else None
        if grad is not None and self.grad_scale != 1.0:
            grad = grad.scaled(1.0 / self.grad_scale)
        return ParameterFlow(
            name=subject.names[0],
            aliases=tuple(subject.names[1:]),
            shape=tuple(parameter.shape),
            dtype=str(parameter.dtype).removeprefix("torch."),
            trainable=parameter.requires_grad,
            value=ledger.merged(reading.value_rows) or Moments(),
            grad=grad,
            sign_coherence=reading.sign_coherence if math.isnan(reading.signs[0]) else float(reading.signs[0]),
            in_optimizer=None if self.held is None else key in self.held,
            update_ratio=ratio,
            unchanged_fraction=unchanged,
            spoiled=spoiled,
            sampled=subject.kept if subject.kept < parameter.numel() else None,
            gradient_cosine=_cosine(reading) if reading.gradient_was_known else None,
            below_epsilon_fraction=reading.below_epsilon,
            lost_to_rounding_fraction=reading.lost_to_rounding,
            replaced=subject.replaced,
        )


class ParameterProbe:
    """Reads a model's parameters around optimizer steps; one probe serves many steps.

    Args:
        model: Whose parameters.
        limit: Elements of a parameter of which a copy is kept over the step; of larger ones runs of neighbours are.
    """

    def __init__(self, model: nn.Module, limit: float = math.inf) -> None:
        self._limit = limit
        self._subjects = {id(p): _subject(p, names, limit) for p, names in _names_by_parameter(model).items()}
        self.readings = Readings({})

    def begin(self, model: nn.Module) -> Readings:
        """Start a step; parameters that were replaced, added or taken away since the last one are noticed."""
        names = _names_by_parameter(model)
        if [id(p) for p in names] != list(self._subjects):
            known, before = self._subjects, {subject.names[0] for subject in self._subjects.values()}
            self._subjects = {id(p): known.get(id(p)) or _subject(p, own, self._limit) for p, own in names.items()}
            for key, subject in self._subjects.items():
                subject.replaced = key not in known and subject.names[0] in before
        else:
            for subject in self._subjects.values():
                subject.replaced = False
        numbers = np.full((len(self._subjects), 8), math.nan)
        self.readings = Readings(
            {
                key: _Reading(subject, row[:1], row[1:4], row[4:])
                for (key, subject), row in zip(self._subjects.items(), numbers, strict=True)
            }
        )
        return self.readings

    @property
    def replaced(self) -> list[str]:
        """Names of the parameters that are other objects than at the step before."""
        return [subject.names[0] for subject in self._subjects.values() if subject.replaced]

    def read(self, ledger: Ledger, parameters: Iterable[Tensor] | None = None, cosine: bool = False) -> None:
        """Measure weights and gradients.

        Args:
            ledger: Takes the statistics.
            parameters: Those to read now, all by default; each is read once in a step.
            cosine: Whether to compare gradients with those of the step before, and to keep them for the next.
        """
        work = _Work(ledger)
        for reading in self._chosen(parameters):
            if reading.was_read:
                continue
            reading.was_read = True
            gradient = reading.subject.parameter.grad
            work.summarise(reading.subject.parameter, reading.value_rows)
            if gradient is None:
                reading.subject.gradient_before = None
                continue
            reading.has_gradient = True
            work.summarise(gradient, reading.gradient_rows)
            _read_signs(work, reading, gradient)
            if cosine:
                _turn(work, reading, gradient)
        work.run()

    def keep(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Copy what is needed to see afterwards how a step moved the weights."""
        work = _Work(None)
        for reading in self._chosen(parameters):
            subject = reading.subject
            if not _plain(subject.parameter):
                subject.before = subject.parameter.detach().clone()
                continue
            if not isinstance(subject.before, np.ndarray):
                subject.before = np.empty(subject.kept)
            work.keep(subject.parameter, subject, subject.before)
        work.run()

    def compare(self, optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor] | None = None) -> None:
        """See how the step of an optimizer moved the weights since :meth:`keep`."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.readings.held = held | (self.readings.held or set())
        work = _Work(None)
        for reading in self._chosen(parameters):
            reading.was_stepped = True
            subject = reading.subject
            if isinstance(subject.before, np.ndarray) and _plain(subject.parameter):
                work.compare(subject.parameter, subject, subject.before, reading.change)
            elif isinstance(subject.before, Tensor):
                reading.other_change = _change(subject.before, subject.parameter.detach())
                subject.before = None
        work.run()

    def look_closer(self, optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor] | None = None) -> None:
        """After :meth:`compare`: what became of the gradient in the optimizer, and of its step in the weights' dtype.

        The steps lost to rounding are counted where a copy of all weights was kept.
        """
        for reading in self._chosen(parameters):
            subject = reading.subject
            parameter, gradient = subject.parameter, subject.parameter.grad
            if gradient is None or gradient.is_sparse or not _plain(parameter) or not _plain(gradient):
                continue
            unscaled = gradient.detach() if self.readings.grad_scale == 1.0 else gradient / self.readings.grad_scale
            epsilon = epsilon_of(optimizer, parameter)
            if epsilon is not None:
                reading.below_epsilon = below_epsilon_fraction(unscaled, epsilon)
            if isinstance(subject.before, np.ndarray) and subject.kept == parameter.numel():
                before = torch.from_numpy(subject.before).view(parameter.shape).to(parameter.dtype)
                update = intended_update(optimizer, parameter, before, unscaled)
                if update is not None:
                    reading.lost_to_rounding = lost_to_rounding_fraction(update, before)

    def _chosen(self, parameters: Iterable[Tensor] | None) -> list[_Reading]:
        readings = self.readings.by_parameter
        if parameters is None:
            return list(readings.values())
        return [readings[id(p)] for p in parameters if id(p) in readings]


def _read_signs(work: _Work, reading: _Reading, gradient: Tensor) -> None:
    if gradient.dim() < 2 or not gradient.numel():
        return
    if _plain(gradient):
        work.signs(gradient, reading.signs)
    else:
        dense = generic.plain(gradient)
        reading.sign_coherence = generic.sign_coherence(dense) if dense.dim() > 1 else None


def _turn(work: _Work, reading: _Reading, gradient: Tensor) -> None:
    subject = reading.subject
    if not _plain(gradient) or gradient.numel() != subject.parameter.numel():
        return
    reading.gradient_was_known = subject.gradient_before is not None
    if subject.gradient_before is None:
        subject.gradient_before = np.zeros(subject.kept)
    work.turn(gradient, subject, subject.gradient_before, reading.products)


class _Work:
    """Jobs for the compiled kernel, collected and then done together."""

    def __init__(self, ledger: Ledger | None) -> None:
        from headwater.kernels import cpu

        self._cpu = cpu
        self._ledger = ledger
        self._jobs: list[tuple[int, ...]] = []
        self._summaries: list[tuple[int, int, int, int]] = []
        self._elements = 0

    def summarise(self, tensor: Tensor, rows: list[int]) -> None:
        """Moments of a tensor, in parts of which each gets a row."""
        if self._ledger is None or not _plain(tensor):
            if self._ledger is not None:
                rows.append(self._ledger.measure(tensor.detach()))
            return
        kind, address, count = NARROW[tensor.dtype], tensor.data_ptr(), tensor.numel()
        for start in range(0, max(1, count), _CHUNK):
            size = min(_CHUNK, count - start)
            row = self._ledger.reserve(kind)
            rows.append(row)
            self._summaries.append((kind, address + start * tensor.element_size(), size, row))
        self._elements += count

    def signs(self, gradient: Tensor, into: NDArray[np.float64]) -> None:
        units = gradient.shape[0]
        self._add(self._cpu.SIGN_COHERENCE, gradient, units, gradient.numel() // units, into.ctypes.data)

    def keep(self, tensor: Tensor, subject: _Subject, into: NDArray[np.float64]) -> None:
        self._add(self._cpu.KEEP, tensor, *_runs(subject), into.ctypes.data, elements=subject.kept)

    def compare(
        self, tensor: Tensor, subject: _Subject, before: NDArray[np.float64], into: NDArray[np.float64]
    ) -> None:
        addresses = before.ctypes.data, into.ctypes.data
        self._add(self._cpu.COMPARE, tensor, *_runs(subject), *addresses, elements=subject.kept)

    def turn(self, gradient: Tensor, subject: _Subject, before: NDArray[np.float64], into: NDArray[np.float64]) -> None:
        addresses = before.ctypes.data, into.ctypes.data
        self._add(self._cpu.TURN, gradient, *_runs(subject), *addresses, elements=subject.kept)

    def run(self) -> None:
        """Do everything collected; rows move while they are reserved, so their addresses are found only now."""
        if self._ledger is not None and self._summaries:
            for kind, address, count, row in self._summaries:
                self._jobs.append((self._cpu.SUMMARISE, kind, address, count, self._ledger.address(row)))
        if not self._jobs:
            return
        table = np.zeros((len(self._jobs), self._cpu.JOB), np.int64)
        for number, job in enumerate(self._jobs):
            table[number, : len(job)] = job
        jobs.run(table, self._elements)

    def _add(self, what: int, tensor: Tensor, *words: int, elements: int | None = None) -> None:
        self._jobs.append((what, NARROW[tensor.dtype], tensor.data_ptr(), *words))
        self._elements += tensor.numel() if elements is None else elements


def step(optimizer: torch.optim.Optimizer, closure: Callable[[], Tensor]) -> None:
    """Let an optimizer take its step.

    Args:
        optimizer: Made over a model's parameters.
        closure: Computes the loss and its gradients again, for optimizers that ask for it (LBFGS).

    Raises:
        InputError: If the optimizer raises.
    """
    with naming_errors(optimizer):
        wanted = inspect.signature(type(optimizer).step).parameters.get("closure")
        if wanted is not None and wanted.default is inspect.Parameter.empty:
            optimizer.step(lambda: float(closure().detach()))
        else:
            optimizer.step()


@contextmanager
def naming_errors(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Errors of the user's optimizer as such: sparse gradients it does not take, a learning rate it cannot use.

    Raises:
        InputError: If the block raises.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{type(optimizer).__name__}.step() raised {type(error).__name__}: {error}") from error


def _names_by_parameter(model: nn.Module) -> dict[nn.Parameter, list[str]]:
    names: dict[nn.Parameter, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[parameter].append(clean(name))
    return dict(names)


def _subject(parameter: nn.Parameter, names: list[str], limit: float) -> _Subject:
    count = parameter.numel()
    if count <= limit:
        return _Subject(parameter, names, np.zeros(1, np.int64), count)
    runs = int(limit) // _RUN
    # Even steps could meet one column of a matrix again and again; these are even with a shift of their own each.
    slots = np.linspace(0, count - _RUN, runs + 1).astype(np.int64)
    shifts = np.random.default_rng(count).integers(0, np.maximum(1, np.diff(slots) - _RUN))
    return _Subject(parameter, names, slots[:-1] + shifts, _RUN)


def _runs(subject: _Subject) -> tuple[int, int, int]:
    return subject.offsets.ctypes.data, len(subject.offsets), subject.length


def _plain(tensor: Tensor) -> bool:
    """Whether the compiled kernel can read it where it lies."""
    return (
        tensor.dtype in NARROW
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and type(tensor) in (Tensor, nn.Parameter)
        and tensor.is_contiguous()
    )


def _change(before: Tensor, after: Tensor) -> tuple[float | None, float | None, int]:
    if before.shape != after.shape or before.is_meta:
        return None, None, 0
    spoiled = int((torch.isfinite(before) & ~torch.isfinite(after)).sum())
    return generic.update_ratio(before, after), generic.unchanged_fraction(before, after), spoiled


def _change_of(reading: _Reading) -> tuple[float | None, float | None, int]:
    """Update ratio, unchanged share and spoiled weights."""
    if not reading.was_stepped or not reading.subject.kept:
        return None, None, 0
    if reading.other_change is not None:
        return reading.other_change
    weight, update, unchanged, spoiled = reading.change.tolist()
    if math.isnan(weight):
        return None, None, 0
    return math.sqrt(update / weight) if weight else None, unchanged / reading.subject.kept, int(spoiled)


def _cosine(reading: _Reading) -> float | None:
    product, square, previous = reading.products.tolist()
    norms = math.sqrt(square) * math.sqrt(previous)
    return product / norms if norms and math.isfinite(product / norms) else None
