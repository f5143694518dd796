"""One step of somebody else's training loop, measured from the end of the step before to its own."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from headwater.kernels.ledger import Ledger
from headwater.probes.choose import Choice
from headwater.probes.eager import eager
from headwater.probes.graph import BackwardGraph
from headwater.probes.parameters import ParameterProbe, Readings
from headwater.probes.recorder import ModuleInfo, Recorder
from headwater.probes.rows import followed_share, gaps, site_flows, site_names, with_parameters
from headwater.records import Flow, Path, SiteFlow


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
    ) -> None:
        ledger.clear()
        self.number = number
        self.thorough = thorough
        self.loss: float | None = None
        self.samples = 0
        self.optimizer = ""
        self.grad_scale = 1.0
        self.spent_s = 0.0
        self.recorder = Recorder(model, ledger, thorough, functions, choice, catalogue)
        self.readings: Readings = parameters.begin(model)
        self.recorder.on_output = self._note_output
        self._parameters = parameters
        self._ledger = ledger
        self._graph: BackwardGraph | None = None
        self._path: Path | None = None
        self._rows: tuple[SiteFlow, ...] | None = None
        self._flow: Flow | None = None
        self._stack = ExitStack()
        self._stepping: set[int] = set()

    def begin(self) -> None:
        """Attach the hooks."""
        self._stack.enter_context(self.recorder)
        self._stack.enter_context(eager())

    def before_optimizer(self, optimizer: torch.optim.Optimizer, grad_scale: float) -> None:
        """An optimizer is about to step; its gradients are complete, unless it computes them itself (LBFGS).

        Args:
            optimizer: Which.
            grad_scale: What the gradients are multiplied by as they are now.
        """
        started = time.perf_counter()
        self.recorder.leave()
        self.optimizer = type(optimizer).__name__
        own = [p for group in optimizer.param_groups for p in group["params"]]
        if self.recorder.saw_backward:
            self.readings.grad_scale = grad_scale
            self._finish_sites()
            self._parameters.read(self._ledger, own, cosine=True)
        self._parameters.keep(own)
        self._stepping.add(id(optimizer))
        self.spent_s += time.perf_counter() - started

    def after_optimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has stepped."""
        started = time.perf_counter()
        own = [p for group in optimizer.param_groups for p in group["params"]]
        self._finish_sites()
        self._parameters.read(self._ledger, own, cosine=True)  # of those that a closure has only now computed
        if id(optimizer) in self._stepping:
            self._parameters.compare(optimizer, own)
            if self.thorough:
                self._parameters.look_closer(optimizer, own)
        self.spent_s += time.perf_counter() - started

    def end(self) -> None:
        """Take the hooks off; whatever was not read until now is read."""
        started = time.perf_counter()
        try:
            self._finish_sites()
            self._parameters.read(self._ledger)
        finally:
            if self._graph is not None:
                self._graph.close()
            self.recorder.close()
            self._stack.close()
        self.spent_s += time.perf_counter() - started + self.recorder.spent_s

    def abandon(self) -> None:
        """Take the hooks off and forget what was measured."""
        if self._graph is not None:
            self._graph.close()
        self.recorder.close()
        self._stack.close()

    def forget(self) -> None:
        """Begin again: the gradients so far were not finite, and the scaler has dropped them."""
        self.recorder.forget()
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def nonfinite(self) -> int:
        """How many elements of all that was measured are NaN or Inf."""
        return self._ledger.nonfinite()

    def log10_gradient(self) -> float | None:
        """log₁₀ of the rms of all parameters' gradients together, -inf if all are zero; ``None`` if there is none."""
        rows = self.readings.gradient_rows()
        if not rows:
            return None
        pairs = [(self._ledger.log10_rms(row), self._ledger.counts(row)[0]) for row in rows]
        total = sum(count for _, count in pairs)
        alive = [2 * log + math.log10(count) for log, count in pairs if log > -math.inf]
        if not alive or not total:
            return -math.inf
        top = max(alive)
        return (top + math.log10(sum(10.0 ** (log - top) for log in alive)) - math.log10(total)) / 2

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
            )
        return self._flow

    def _note_output(self, nodes: list[Any]) -> None:
        """The model has returned: follow the graph from there, once in a step."""
        if self.thorough and self._graph is None and nodes:
            self._graph = BackwardGraph(nodes, self.recorder.sites, self._ledger)

    def _finish_sites(self) -> None:
        """Read what needs the graph or the weights as they were; the optimizer is about to change them."""
        if not self.thorough or self._rows is not None or not self.recorder.saw_backward:
            return
        if self._graph is not None:
            self._path = self._graph.path(site_names(self.recorder.sites))
        self._rows = site_flows(self.recorder, self._graph, self.grad_scale)

    def _site_rows(self) -> tuple[SiteFlow, ...]:
        return self._rows if self._rows is not None else site_flows(self.recorder, None, self.grad_scale)
