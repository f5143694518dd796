"""One watch: what it does between two steps of somebody else's loop, and at its beginning and end."""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._compile import _disable_dynamo
from torch.utils.hooks import RemovableHandle

from headwater.judging import diagnosed
from headwater.keeping import DEFAULT_BUDGET, Kept, chosen_path
from headwater.kernels.ledger import Ledger
from headwater.probes.activation_window import ActivationWindow
from headwater.probes.advice import show_advice
from headwater.probes.catalogue import ModuleInfo, module_infos
from headwater.probes.choose import Choice, Sites
from headwater.probes.losses_between import LossesBetween
from headwater.probes.names import unwrapped
from headwater.probes.parameters import SAMPLE, ParameterProbe
from headwater.probes.place import place_of
from headwater.probes.recorder import PATIENCE, in_one_line
from headwater.probes.sampled_step import SampledStep
from headwater.probes.schedule import Level, Schedule
from headwater.probes.trajectory import Trajectory
from headwater.records import Event, Flow, HeadwaterError, InputError, Message, Score, Training, TrainingStep, WatchInfo
from headwater.report import Report
from headwater.telling import Logger, Told
from headwater.watching.happenings import Happenings

Every = int | Literal["auto"]

# A jump of the gradient by a decade between measured steps is worth a closer look; it decides no verdict.
_JUMP_DECADES = 1.0
_LEVELS = 5  # measured steps whose median a jump is told from

_active: weakref.WeakKeyDictionary[nn.Module, Watch] = weakref.WeakKeyDictionary()


def running(model: nn.Module) -> Watch | None:
    """The watch that is on for a model, if there is one."""
    return _active.get(unwrapped(model))


class Watch:
    """Measures steps of a training loop between ``with`` and its end; the loop stays as it is.

    A step ends when the optimizer steps, which its own hooks tell; on steps that are not measured there is nothing but
    those. Nothing is attached to the model: it can be copied, pickled and compiled as before. What goes wrong inside
    headwater is noted in ``gaps`` and never raised into the training.

    Made by :func:`watch`.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: list[torch.optim.Optimizer],
        every: Every,
        budget: float,
        scaler: Any,
        sites: Sites | None,
        window: int,
        run: str | os.PathLike[str] | None = None,
        on_alarm: Callable[[Event], object] | None = None,
        stop_on: Collection[str] = (),
        quiet: bool = False,
        run_budget: int = DEFAULT_BUDGET,
        ui: bool = False,
        logger: Logger | None = None,
    ) -> None:
        self._model = unwrapped(model)
        self._told = Told(logger) if logger is not None else None
        self._holds = self._is_held = False
        self._place = place_of(model)
        self._run = run
        self._run_budget = run_budget
        self._kept: Kept | None = None
        self._ui = ui
        self._url: str | None = None
        self._quiet = quiet
        self._happened = Happenings(on_alarm, stop_on, quiet, lambda: self.steps, self._record_event)
        self._optimizers = optimizers
        self._scaler = scaler
        self._choice = Choice.of(sites)
        self._schedule = Schedule(every, budget, together=self._place.world_size > 1)
        self._parameters = ParameterProbe(self._model, limit=SAMPLE)
        self._ledgers = [Ledger(), Ledger(), Ledger()]
        self._window = ActivationWindow(window)
        self._present: list[int] = []
        self._catalogue: dict[int, ModuleInfo] = {}
        self._step: SampledStep | None = None  # that is being measured
        self._latest: SampledStep | None = None
        self._thorough: SampledStep | None = None
        self._functions = True
        self._level: Level = "none"
        self._handles: list[RemovableHandle] = []
        self._depth = 0
        self._started_s = 0.0
        self._scale: float | None = None
        self._levels: deque[float] = deque(maxlen=_LEVELS)
        self._was_finite = True
        self._loss_was_finite = True
        self._broke: Flow | None = None
        self._loss: float | Tensor | None = None
        self._losses_between = LossesBetween()
        self._trajectory = Trajectory()
        self._strikes: dict[str, list[str]] = {}
        self._failures = 0
        self._reason = "closed"

    # The loop's side

    def __enter__(self) -> Watch:
        self._depth += 1
        if self._depth == 1:
            self._start()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._depth == 1:
            self._reason = exc_info[0].__name__ if exc_info and exc_info[0] is not None else "closed"
            self.close()
        else:
            self._depth = max(0, self._depth - 1)

    def start(self) -> Watch:
        """Begin to watch, for a loop that no ``with`` block can go around; :meth:`close` ends it."""
        return self.__enter__()

    def close(self) -> None:
        """Take everything off; may be called again."""
        if self._depth:
            self._depth = 0
            self._stop()

    def log(
        self,
        *,
        loss: float | Tensor | None = None,
        val_loss: float | Tensor | None = None,
        metric: float | Tensor | None = None,
        val_metric: float | Tensor | None = None,
        **scalars: float | Tensor,
    ) -> None:
        """Tell how the training goes; findings about its course, such as overfitting, rest on it.

        Args:
            loss: Of the current step, a number or a tensor with one element. Written down at each measured step and
                four times a second in between. Of a number, or a tensor on the CPU, no NaN and no Inf goes unseen.
            val_loss: Mean loss on data held out.
            metric: On data it is trained on, higher is better.
            val_metric: The same on data held out.
            **scalars: Any other numbers, for the record alone: ``lr=0.1``.

        Raises:
            InputError: If one of them is no single number.
        """
        given = {"loss": loss, "val_loss": val_loss, "metric": metric, "val_metric": val_metric}
        for name, value in {**given, **scalars}.items():
            if isinstance(value, Tensor) and value.numel() != 1:
                raise InputError(f"log({name}=...) takes one number, got a tensor of shape {list(value.shape)}.")
            if value is not None and not isinstance(value, (Tensor, int, float)):
                raise InputError(
                    f"log({name}=...) takes a number or a tensor with one element, got {type(value).__name__}."
                )
        if loss is not None:
            self._loss = loss.detach() if isinstance(loss, Tensor) else loss
        if val_loss is not None or metric is not None or val_metric is not None:
            seen, held_out, share, held_out_share = (None if v is None else _number(v) for v in given.values())
            self.score(Score(self.steps, seen, held_out, share, held_out_share))
        if self._kept is not None:
            self._record_scalars({**given, **scalars})

    def _record_scalars(self, given: Mapping[str, float | Tensor | None]) -> None:
        """Write what was told, but a loss: that is written with its step, and may have to be waited for."""
        told = {name: _number(value) for name, value in given.items() if name != "loss" and value is not None}
        if told and self._kept is not None:
            self._kept.scalars(self.steps, told)

    def gradients_ready(self, optimizer: torch.optim.Optimizer) -> None:
        """Read an optimizer's gradients now, not when it steps: before they are clipped, once they are unscaled.

        A loop that clips can call this between ``backward()`` (and ``scaler.unscale_(optimizer)``) and
        ``clip_grad_norm_``, so that norms are those the network gave. Of no effect on steps that are not measured.

        Args:
            optimizer: One of those watched; its gradients are complete.
        """
        if self._step is None:
            return
        try:
            self._step.read_gradients(optimizer, _scale_of_gradients(optimizer))
        except Exception as error:
            self._give_up(error)

    def hold_steps(self) -> None:
        """Let each step last until :meth:`end_step`: for frameworks that tell the loss after the optimizer's step."""
        self._holds = True

    def end_step(self, loss: float | Tensor | None = None) -> None:
        """End the step whose optimizer has stepped, after :meth:`hold_steps`; of no effect before it has.

        Args:
            loss: Of that step.
        """
        if self._is_held:
            if loss is not None:
                self.log(loss=loss)
            self._finish()

    @property
    def is_held(self) -> bool:
        """Whether the optimizer has stepped, and the step waits for :meth:`end_step`."""
        return self._is_held

    def score(self, score: Score) -> None:
        """Enter how well the model does now."""
        self._trajectory.score(score)

    def training(self, metric_name: str = "") -> Training | None:
        """The course of the training so far, ``None`` if no step was measured and nothing was logged.

        Args:
            metric_name: What the metric is called.
        """
        return self._trajectory.record(metric_name)

    # What was seen

    @property
    def steps(self) -> int:
        """Optimizer steps taken; with several optimizers those of the first."""
        return self._schedule.steps

    @property
    def sampled(self) -> int:
        """Steps measured."""
        return self._schedule.sampled

    @property
    def overhead(self) -> float | None:
        """Time that measuring added, as a share of the training's own; ``None`` before the first step."""
        return self._schedule.overhead

    @property
    def events(self) -> tuple[Event, ...]:
        """What happened on the way, oldest first."""
        return tuple(self._happened.events)

    @property
    def should_stop(self) -> bool:
        """Whether an alarm named in ``stop_on`` was raised; the loop may ask, and end itself."""
        return self._happened.should_stop

    @property
    def info(self) -> WatchInfo:
        """How the training was watched, and what that cost."""
        schedule = self._schedule
        return WatchInfo(
            every=str(schedule.every),
            budget=schedule.budget,
            steps=schedule.steps,
            sampled=schedule.sampled,
            thorough=schedule.thorough,
            step_s=schedule.step_s,
            overhead=schedule.overhead,
            events=self.events,
            events_left_out=self._happened.left_out,
        )

    @property
    def flow(self) -> Flow:
        """What the step measured last showed.

        Raises:
            HeadwaterError: If none was.
        """
        return self._flow_of(self._latest)

    @property
    def broke(self) -> Flow | None:
        """What the first measured step with NaN or Inf showed, ``None`` if there was none."""
        return self._broke

    @property
    def run(self) -> Path | None:
        """The folder that is recorded into, ``None`` if nothing is."""
        return self._kept.path if self._kept is not None else None

    @property
    def url(self) -> str | None:
        """Where a browser on this machine finds the live page of ``ui=True``, ``None`` without one."""
        return self._url

    def report(self) -> Report:
        """What is wrong with the training, by the last step that was measured with everything there is.

        Where NaN or Inf have turned up since, it is the step measured last: nothing before says anything about now.

        Raises:
            HeadwaterError: If no step was measured; the message says why.
        """
        spoiled = self._latest is not None and self._latest.nonfinite() > 0
        flow = self._flow_of(self._latest if spoiled else self._thorough or self._latest)
        return replace(diagnosed(self._model, flow, broke=self._broke if spoiled else None), watch=self.info)

    def _flow_of(self, step: SampledStep | None) -> Flow:
        if step is None:
            raise HeadwaterError(self._why_nothing())
        return replace(self._window.applied(step.flow()), training=self._trajectory.record())

    def _why_nothing(self) -> str:
        names = ", ".join(type(optimizer).__name__ for optimizer in self._optimizers)
        if not self._schedule.steps:
            return (
                f"nothing was measured: {names}.step() was never called while the watch was on. Put the loop inside "
                "`with hw.watch(model, optimizer) as watch:`, and hand over the optimizer the loop steps."
            )
        return f"nothing was measured in {self._schedule.steps} steps of {names}: the model was never called in them."

    # Steps

    def _start(self) -> None:
        self._open_run()
        _active[self._model] = self
        for optimizer in self._optimizers:
            self._handles.append(optimizer.register_step_pre_hook(self._before))
            self._handles.append(optimizer.register_step_post_hook(self._after))
        self._scale = self._current_scale()
        self._started_s = time.perf_counter()
        self._begin(self._schedule.first())

    def _open_run(self) -> None:
        path = chosen_path(self._run) if self._run is not None else None
        if path is None:
            return
        schedule = self._schedule
        settings = {"every": str(schedule.every), "budget": schedule.budget}
        self._kept = Kept(self._model, path, self._choice, settings, self._run_budget, self._place)
        self._kept.writer.on_trouble = self._happened.trouble
        if self._ui and self._url is None:
            self._show_page(self._kept.path)

    def _show_page(self, path: Path) -> None:
        """Serve the run to a browser on this machine, from a process of its own, and say where."""
        from headwater.i18n import text
        from headwater.server import serve_beside

        self._url = serve_beside(path)
        if not self._quiet:
            with suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(text("view.serving", {"run": path.name, "url": self._url}) + "\n")

    def _close_run(self) -> None:
        kept = self._kept
        if kept is None:
            return
        info = self.info
        facts = {
            "every": info.every,
            "budget": info.budget,
            "steps": info.steps,
            "sampled": info.sampled,
            "thorough": info.thorough,
            "step_s": info.step_s,
            "overhead": info.overhead,
        }
        kept.close(self._reason, facts)

    def _stop(self) -> None:
        if self._is_held:
            self._finish()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if _active.get(self._model) is self:
            del _active[self._model]
        self._loss = None
        try:
            if self._step is not None:
                self._step.abandon()
                self._step = None
            self._check_scale()
        except Exception as error:
            self._give_up(error)
        if not _active:
            show_advice()
        self._tell_report()
        last = self._losses_between.last()
        if last is not None:
            self._record_loss(*last)
        self._recorded(self._close_run)

    def _begin(self, level: Level) -> None:
        self._level = level
        if level == "none" or self._failures >= PATIENCE:
            return
        try:
            thorough = level == "thorough"
            free = next(ledger for ledger in self._ledgers if ledger not in self._ledgers_in_use())
            functions = thorough or self._functions
            self._step = SampledStep(
                self._model,
                self._parameters,
                free,
                self.steps,
                thorough,
                functions,
                self._choice,
                self._modules(),
                self._place,
            )
            self._step.recorder.on_next_pass = self._next_pass
            self._step.recorder.strikes = self._strikes
            self._step.begin()
        except Exception as error:
            self._give_up(error)

    @_disable_dynamo  # or a compiled optimizer step would compile it too
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._is_held and optimizer is self._optimizers[0]:  # nobody has ended the step before
            self._finish()
        if self._step is None:
            return
        try:
            if _will_skip(optimizer):
                self._step.abandon()
                self._step = None
                return
            self._step.grad_scale = self._current_scale() or 1.0
            has_closure = any(argument is not None for argument in (*args[1:], *kwargs.values()))
            self._step.before_optimizer(optimizer, _scale_of_gradients(optimizer), has_closure)
        except Exception as error:
            self._give_up(error)

    @_disable_dynamo
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._step is not None:
            try:
                self._step.after_optimizer(optimizer)
            except Exception as error:
                self._give_up(error)
        if optimizer is not self._optimizers[0]:
            return
        if self._holds:
            self._is_held = True
        else:
            self._finish()

    def _finish(self) -> None:
        """A step is over; the next one begins."""
        self._is_held = False
        if self._step is None and self._loss is not None:
            self._hear(self._loss)
        spent_s = self._end(self._step) if self._step is not None else 0.0
        self._loss = None
        if self._scaler is not None:
            self._check_scale()
        now = time.perf_counter()
        level = self._schedule.after(self._level, now - self._started_s, spent_s)
        if self._kept is not None:
            self._kept.at(self.steps)
        self._started_s = now
        self._begin(level)

    def _hear(self, loss: float | Tensor) -> None:
        """A loss of a step that is not measured; one that is not finite is an alarm, and the next step is measured."""
        try:
            value = self._losses_between.told(self.steps, loss)
            if value is None:
                return
            self._record_loss(self.steps, value)
            if not math.isfinite(value) and self._loss_was_finite:
                self._trajectory.add(TrainingStep(self.steps, value))
            self._look_at_loss(value)
        except Exception as error:
            self._give_up(error)

    def _record_loss(self, step: int, loss: float) -> None:
        kept = self._kept
        if kept is not None and self._place.world_size == 1:  # ranks tell theirs at steps that all of them measure
            self._recorded(lambda: kept.scalars(step, {"loss": loss}))

    def _look_at_loss(self, loss: float) -> None:
        is_finite = math.isfinite(loss)
        if not is_finite and self._loss_was_finite:
            self._alarm("event.loss_nonfinite", loss=str(loss))
        self._loss_was_finite = is_finite

    def _end(self, step: SampledStep) -> float:
        """Finish the measured step; gives the seconds the probes know they took."""
        self._step = None
        try:
            step.loss = float(self._loss) if self._loss is not None else None
            if step.loss is not None:
                self._losses_between.measured()
            step.end()
            if not step.recorder.sites:
                self._say_why_no_sites(step.recorder.failures)
                return step.spent_s
            self._functions = step.recorder.functions_seen() if step.thorough else self._functions
            self._window.add(step.recorder.sites)
            self._latest = step
            self._trajectory.add(step.in_short())
            self._thorough = step if step.thorough else self._thorough
            self._record(step)
            self._look(step)
            self._tell(step)
        except Exception as error:
            step.abandon()
            self._give_up(error)
        return step.spent_s

    def _record(self, step: SampledStep) -> None:
        """Write a measured step, and of a thorough one everything it showed."""
        kept = self._kept
        if kept is None:
            return
        started = time.perf_counter()
        self._recorded(lambda: kept.step(step))
        if step.thorough:
            self._recorded(lambda: kept.thorough(self._flow_of(step), self._schedule.number(step.number)))
            if not step.number:
                self._recorded(lambda: kept.flow("first", step.flow()))
        step.spent_s += time.perf_counter() - started

    def _tell(self, step: SampledStep) -> None:
        """Tell the user's own logger of a measured step; what that takes counts as ours."""
        if self._told is None:
            return
        started = time.perf_counter()
        try:
            self._told.step(step, self._window)
        except Exception as error:
            self._happened.say("event.logger_failed", error=in_one_line(error))
        step.spent_s += time.perf_counter() - started

    def _tell_report(self) -> None:
        """Hand the user's own logger the report, if anything was measured."""
        if self._told is None or self._latest is None:
            return
        try:
            self._told.report(self.steps, self.report())
        except Exception as error:
            self._happened.say("event.logger_failed", error=in_one_line(error))

    def _record_event(self, event: Event, is_alarm: bool) -> None:
        kept = self._kept
        if kept is not None:
            self._recorded(lambda: kept.event(event, is_alarm))

    def _recorded(self, work: Callable[[], object]) -> None:
        """A failure of ours in recording costs neither the training nor the measurement anything."""
        try:
            work()
        except Exception as error:
            self._happened.say("event.recording_failed", error=in_one_line(error))

    def _modules(self) -> dict[int, ModuleInfo]:
        """What is known of the modules; found out again when some were added, replaced or taken away."""
        present = [id(module) for module in self._model.modules()]
        if present != self._present:
            self._present, self._catalogue = present, module_infos(self._model, self._choice)
        return self._catalogue

    def _ledgers_in_use(self) -> list[Ledger]:
        return [step.recorder.ledger for step in (self._latest, self._thorough) if step is not None]

    def _next_pass(self) -> None:
        """Another forward pass in the same step: a micro-batch; or the scaler has skipped the step before."""
        if self._step is None:
            return
        try:
            self._step.next_pass()
            if self._check_scale():
                self._step.forget()
        except Exception as error:
            self._give_up(error)

    # What stands out

    def _look(self, step: SampledStep) -> None:
        """Whether something has just gone wrong, so that the next steps are worth measuring."""
        for name in self._parameters.replaced:
            self._happened.note(Message("event.replaced", {"parameter": name}))
        nonfinite = step.nonfinite()
        if step.loss is not None and not nonfinite:
            self._look_at_loss(step.loss)
        elif step.loss is not None:  # it is told by where it comes from
            self._loss_was_finite = math.isfinite(step.loss)
        if nonfinite and self._was_finite:
            self._alarm("event.nonfinite", elements=nonfinite)
            if self._broke is None:
                self._broke = step.flow()
                if self._kept is not None:
                    kept, broke = self._kept, self._broke
                    self._recorded(lambda: kept.flow("broke", broke))
        self._was_finite = not nonfinite
        level = step.log10_gradient()
        if level is None or nonfinite:  # what is left of a gradient with NaN or Inf is no level
            return
        level = max(level, -400.0)  # a gradient that is zero stands below all that float64 holds
        if len(self._levels) == _LEVELS and abs(level - statistics.median(self._levels)) > _JUMP_DECADES:
            self._alarm("event.gradient_jump", decades=level - statistics.median(self._levels))
            self._levels.clear()
        self._levels.append(level)

    def _alarm(self, id: str, **values: Any) -> None:
        """Raise an alarm; the next steps are measured."""
        self._happened.alarm(id, self._schedule.alarm, **values)

    def _check_scale(self) -> bool:
        """Whether the gradient scaler has skipped a step since it was asked the last time."""
        before, self._scale = self._scale, self._current_scale()
        if before is None or self._scale is None or self._scale >= before:
            return False
        self._happened.note(Message("event.step_skipped", {"before": before, "after": self._scale}))
        return True

    def _current_scale(self) -> float | None:
        """What the loss is multiplied by; ``None`` without a scaler, or once it could not be asked."""
        if self._scaler is None:
            return None
        try:
            return float(self._scaler.get_scale())
        except Exception as error:
            self._scaler = None
            self._give_up(error)
            return None

    def _say_why_no_sites(self, failures: dict[str, str]) -> None:
        for place, error in failures.items():
            self._happened.say("event.probe_failed", error=f"{place}: {error}")
        if not failures:
            self._happened.say("event.no_sites", model=type(self._model).__name__)

    def note_again(self) -> None:
        """Somebody asked to watch a model that is being watched."""
        self._happened.say("event.watched_already", model=type(self._model).__name__)

    def _give_up(self, error: Exception) -> None:
        """Something of ours failed: this step is lost, and after three there are no more; the training goes on."""
        self._failures += 1
        if self._step is not None:
            self._step.abandon()
            self._step = None
        self._happened.say("event.probe_failed", error=in_one_line(error))


def _number(value: float | Tensor) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def _scale_of_gradients(optimizer: torch.optim.Optimizer) -> float:
    """What gradients are still multiplied by when a fused optimizer, which unscales them itself, is about to step."""
    scale = getattr(optimizer, "grad_scale", None)
    return float(scale) if isinstance(scale, Tensor) else 1.0


def _will_skip(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a fused optimizer has been told by the gradient scaler to leave the weights as they are."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, Tensor) and bool(found)
