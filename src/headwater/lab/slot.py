"""One network that trains, measured as it does: by the same probes, on the very steps it takes."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from headwater.kernels.ledger import Ledger
from headwater.lab.csv_data import Uploaded
from headwater.lab.network import Batch, Batches, Network, built, loss_of, made, optimizer_of, set_penalty
from headwater.lab.plan import planned
from headwater.lab.rehearsal import FirstStep, first_step_of
from headwater.lab.spec import Spec
from headwater.probes.catalogue import module_infos
from headwater.probes.measure import measure
from headwater.probes.parameters import ParameterProbe
from headwater.probes.sampled_step import SampledStep
from headwater.records import Flow, Score, Training, TrainingStep

MOST_STEPS = 20_000
_SCORED = 512  # training samples that it is scored on, the same each time
_EARLY = (0, 1, 2, 5)  # steps after which it is scored beside each tenth
_EVERY = 10
_KEPT_STEPS = 400  # measured ones, that a diagnosis looks back on
_LATELY = 40  # steps over which the rate is told


class Slot:
    """A network with its course.

    Args:
        spec: Of the network.
        uploaded: Of ``data="csv"``, the file.
        version: How often the lab has built one before.

    Raises:
        RefusedError: If it cannot be built.
    """

    def __init__(self, spec: Spec, uploaded: Uploaded | None = None, version: int = 1) -> None:
        self.uploaded = uploaded
        self.version = version
        self.spec = spec
        self._build()

    def _build(self) -> None:
        self.network: Network = built(self.spec, self.uploaded)
        self._random = torch.get_rng_state()
        self.step = 0
        self.course: list[tuple[int, float]] = []
        self.scores: list[Score] = []
        self.begun_with = self.spec
        self.changes: list[tuple[int, str, object]] = []
        self.broke: Flow | None = None
        self.broke_at: int | None = None
        self._measured: deque[TrainingStep] = deque(maxlen=_KEPT_STEPS)
        self._times: deque[float] = deque(maxlen=_LATELY)
        self._watch()
        with self._randomness():
            self.first_batch: Batch = self._fresh_batches().next()
            self.start: Flow = measure(self.network.model, self.first_batch, self.network.loss)
            self._score()
        self.flow: Flow = self.start
        self._first_step: FirstStep | None = None
        self._is_rehearsed = False
        if _is_broken(self.start):
            self.broke, self.broke_at = self.start, 0

    def reset(self) -> None:
        """Back to where it was before its first step."""
        self.version += 1
        self._build()

    @property
    def is_done(self) -> bool:
        """Whether it takes no more steps: something is no number any more, or it has taken its share."""
        return self.broke is not None or self.step >= MOST_STEPS

    @property
    def rate(self) -> float | None:
        """Updates per second lately."""
        if len(self._times) < 2 or self._times[-1] == self._times[0]:
            return None
        return (len(self._times) - 1) / (self._times[-1] - self._times[0])

    @property
    def first_step(self) -> FirstStep | None:
        """What the first step does, taken by a copy; ``None`` if there is no loss to descend."""
        if not self._is_rehearsed:
            self._first_step, self._is_rehearsed = first_step_of(self.begun_with, self.uploaded), True
        return self._first_step

    @property
    def moves(self) -> dict[int, float]:
        """By layer, ‖Δw‖/‖w‖ of the last step that was measured; before any, of the first."""
        matrices = [p for p in self.flow.parameters if len(p.shape) > 1]
        ratios = {p.name: p.update_ratio for p in matrices if p.update_ratio is not None}
        if not ratios and self.step == 0 and self.first_step is not None:
            ratios = self.first_step.ratios
        plan, found = self.network.plan, dict[int, float]()
        for name, ratio in ratios.items():
            layer = plan.layer_of(name)
            found[layer] = max(ratio, found.get(layer, 0.0)) if math.isfinite(ratio) else found.get(layer, 0.0)
        return found

    @property
    def training(self) -> Training | None:
        """The course as a diagnosis wants it."""
        if not self._measured:
            return None
        name = "accuracy" if self.network.plan.shape.task == "classes" else ""
        return Training(tuple(self._measured), tuple(self.scores), name)

    def advance(self, is_measured: bool) -> None:
        """Take one step of training.

        Args:
            is_measured: Whether the probes look at it.
        """
        if self.is_done:
            return
        with self._randomness():
            batch = self.network.batches.next()
            loss = self._measured_step(batch) if is_measured else self._plain_step(batch)
            self.course.append((self.step, loss))
            if self.broke is not None:
                return
            self.step += 1
            self._times.append(time.monotonic())
            if self.step in _EARLY or self.step % _EVERY == 0:
                self._score()

    def _plain_step(self, batch: Batch) -> float:
        network = self.network
        network.optimizer.zero_grad()
        value = network.loss(network.model, batch)
        loss = float(value.detach())
        if not math.isfinite(loss):  # where it came from is worth a look
            self._break(measure(network.model, batch, network.loss))
            return loss
        value.backward()
        network.optimizer.step()
        return loss

    def _measured_step(self, batch: Batch) -> float:
        network = self.network
        thorough = (
            self.spec.preset == "rnn"
        )  # gradients through time come with a thorough look only, and it has few sites
        step = SampledStep(network.model, self._probe, self._ledger, self.step, thorough, False, None, self._catalogue)
        step.begin()
        try:
            network.optimizer.zero_grad()
            value = network.loss(network.model, batch)
            step.loss = loss = float(value.detach())
            value.backward()
            step.before_optimizer(network.optimizer, 1.0)
            if math.isfinite(loss):
                network.optimizer.step()
                step.after_optimizer(network.optimizer)
            step.end()
        except BaseException:
            step.abandon()
            raise
        self._measured.append(step.in_short())
        self.flow = step.flow()
        if not math.isfinite(loss) or step.nonfinite():
            self._break(self.flow)
        return loss

    def _break(self, flow: Flow) -> None:
        self.broke = self.flow = replace(flow, step=self.step)
        self.broke_at = self.step

    def look(self) -> tuple[Flow, Batch]:
        """The next batch measured forward and back, and nothing updated: the network stays where it is."""
        with self._randomness():
            batch = self._upcoming()
            return replace(measure(self.network.model, batch, self.network.loss), step=self.step), batch

    def judged_flow(self) -> Flow:
        """What a diagnosis of now rests on: all there is to measure, with the course so far."""
        flow = self.broke or (self.start if self.step == 0 else self.look()[0])
        return replace(flow, training=self.training)

    @contextmanager
    def evaluating(self) -> Iterator[nn.Module]:
        """The model as it is used: dropout off, normalisation by what it has learned; in training mode afterwards."""
        model = self.network.model
        model.eval()
        try:
            with torch.no_grad():
                yield model
        finally:
            model.train()

    def change(self, spec: Spec) -> bool:
        """Take over another spec.

        Args:
            spec: In the place of the one it has.

        Returns:
            Whether the weights could be kept. If not, the network is built anew.

        Raises:
            RefusedError: If it cannot be built; everything is as before then.
        """
        old, network = self.spec, self.network
        names = [name for name in vars(spec) if getattr(spec, name) != getattr(old, name)]
        if set(names) <= set(_TOLD_ONLY):
            self.spec = network.spec = spec
            return True
        if self.step == 0 or not _can_keep(old, spec, names):
            try:
                self.spec = spec
                self.version += 1
                self._build()
            except BaseException:
                self.spec, self.network = old, network
                self.version -= 1
                raise
            return False
        planned(spec, network.plan.shape)  # what does not go together is refused while nothing has changed yet
        self.spec = spec
        self.network.spec = spec
        for name in names:
            self._take_over(name)
            if name not in _TOLD_ONLY:
                self.changes.append((self.step, name, getattr(spec, name)))
        if {"activation", "activations", "dropout"} & set(names):
            self.flow, _ = self.look()  # what was measured last was of another function
        return True

    def _take_over(self, name: str) -> None:
        network, spec = self.network, self.spec
        if name == "learning_rate":
            for group in network.optimizer.param_groups:
                group["lr"] = spec.learning_rate
        elif name in ("l1", "l2"):
            set_penalty(network, name, getattr(spec, name))
        elif name == "dropout":
            for module in network.model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = spec.dropout
        elif name == "batch_size":
            network.batches = self._fresh_batches()
        elif name == "optimizer":
            self._new_optimizer()
        elif name in ("activation", "activations"):
            self._new_activations()
        self._watch()

    def _new_optimizer(self) -> None:
        self.network.optimizer = optimizer_of(self.spec, self.network.model)
        for name in ("l1", "l2"):
            set_penalty(self.network, name, getattr(self.spec, name))

    def _new_activations(self) -> None:
        before, new = self.network.plan.places(), planned(self.spec, self.network.plan.shape)
        model = self.network.model
        with self._randomness():
            for name, part in new.places().items():
                if part != before[name]:
                    model.set_submodule(name, made(part))
        self.network.plan = new
        model.train()

    def _fresh_batches(self) -> Batches:
        return Batches(self.network.split, self.spec.batch_size, self.spec.seed)

    def _upcoming(self) -> Batch:
        """The batch that the next step would take."""
        return self.network.batches.peek()

    def _watch(self) -> None:
        self._probe = ParameterProbe(self.network.model)
        self._catalogue = module_infos(self.network.model, None)
        self._ledger = Ledger()

    def _score(self) -> None:
        network, split = self.network, self.network.split
        sides = []
        with self.evaluating() as model, preserved_random_state():
            for x, y in ((split.x[:_SCORED], split.y[:_SCORED]), (split.test_x, split.test_y)):
                output = model(x)
                right = float((output.argmax(1) == y).double().mean()) if y.dtype is torch.int64 else None
                sides.append((float(loss_of(network.plan)(output, y)), right))
        (loss, metric), (test_loss, test_metric) = sides
        self.scores.append(Score(self.step, loss, test_loss, metric, test_metric))

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """Random numbers inside are those that the next step will draw, and are there for it all the same."""
        with self._randomness(), preserved_random_state():
            yield

    @contextmanager
    def _randomness(self) -> Iterator[None]:
        """Random numbers inside are this network's own: many share a process."""
        outside = torch.get_rng_state()
        torch.set_rng_state(self._random)
        try:
            yield
        finally:
            self._random = torch.get_rng_state()
            torch.set_rng_state(outside)


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Torch's random state is as before afterwards."""
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


_TOLD_ONLY = ("locked", "hidden", "lesson")
_LIVE = ("activation", "activations", "dropout", "l1", "l2", "optimizer", "learning_rate", "batch_size", *_TOLD_ONLY)


def _can_keep(old: Spec, new: Spec, names: list[str]) -> bool:
    """Whether a network can go from one spec to another with its weights."""
    if any(name not in _LIVE for name in names):
        return False
    if "dropout" in names and (not old.dropout or not new.dropout or new.preset == "rnn"):
        return False  # the modules themselves come or go
    shaped = {"activation", "activations"} & set(names)
    if shaped and new.init == "tailored":
        return False  # another activation is tailored with other numbers, and other weights
    if shaped and ("prelu" in _activations(old) | _activations(new) or new.preset == "rnn"):
        return False  # a learned slope is a weight
    return not (new.remedies and (shaped or "optimizer" in names or "dropout" in names))


def _activations(spec: Spec) -> set[str]:
    return {spec.activation, *spec.activations.values()}


def _is_broken(flow: Flow) -> bool:
    spoiled = any(row.activation.nonfinite_count for row in flow.sites)
    return spoiled or flow.loss is None or not math.isfinite(flow.loss)
