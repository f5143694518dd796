"""What one step shows of the parameters: their gradients, and how the optimizer really moved them."""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from headwater.kernels import generic, jobs
from headwater.kernels.ledger import NARROW, Ledger
from headwater.probes.effective_step import (
    below_epsilon_fraction,
    epsilon_of,
    intended_update,
    lost_to_rounding_fraction,
)
from headwater.probes.names import clean, unwrapped
from headwater.probes.place import held, is_partial, piece_of
from headwater.records import InputError, Moments, ParameterFlow

SAMPLE = 1 << 12
"""Weights of a larger parameter that stand for it where a copy has to be kept; a norm over them is good to 2 %."""

_RUN = 64  # neighbouring elements taken together: a cache line or more, and several columns of any matrix
_ROW = 64  # bytes: eight numbers
_PIECE = 1 << 18  # elements of one job, about, so that a large parameter is shared among threads


@dataclass(eq=False, slots=True)
class _Subject:
    """One parameter, and what is kept of it from one measured step to the next."""

    parameter: nn.Parameter
    names: list[str]
    count: int  # of its elements here: the memory behind a parameter can be exchanged for a smaller piece
    width: int  # elements that a unit owns; 0 for what has none
    piece: int  # elements of a piece in which it is read, whole units
    pieces: int  # how many of those
    offsets: NDArray[np.int64]  # of the runs that are kept
    length: int  # of a run
    before: NDArray[np.float64] | Tensor | None = None
    gradient_before: NDArray[np.float64] | None = None
    # Where these arrays lie: numpy takes longer to say so than the kernel takes for a small parameter.
    runs: tuple[int, int, int] = (0, 0, 0)
    before_at: int = 0
    gradient_before_at: int = 0

    @property
    def kept(self) -> int:
        return len(self.offsets) * self.length

    @property
    def tensor(self) -> Tensor:
        """What of the parameter lies in this process."""
        return held(self.parameter)

    @property
    def fits(self) -> bool:
        """Whether the parameter still has the elements that the offsets were made for."""
        return self.tensor.numel() == self.count


@dataclass(eq=False, slots=True)
class _Reading:
    """What one step showed of one parameter."""

    subject: _Subject
    replaced: bool
    numbers: NDArray[np.float64]  # of all parameters, a row each
    index: int  # of the row
    address: int  # where the row lies
    coherences: NDArray[np.float64]  # of its pieces: the sum over units, and how many units
    value_rows: list[int] = field(default_factory=list)
    gradient_rows: list[int] = field(default_factory=list)
    local_rows: list[int] = field(default_factory=list)  # of the gradient before others' were added
    has_gradient: bool = False
    was_read: bool = False
    was_kept: bool = False
    was_stepped: bool = False
    gradient_was_known: bool = False
    sign_coherence: float | None = None
    other_change: tuple[float | None, float | None, int] | None = None
    below_epsilon: float | None = None
    lost_to_rounding: float | None = None

    @property
    def signs(self) -> float:
        """The coherence of the gradient's signs, NaN if none of its elements has one."""
        total, units = self.coherences.sum(axis=0).tolist()
        return total / units if units else math.nan

    @property
    def products(self) -> list[float]:
        """Σ g·g₋₁, Σ g² and Σ g₋₁² of the gradient and the one before."""
        return self.numbers[self.index, 1:4].tolist()

    @property
    def change(self) -> list[float]:
        """Σ w², Σ Δw², unchanged and spoiled weights of a step."""
        return self.numbers[self.index, 4:].tolist()


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

    def joint_cosine(self) -> float | None:
        """Cosine of all gradients together with those of the step before; ``None`` where that was not kept."""
        product, square, previous = self._sums(slice(1, 4))
        norms = math.sqrt(square) * math.sqrt(previous)
        return product / norms if norms and math.isfinite(product / norms) else None

    def joint_update_ratio(self) -> float | None:
        """‖Δw‖/‖w‖ over all weights together; ``None`` without a step."""
        weight, update = self._sums(slice(4, 6))
        return math.sqrt(update / weight) if weight and math.isfinite(update / weight) else None

    def spoiled(self) -> int:
        """Weights, of those that are kept, that were finite before the step and are NaN or Inf after it."""
        readings = list(self.by_parameter.values())
        return int(np.nansum(readings[0].numbers[:, 7])) if readings else 0

    def columns(self) -> dict[str, NDArray[np.float64]]:
        """What the step showed beside moments, a number per parameter and NaN for unknown."""
        readings = list(self.by_parameter.values())
        if not readings:
            return {}
        numbers = readings[0].numbers
        product, square, previous, weight, update, unchanged, spoiled = numbers[:, 1:].T
        kept = np.array([float(reading.subject.kept) for reading in readings])
        was_known = np.array([reading.gradient_was_known for reading in readings])
        was_stepped = np.array([reading.was_stepped for reading in readings]) & (kept > 0) & ~np.isnan(weight)
        with np.errstate(all="ignore"):
            cosine = product / (np.sqrt(square) * np.sqrt(previous))
            columns = {
                "sign_coherence": _signs_of_all(readings),
                "gradient_cosine": np.where(was_known & np.isfinite(cosine), cosine, math.nan),
                "update_ratio": np.where(was_stepped & (weight > 0), np.sqrt(update / weight), math.nan),
                "unchanged_fraction": np.where(was_stepped, unchanged / kept, math.nan),
                "spoiled": np.where(was_stepped, spoiled, 0.0),
            }
        for index, reading in enumerate(readings):
            if reading.other_change is not None:
                ratio, share, count = reading.other_change
                columns["update_ratio"][index] = math.nan if ratio is None else ratio
                columns["unchanged_fraction"][index] = math.nan if share is None else share
                columns["spoiled"][index] = count
        return columns

    def _sums(self, columns: slice) -> list[float]:
        """Sums over the parameters; where only a part of one was kept, it stands for the whole."""
        readings = list(self.by_parameter.values())
        if not readings:
            return [0.0] * (columns.stop - columns.start)
        weights = np.array([reading.subject.count / max(1, reading.subject.kept) for reading in readings])
        with np.errstate(all="ignore"):  # NaN and Inf are the model's
            sums = np.nansum(readings[0].numbers[:, columns] * weights[:, None], axis=0)
        return [float(value) for value in sums]

    def gradient_rows(self) -> list[int]:
        """The ledger's rows of all gradients."""
        return [row for reading in self.by_parameter.values() for row in reading.gradient_rows]

    def _flow(self, key: int, reading: _Reading, ledger: Ledger) -> ParameterFlow:
        subject, parameter = reading.subject, reading.subject.parameter
        ratio, unchanged, spoiled = _change_of(reading)
        grad = ledger.merged(reading.gradient_rows) if reading.has_gradient else None
        local = ledger.merged(reading.local_rows)
        if self.grad_scale != 1.0:
            grad = grad.scaled(1.0 / self.grad_scale) if grad is not None else None
            local = local.scaled(1.0 / self.grad_scale) if local is not None else None
        return ParameterFlow(
            name=subject.names[0],
            aliases=tuple(subject.names[1:]),
            shape=tuple(parameter.shape),
            dtype=str(parameter.dtype).removeprefix("torch."),
            trainable=parameter.requires_grad,
            value=ledger.merged(reading.value_rows) or Moments(),
            grad=grad,
            sign_coherence=reading.sign_coherence if math.isnan(reading.signs) else reading.signs,
            in_optimizer=None if self.held is None else key in self.held,
            update_ratio=ratio,
            unchanged_fraction=unchanged,
            spoiled=spoiled,
            sampled=subject.kept if subject.kept < subject.count else None,
            gradient_cosine=_cosine(reading) if reading.gradient_was_known else None,
            below_epsilon_fraction=reading.below_epsilon,
            lost_to_rounding_fraction=reading.lost_to_rounding,
            replaced=reading.replaced,
            local_grad=local,
            piece=piece_of(parameter),
        )


def _signs_of_all(readings: list[_Reading]) -> NDArray[np.float64]:
    """The coherence of each gradient's signs, NaN where none has one."""
    out = np.array([math.nan if r.sign_coherence is None else r.sign_coherence for r in readings])
    filled = [index for index, reading in enumerate(readings) if len(reading.coherences)]
    if filled:
        ends = np.cumsum([len(readings[index].coherences) for index in filled])
        sums = np.add.reduceat(np.concatenate([readings[i].coherences for i in filled]), [0, *ends[:-1]], axis=0)
        with np.errstate(all="ignore"):
            signs = sums[:, 0] / sums[:, 1]
        out[filled] = np.where(sums[:, 1] > 0, signs, out[filled])
    return out


class ParameterProbe:
    """Reads a model's parameters around optimizer steps; one probe serves many steps.

    Args:
        model: Whose parameters.
        limit: Elements of a parameter of which a copy is kept over the step; of larger ones runs of neighbours are.
    """

    def __init__(self, model: nn.Module, limit: float = math.inf) -> None:
        self._limit = limit
        self._subjects = {id(p): _subject(p, names, limit) for p, names in _names_by_parameter(model).items()}
        self._tree = _tree(model)
        self.readings = Readings({})

    def begin(self, model: nn.Module) -> Readings:
        """Start a step; parameters that were replaced, added or taken away since the last one are noticed."""
        replaced: set[int] = set()
        tree = _tree(model)
        if tree != self._tree or not all(map(_fits, self._subjects.values())):
            self._tree, names = tree, _names_by_parameter(model)
            known, before = self._subjects, {name for subject in self._subjects.values() for name in subject.names}
            self._subjects = {id(p): self._subject(p, own) for p, own in names.items()}
            new = self._subjects.keys() - known.keys()
            replaced = {key for key in new if before.intersection(self._subjects[key].names)}
        numbers = np.full((len(self._subjects), _ROW // 8), math.nan)
        start = numbers.ctypes.data
        ends = np.cumsum([subject.pieces for subject in self._subjects.values()])
        coherences = np.zeros((ends[-1] if len(ends) else 0, 2))
        self.readings = Readings(
            {
                key: _Reading(
                    subject,
                    key in replaced,
                    numbers,
                    index,
                    start + index * _ROW,
                    coherences[ends[index] - subject.pieces : ends[index]],
                )
                for index, (key, subject) in enumerate(self._subjects.items())
            }
        )
        return self.readings

    @property
    def replaced(self) -> list[str]:
        """Names of the parameters that are other objects than at the step before."""
        return [reading.subject.names[0] for reading in self.readings.by_parameter.values() if reading.replaced]

    def _subject(self, parameter: nn.Parameter, names: list[str]) -> _Subject:
        """What is kept of a parameter already, if it is the same one still; it may have got another name."""
        known = self._subjects.get(id(parameter))
        if known is None or known.parameter is not parameter or not known.fits:
            return _subject(parameter, names, self._limit)
        known.names = names
        return known

    def read(
        self,
        ledger: Ledger,
        parameters: Iterable[Tensor] | None = None,
        cosine: bool = False,
        keep: bool = False,
    ) -> None:
        """Measure weights and gradients.

        Args:
            ledger: Takes the statistics.
            parameters: Those to read now, all by default; each is read once in a step.
            cosine: Whether to compare gradients with those of the step before, and to keep them for the next.
            keep: Whether to do :meth:`keep` on the way, while the weights are at hand.
        """
        work = _Work(ledger)
        for reading in self._chosen(parameters):
            if reading.was_read:
                continue
            reading.was_read = True
            gradient = reading.subject.parameter.grad
            if gradient is None or is_partial(gradient):
                reading.subject.gradient_before = None
            else:
                gradient, reading.has_gradient = held(gradient), True
                _read_gradient(work, reading, gradient)
                if cosine:
                    _turn(work, reading, gradient)
            work.summarise(reading.subject.tensor, reading.value_rows, reading.subject)
            if keep:
                _keep(work, reading)
        work.run()

    def read_local(self, ledger: Ledger, parameter: Tensor, gradient: Tensor) -> None:
        """Measure what the batches of this process alone have brought to a gradient so far; the last reading counts.

        Args:
            ledger: Takes the statistics.
            parameter: Whose gradient.
            gradient: As it is before those of other processes are added.
        """
        reading = self.readings.by_parameter.get(id(parameter))
        if reading is not None:
            reading.local_rows = [ledger.measure(gradient.detach())]

    def keep(self, parameters: Iterable[Tensor] | None = None) -> None:
        """Copy what is needed to see afterwards how a step moved the weights."""
        work = _Work(None)
        for reading in self._chosen(parameters):
            if not reading.was_kept:
                _keep(work, reading)
        work.run()

    def compare(self, optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor] | None = None) -> None:
        """See how the step of an optimizer moved the weights since :meth:`keep`."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.readings.held = held | (self.readings.held or set())
        work = _Work(None)
        for reading in self._chosen(parameters):
            if reading.was_stepped:
                continue
            reading.was_stepped = True
            subject = reading.subject
            tensor = subject.tensor
            if isinstance(subject.before, np.ndarray) and subject.fits and _plain(tensor):
                work.add(work.COMPARE, tensor, *subject.runs, subject.before_at, reading.address + 32)
            elif isinstance(subject.before, Tensor):
                _change(reading, subject.before, tensor.detach())
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


def _keep(work: _Work, reading: _Reading) -> None:
    subject = reading.subject
    if reading.was_stepped:
        return  # by another step of the same optimizer within this one; the first is shown
    reading.was_kept = True
    tensor = subject.tensor
    if not subject.fits or not _plain(tensor):
        subject.before = tensor.detach().clone()
        return
    if not isinstance(subject.before, np.ndarray):
        subject.before = np.empty(subject.kept)
        subject.before_at = subject.before.ctypes.data
    work.add(work.KEEP, tensor, *subject.runs, subject.before_at)


def _read_gradient(work: _Work, reading: _Reading, gradient: Tensor) -> None:
    """Moments and signs."""
    work.summarise(gradient, reading.gradient_rows, reading.subject, reading.coherences)
    if gradient.dim() < 2 or not gradient.numel() or gradient.is_meta or _plain(gradient):
        return
    dense = generic.plain(gradient)
    reading.sign_coherence = generic.sign_coherence(dense) if dense.dim() > 1 else None


def _turn(work: _Work, reading: _Reading, gradient: Tensor) -> None:
    subject = reading.subject
    if gradient.numel() != subject.count or gradient.layout is not torch.strided or not gradient.is_cpu:
        return
    reading.gradient_was_known = subject.gradient_before is not None
    if subject.gradient_before is None:
        subject.gradient_before = np.zeros(subject.kept)
        subject.gradient_before_at = subject.gradient_before.ctypes.data
    if _plain(gradient):
        work.add(work.TURN, gradient, *subject.runs, subject.gradient_before_at, reading.address + 8)
        return
    values = generic.plain(gradient).reshape(-1).to(torch.float64).numpy()
    kept = values[(subject.offsets[:, None] + np.arange(subject.length)).reshape(-1)]
    before = subject.gradient_before
    with np.errstate(all="ignore"):  # NaN and Inf are the model's
        reading.numbers[reading.index, 1:4] = kept @ before, kept @ kept, before @ before
    before[:] = kept


class _Work:
    """Jobs for the compiled kernel, collected and then done together.

    Args:
        ledger: Takes moments, if there are any to take.
    """

    def __init__(self, ledger: Ledger | None) -> None:
        from headwater.kernels import cpu

        self.KEEP, self.COMPARE, self.TURN = cpu.KEEP, cpu.COMPARE, cpu.TURN
        self._summarise = cpu.SUMMARISE
        self._words = cpu.JOB
        self._ledger = ledger
        self._jobs: list[tuple[int, ...]] = []
        self._elements: list[int] = []
        self._rows: list[tuple[int, int]] = []  # of a job, the row it writes to

    def summarise(
        self, tensor: Tensor, rows: list[int], subject: _Subject, coherences: NDArray[np.float64] | None = None
    ) -> None:
        """Moments of a tensor, in pieces of which each gets a row.

        Args:
            tensor: A parameter or its gradient.
            rows: Takes the numbers of the rows.
            subject: The parameter.
            coherences: Takes what each piece shows of the coherence of signs within units.
        """
        assert self._ledger is not None
        if not _plain(tensor):
            rows.append(self._ledger.measure(tensor.detach()))
            return
        kind, address, count = NARROW[tensor.dtype], tensor.data_ptr(), tensor.numel()
        piece, size = subject.piece, tensor.element_size()
        width, result = (subject.width, coherences.ctypes.data) if coherences is not None and subject.width else (0, 0)
        for number in range(max(1, -(-count // piece))):
            start = number * piece
            row = self._ledger.reserve(kind)
            rows.append(row)
            self._rows.append((len(self._jobs), row))
            here, elements = address + start * size, min(piece, count - start)
            self._jobs.append((self._summarise, kind, here, elements, 0, width, result + 16 * number, 0))
            self._elements.append(elements)

    def add(self, what: int, tensor: Tensor, *words: int) -> None:
        """Another job on a tensor.

        Args:
            what: Which.
            tensor: Whose elements.
            words: What the job needs beside them.
        """
        job = (what, NARROW[tensor.dtype], tensor.data_ptr(), *words)
        self._jobs.append(job + (0,) * (self._words - len(job)))
        self._elements.append(words[1] * words[2])

    def run(self) -> None:
        """Do everything collected; rows move while they are reserved, so their addresses are found only now."""
        if not self._jobs:
            return
        table = np.array(self._jobs, np.int64)
        if self._ledger is not None:
            for number, row in self._rows:
                table[number, 4] = self._ledger.address(row)
        jobs.run(table, np.array(self._elements, np.int64))


def step(optimizer: torch.optim.Optimizer, closure: Callable[[], Tensor]) -> None:
    """Let an optimizer take its step.

    Args:
        optimizer: Made over a model's parameters.
        closure: Computes the loss and its gradients again, for optimizers that ask for it (LBFGS).

    Raises:
        InputError: If the optimizer raises.
    """
    with naming_errors(optimizer):
        if needs_closure(optimizer):
            optimizer.step(lambda: float(closure().detach()))
        else:
            optimizer.step()


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether it computes the loss itself, as LBFGS does."""
    wanted = inspect.signature(type(optimizer).step).parameters.get("closure")
    return wanted is not None and wanted.default is inspect.Parameter.empty


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
    for name, parameter in unwrapped(model).named_parameters(remove_duplicate=False):
        if not is_lazy(parameter):  # it has no shape before the first batch
            names[parameter].append(clean(name))
    return dict(names)


def _tree(model: nn.Module) -> list[Any]:
    """Names of modules and parameters and which objects they are: the same list as long as none has changed."""
    found: list[Any] = []
    for module in unwrapped(model).modules():
        found.append(id(module))
        found.extend(module._modules)
        for name, parameter in module._parameters.items():
            found += name, id(parameter), type(parameter)  # a lazy one becomes another type
    return found


def _fits(subject: _Subject) -> bool:
    return subject.fits


def _subject(parameter: nn.Parameter, names: list[str], limit: float) -> _Subject:
    here = held(parameter)
    offsets, length = _runs_of(here.numel(), limit)
    count, runs = here.numel(), (offsets.ctypes.data, len(offsets), length)
    width = count // here.shape[0] if here.dim() > 1 and count else 0
    piece = width * max(1, _PIECE // width) if width else _PIECE
    return _Subject(parameter, names, count, width, piece, -(-count // piece), offsets, length, runs=runs)


def _runs_of(count: int, limit: float) -> tuple[NDArray[np.int64], int]:
    """Where the runs of a parameter begin that are kept, and how long they are."""
    if count <= limit:
        return np.zeros(1, np.int64), count
    runs = int(limit) // _RUN
    # Even steps could meet one column of a matrix again and again; these are even with a shift of their own each.
    slots = np.linspace(0, count - _RUN, runs + 1).astype(np.int64)
    shifts = np.random.default_rng(count).integers(0, np.maximum(1, np.diff(slots) - _RUN))
    return slots[:-1] + shifts, _RUN


def _plain(tensor: Tensor) -> bool:
    """Whether the compiled kernel can read it where it lies."""
    return (
        tensor.dtype in NARROW
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and type(tensor) in (Tensor, nn.Parameter)
        and tensor.is_contiguous()
    )


def _change(reading: _Reading, before: Tensor, after: Tensor) -> None:
    """What became of weights that the compiled kernel cannot read: float64, another device, another layout."""
    if before.shape != after.shape or before.is_meta:
        reading.other_change = None, None, 0
        return
    spoiled = int((torch.isfinite(before) & ~torch.isfinite(after)).sum())
    ratio = generic.update_ratio(before, after)
    reading.other_change = ratio, generic.unchanged_fraction(before, after), spoiled
    weight = generic.moments(before).norm
    update = generic.moments(after).norm if weight == 0.0 else weight and ratio and weight * ratio
    norms = np.array([weight, update], np.float64)  # NaN for what is not known
    # They are of all elements; the row speaks for those that are kept of the gradient.
    with np.errstate(over="ignore"):
        reading.numbers[reading.index, 4:6] = norms**2 * (reading.subject.kept / max(1, reading.subject.count))
    reading.numbers[reading.index, 7] = spoiled


def _change_of(reading: _Reading) -> tuple[float | None, float | None, int]:
    """Update ratio, unchanged share and spoiled weights."""
    if not reading.was_stepped or not reading.subject.kept:
        return None, None, 0
    if reading.other_change is not None:
        return reading.other_change
    weight, update, unchanged, spoiled = reading.change
    if math.isnan(weight):
        return None, None, 0
    ratio = math.sqrt(update / weight) if weight and not math.isnan(update) else None
    return ratio, unchanged / reading.subject.kept, int(spoiled)


def _cosine(reading: _Reading) -> float | None:
    product, square, previous = reading.products
    norms = math.sqrt(square) * math.sqrt(previous)
    return product / norms if norms and math.isfinite(product / norms) else None
