"""One step of somebody else's training loop, measured from the end of the step before to its own."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from headwater.kernels.ledger import Ledger
from headwater.probes.catalogue import ModuleInfo
from headwater.probes.choose import Choice
from headwater.probes.eager import eager
from headwater.probes.graph import BackwardGraph
from headwater.probes.parameters import ParameterProbe, Readings
from headwater.probes.recorder import Recorder
from headwater.probes.rows import followed_share, gaps, site_flows, site_names, with_parameters
from headwater.records import Flow, Path, Setup, SiteFlow, TrainingStep
from headwater.records.place import ALONE, Place

_FOLLOWED_CALLS = 8  # of the model from outside in one micro-batch


class SampledStep:
    """Hooks on from :meth:`begin` to :meth:`end`; in between, optimizers announce their steps.

    What was measured stays in the ledger; :meth:`flow` puts it into records when somebody asks. No tensor of the
    training is kept beyond :meth:`end`.

    Args:
        model: That is trained.
        parameters: Serves all steps of this training.
        ledger: Of this step alone, as long as the step is of interest.
        number: Steps taken before.
        thorough: Whether to measure all there is.
        functions: Whether functions called in a forward are looked at.
        choice: Which sites.
        catalogue: Of the model's modules, if it is at hand.
        place: Of this process among those that train together; alone by default.
    """

    def __init__(
        self,
        model: nn.Module,
        parameters: ParameterProbe,
        ledger: Ledger,
        number: int,
        thorough: bool,
        functions: bool,
        choice: Choice | None,
        catalogue: dict[int, ModuleInfo] | None = None,
        place: Place = ALONE,
    ) -> None:
        ledger.clear()
        self.number = number
        self.thorough = thorough
        self.loss: float | None = None
        self.samples = 0
        self.optimizer = ""
        self.grad_scale = 1.0
        self.spent_s = 0.0
        self.own_s = math.nan
        """Seconds from the step before until this process had the last gradient of its own, where that is known."""
        self.wait_s = math.nan
        """Seconds from then until the optimizer's step."""
        self._began = self._filled = 0.0
        self.recorder = Recorder(model, ledger, thorough, functions, choice, catalogue)
        self.readings: Readings = parameters.begin(model)
        self.recorder.on_output = self._note_output
        self._parameters = parameters
        self._model = model
        self._was_read_early = False
        self._ledger = ledger
        self._graph: BackwardGraph | None = None
        self._path: Path | None = None
        self._rows: tuple[SiteFlow, ...] | None = None
        self._flow: Flow | None = None
        self._roots: list[Any] = []
        self._calls = 0
        self._stack = ExitStack()
        self._stepping: set[int] = set()
        self._stepped: set[int] = set()
        if place.wrapper in ("ddp", "fsdp"):
            self.recorder.watch_local_gradients(self._note_local)
        self._waits = (
            place.wrapper == "ddp"
        )  # FSDP2 waits for others within the passes too, which nobody can tell apart

    def begin(self) -> None:
        """Attach the hooks."""
        self._began = time.perf_counter()
        self._stack.enter_context(self.recorder)
        self._stack.enter_context(eager())

    def before_optimizer(self, optimizer: torch.optim.Optimizer, grad_scale: float, has_closure: bool = False) -> None:
        """An optimizer is about to step; its gradients are complete, unless it computes them itself (LBFGS).

        Args:
            optimizer: Which.
            grad_scale: What the gradients are multiplied by as they are now.
            has_closure: Whether it was given a function to compute them.
        """
        started = time.perf_counter()
        if self._filled and not self._stepping and self._waits:
            self.own_s, self.wait_s = self._filled - self._began, started - self._filled
        self.recorder.leave()
        if self.recorder.setup is not None and not self.optimizer:
            self.recorder.setup.note_optimizer(optimizer)
            self.recorder.setup.note_unregistered(self._model, None, optimizer)
        self.optimizer = self.optimizer or type(optimizer).__name__
        own = [p for group in optimizer.param_groups for p in group["params"]]
        self.readings.grad_scale = grad_scale
        if self.recorder.saw_backward or not has_closure:
            self._finish_time_steps()
        if not has_closure:  # else what is there may be that of earlier micro-batches alone
            self._parameters.read(self._ledger, own, cosine=True, keep=True)
        self._parameters.keep(own)
        self._stepping.add(id(optimizer))
        self.spent_s += time.perf_counter() - started

    def read_gradients(self, optimizer: torch.optim.Optimizer, grad_scale: float) -> None:
        """The gradients of an optimizer are complete, before anything is done to them; it may step in a while.

        Args:
            optimizer: Which.
            grad_scale: What the gradients are multiplied by as they are now.
        """
        started = time.perf_counter()
        self._was_read_early = True
        self.readings.grad_scale = grad_scale
        self._finish_time_steps()
        own = [p for group in optimizer.param_groups for p in group["params"]]
        self._parameters.read(self._ledger, own, cosine=True)
        self.spent_s += time.perf_counter() - started

    def after_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has stepped."""
        started = time.perf_counter()
        own = [p for group in optimizer.param_groups for p in group["params"]]
        self.recorder.leave()
        self.recorder.drop_time_steps()
        self._parameters.read(self._ledger, own, cosine=True)  # of those that a closure has only now computed
        if id(optimizer) in self._stepping - self._stepped:
            self._stepped.add(id(optimizer))
            self._parameters.compare(optimizer, own)
            if self.thorough:
                self._parameters.look_closer(optimizer, own)
        self.spent_s += time.perf_counter() - started

    def end(self) -> None:
        """Take the hooks off; whatever was not read until now is read."""
        started = time.perf_counter()
        try:
            self._parameters.read(self._ledger)
            self._finish_sites()
        finally:
            if self._graph is not None:
                self._graph.close()
            self.recorder.close()
            self._stack.close()
            self._roots.clear()
        self.spent_s += time.perf_counter() - started + self.recorder.spent_s

    def abandon(self) -> None:
        """Take the hooks off and forget what was measured; may be called again."""
        if self._graph is not None:
            self._graph.close()
        self.recorder.close()
        self._stack.close()
        self._roots.clear()

    def next_pass(self) -> None:
        """The forward passes from here on belong to another micro-batch."""
        self._roots.clear()
        self._calls = 0

    def forget(self) -> None:
        """Begin again: the gradients so far were not finite, and the scaler has dropped them."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        self.recorder.forget()
        if not self._stepping:
            self._ledger.clear()
            if self._was_read_early:  # their rows are gone with the ledger's
                self.readings, self._was_read_early = self._parameters.begin(self._model), False

    def nonfinite(self) -> int:
        """How many elements of all that was measured are NaN or Inf, those that the step itself made so included."""
        return self._ledger.nonfinite() + self.readings.spoiled()

    def log10_gradient(self) -> float | None:
        """log₁₀ of the rms of all parameters' gradients together, -inf if all are zero; ``None`` if there is none."""
        rows = self.readings.gradient_rows()
        if not rows:
            return None
        return self._ledger.log10_rms_of_all(rows)

    def log10_first_to_last(self) -> float | None:
        """Decades from the gradient's rms at the last site to that at the first; ``None`` where one has none.

        -inf where the first is zero, ``None`` where both are.
        """
        rows = [self.recorder.gradient_rows(record.activation_grad) for record in self.recorder.sites]
        ends = [own for own in rows if own]
        if len(ends) < 2:
            return None
        first, last = (self._ledger.log10_rms_of_all(own) for own in (ends[0], ends[-1]))
        return None if first == last == -math.inf else first - last

    def in_short(self) -> TrainingStep:
        """What the step showed of all parameters together."""
        scale = math.log10(self.grad_scale) if self.grad_scale > 0 else 0.0
        level = self.log10_gradient()
        return TrainingStep(
            step=self.number,
            loss=self.loss,
            log10_gradient=None if level is None else level - scale,
            gradient_cosine=self.readings.joint_cosine(),
            update_ratio=self.readings.joint_update_ratio(),
        )

    def flow(self) -> Flow:
        """Everything the step showed."""
        if self._flow is None:
            parameters = self.readings.flows(self._ledger)
            rows = with_parameters(self._site_rows(), parameters)
            self._flow = Flow(
                sites=rows,
                parameters=parameters,
                path=self._path,
                loss=self.loss,
                samples=rows[0].site.shape[0] * rows[0].passes if rows and rows[0].site.shape else 0,
                optimizer=self.optimizer or None,
                step=self.number,
                followed_share=followed_share(rows, parameters),
                gaps=tuple(gaps(self.recorder, rows, strangers=0)),
                setup=self.recorder.setup.setup() if self.recorder.setup is not None else Setup(),
            )
        return self._flow

    def _note_local(self, parameter: Tensor, gradient: Tensor) -> None:
        """The gradient of this process's own batches before others are added; over micro-batches their sum."""
        self._parameters.read_local(self._ledger, parameter, gradient)
        self._filled = time.perf_counter()

    def _note_output(self, nodes: list[Any]) -> None:
        """The model has returned: follow the graph from there, and from where it returned before in this micro-batch.

        Of a model that a loop over time calls again and again, the first few times.
        """
        if not self.thorough or not nodes or self._calls >= _FOLLOWED_CALLS:
            return
        self._calls += 1
        self._roots.extend(nodes)
        sites = self.recorder.sites
        kept = [(site, site.out_nodes, site.in_nodes) for site in sites]
        if self._graph is not None:
            self._graph.close()
        for site, out_nodes, in_nodes in kept:  # of which closing has let go
            site.out_nodes, site.in_nodes = out_nodes, in_nodes
        self._graph = BackwardGraph(self._roots, sites, self._ledger)
        self.recorder.on_revisited = self._graph.enter

    def _finish_time_steps(self) -> None:
        """Follow gradients through time with the weights as they were; the optimizer is about to change them."""
        for record in self.recorder.sites:
            self.recorder.time_gradients(record)

    def _finish_sites(self) -> None:
        """Read what needs the graph, which is let go of."""
        if not self.recorder.saw_backward:
            return
        self.recorder.leave_out_idle_calls()
        if self.thorough:
            if self._graph is not None:
                self._path = self._graph.path(site_names(self.recorder.sites))
            self._rows = site_flows(self.recorder, self._graph, self.grad_scale)

    def _site_rows(self) -> tuple[SiteFlow, ...]:
        return self._rows if self._rows is not None else site_flows(self.recorder, None, self.grad_scale)
