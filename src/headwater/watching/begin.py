"""``watch``: what people call, and where their mistakes get a clear message."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headwater.keeping import DEFAULT_BUDGET, chosen_path
from headwater.probes.choose import Sites
from headwater.probes.measure import check_watchable
from headwater.records import Event, InputError
from headwater.telling import Logger
from headwater.watching.happenings import ALARMS
from headwater.watching.watcher import Every, Watch, running

_LEAST_BUDGET = 1 << 20


def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | Mapping[Any, torch.optim.Optimizer],
    *,
    every: Every = "auto",
    budget: float = 0.02,
    scaler: Any = None,
    sites: Sites | None = None,
    window: int = 8,
    run: str | os.PathLike[str] | None = "auto",
    on_alarm: Callable[[Event], object] | None = None,
    stop_on: Collection[str] = (),
    quiet: bool = False,
    run_budget: int = DEFAULT_BUDGET,
    ui: bool = False,
    logger: Logger | None = None,
) -> Watch:
    """Watch a training loop: ``with hw.watch(model, optimizer) as watch:`` around it, and nothing else changes.

    Losses, weights, gradients and random numbers are bit-identical to those of the loop alone. Compiled programs run
    as they were written in measured steps, which may round otherwise than their compiled form.

    Args:
        model: That is trained; a compiled one too (measured steps run its original code).
        optimizer: Whose steps are the steps; of several, the first one's are.
        every: Measure every Nth step; ``"auto"`` measures as many as ``budget`` allows.
        budget: Share of the training time that measuring may take on average.
        scaler: The ``torch.amp.GradScaler`` of the loop: gradients are shown unscaled, and skipped steps noted.
        sites: Which operations are measured: a pattern of names (``"encoder.*"``), a class of modules, several of
            either, or a depth; all by default. Parameters are always measured.
        window: Measured steps over which a unit has to be silent to count as dead.
        run: Folder to record into, for ``hw.open_run`` and ``headwater watch``; by default one named after the time in
            ``runs/`` (or where the variable ``HEADWATER_RUNS`` says). ``None`` records nothing.
        on_alarm: Called with each alarm, an ``Event``, in the training's thread.
        stop_on: Alarms that set ``watch.should_stop``: ``"nonfinite"``, ``"loss_nonfinite"``, ``"gradient_jump"``.
        quiet: Whether to print no line on stderr for an alarm.
        run_budget: Bytes the run may take on disk; what is old gets coarser then, but around alarms.
        ui: Serve a live page of the run to a browser on this machine, and print its address; it is ``watch.url`` too.
            The page has a process of its own, which ends with this one.
        logger: That you use already, by ``headwater.integrations.log_to(wandb_run)``: it is told six numbers per
            measured step, and gets the report when the watch ends. What that takes counts in ``budget``.

    Raises:
        InputError: If something handed over cannot be used; the message has the corrected call.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> with watch(model, optimizer, every=1, run=None) as observed:
        ...     for _ in range(3):
        ...         optimizer.zero_grad()
        ...         model(torch.randn(32, 8)).square().mean().backward()
        ...         optimizer.step()
        >>> observed.sampled
        3
    """
    check_watchable(model)
    optimizers = _optimizers(optimizer)
    if not isinstance(window, int) or window < 1:
        raise InputError(f"window counts measured steps: a whole number from 1, got {window!r}.")
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise InputError(f"scaler is the torch.amp.GradScaler of the loop, got {type(scaler).__name__}.")
    _check_alarms(on_alarm, stop_on)
    if ui:
        _check_page(run)
    if run is not None:
        chosen_path(run)
    if not isinstance(run_budget, int) or run_budget < _LEAST_BUDGET:
        raise InputError(f"run_budget counts bytes, from {_LEAST_BUDGET:,}: got {run_budget!r}.")
    already = running(model)
    if already is not None:
        already.note_again()
        return already
    return Watch(
        model, optimizers, every, budget, scaler, sites, window, run, on_alarm, stop_on, quiet, run_budget, ui, logger
    )


def _check_page(run: Any) -> None:
    if run is None:
        raise InputError("ui=True shows what is recorded, and run=None records nothing: leave run out or name it.")
    from headwater.server import require_packages

    require_packages()


def _check_alarms(on_alarm: Any, stop_on: Any) -> None:
    if on_alarm is not None and not callable(on_alarm):
        raise InputError(f"on_alarm is called with each alarm: a function of one event, got {type(on_alarm).__name__}.")
    if isinstance(stop_on, str) or not isinstance(stop_on, Collection) or set(stop_on) - set(ALARMS):
        raise InputError(f'stop_on names alarms, such as stop_on=("{ALARMS[0]}",); there are {", ".join(ALARMS)}.')


def _optimizers(given: Any) -> list[torch.optim.Optimizer]:
    """The optimizers as a list.

    Raises:
        InputError: If there is none, or something else.
    """
    if isinstance(given, torch.optim.Optimizer):
        return [given]
    found = list(given.values()) if isinstance(given, Mapping) else given
    if isinstance(found, Iterable) and not isinstance(found, (str, Tensor)):
        found = list(found)
        if found and all(isinstance(item, torch.optim.Optimizer) for item in found):
            return found
    raise InputError(
        "watch() needs the optimizer, whose steps are the steps: hw.watch(model, optimizer); "
        f"got {type(given).__name__}."
    )
