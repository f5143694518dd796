"""What a watch leaves in a run: the numbers it measured, alarms as they happen, and never a change to the training."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import headwater as hw
from headwater.recorded.why import why
from headwater.records import Event, HeadwaterError, InputError, Message
from headwater.records.flow import COLUMNS
from headwater.store import Writer
from tests.cases import CASES, BatchNormCNN, cross_entropy, images, plain_mlp, vectors
from tests.probes.snapshot import bits
from tests.watch.loops import adam, momentum, run, state_of, train

Capture = pytest.CaptureFixture[str]


def watched(path: Path, model: nn.Module, batch: Any, steps: int = 12, **settings: Any) -> hw.Run:
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, **{"every": 1, "run": path, **settings}) as watch:
        train(model, optimizer, batch, cross_entropy, steps, watch)
    return hw.open_run(path)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_a_recorded_step_has_the_numbers_of_its_flow(tmp_path: Path, kind: str) -> None:
    model, batch = (plain_mlp("relu"), vectors()) if kind == "mlp" else (BatchNormCNN(), images())
    optimizer = momentum(model.parameters())
    flows = []
    with hw.watch(model, optimizer, every=1, run=tmp_path / "a") as watch:
        for _ in range(4):
            train(model, optimizer, batch, cross_entropy, 1, watch)
            flows.append(watch._latest.flow())  # type: ignore[union-attr]
    recorded = hw.open_run(tmp_path / "a")
    assert recorded.site_names == [row.site.name for row in flows[0].sites]
    assert recorded.sites == [row.site for row in flows[0].sites]
    for name, read in COLUMNS.items():
        if name not in recorded.statistics:
            continue
        _, values = recorded.read(name)
        wanted = np.array([[read(row) for row in flow.sites] for flow in flows], np.float64).T
        np.testing.assert_allclose(values, wanted, rtol=1e-12, err_msg=name)
    for name in ("grad_rms", "grad_norm", "sign_coherence", "gradient_cosine", "update_ratio", "unchanged_fraction"):
        _, values = recorded.read_parameters(name)
        wanted = np.array([[getattr(p, name) for p in flow.parameters] for flow in flows], np.float64).T
        np.testing.assert_allclose(values, wanted, rtol=1e-12, err_msg=name)
    _, values = recorded.read("activation_std")
    wanted = np.array([[row.activation.std for row in flow.sites] for flow in flows], np.float64).T
    np.testing.assert_allclose(values, wanted, rtol=1e-12)
    assert recorded.scalars()["loss"].values.tolist() == [flow.loss for flow in flows]


def test_micro_batches_float64_and_scaled_gradients_are_summed_up_as_in_a_flow(tmp_path: Path) -> None:
    model = plain_mlp("tanh").double()
    x, y = vectors()
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, run=tmp_path / "a") as watch:
        optimizer.zero_grad()
        for part in range(2):
            cross_entropy(model, (x[part::2].double(), y[part::2])).backward()
        optimizer.step()
        flow = watch.flow
    recorded = hw.open_run(tmp_path / "a")
    for name in ("activation_rms", "activation_grad_rms", "forward_gain", "grad_rms"):
        wanted = [COLUMNS[name](row) for row in flow.sites]
        np.testing.assert_allclose(recorded.read(name)[1][:, 0], np.array(wanted, np.float64), rtol=1e-12)


def test_training_is_bit_identical_with_recording_and_without(tmp_path: Path) -> None:
    def trained(path: Path | None) -> tuple[list[bytes], dict[str, Any]]:
        torch.manual_seed(0)
        model, batch = BatchNormCNN(), images()
        optimizer = adam(model.parameters())
        with hw.watch(model, optimizer, every=1, run=path):
            losses = train(model, optimizer, batch, cross_entropy, 5)
        return [bits(loss) for loss in losses], state_of(model, optimizer)

    assert trained(tmp_path / "a") == trained(None)


def test_nothing_is_recorded_where_nobody_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = plain_mlp("relu")
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, run=None) as watch:
        train(model, optimizer, vectors(), cross_entropy, 2, watch)
    assert watch.run is None
    assert not os.listdir(tmp_path)
    hw.watch(model, optimizer)
    assert not os.listdir(tmp_path), "a watch that never began has written nothing"


def test_a_run_is_named_after_the_time_and_no_two_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_RUNS")
    paths = []
    for _ in range(2):
        model = plain_mlp("relu")
        optimizer = momentum(model.parameters())
        with hw.watch(model, optimizer, every=1) as watch:
            train(model, optimizer, vectors(), cross_entropy, 1, watch)
        assert watch.run is not None
        paths.append(watch.run)
    assert len(set(paths)) == 2
    assert all(re.fullmatch(r"runs/\d{4}-\d\d-\d\d-\d{6}(-\d)?", str(path)) for path in paths)
    assert all(len(hw.open_run(path)) == 1 for path in paths)


@pytest.mark.parametrize("bad", ["", "  ", 3, "a\0b", ["x"]])
def test_a_run_that_is_no_folder_is_refused_before_the_training(bad: Any) -> None:
    model = plain_mlp("relu")
    with pytest.raises(InputError, match=r'is no folder: hw.watch\(model, optimizer, run="runs/a"\), or run=None'):
        hw.watch(model, momentum(model.parameters()), run=bad)


def test_scalars_and_validation_are_recorded_by_name(tmp_path: Path) -> None:
    model = plain_mlp("relu")
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=2, run=tmp_path / "a") as watch:
        for step in range(6):
            train(model, optimizer, vectors(), cross_entropy, 1, watch)
            watch.log(lr=torch.tensor(0.1 * step), val_loss=float(step), accuracy=math.nan)
    scalars = hw.open_run(tmp_path / "a").scalars()
    assert scalars["val_loss"].values.tolist() == [0, 1, 2, 3, 4, 5]
    assert scalars["lr"].values == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
    assert np.isnan(scalars["accuracy"].values).all()
    assert scalars["lr"].steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert scalars["loss"].steps.tolist() == [0, 2, 4, 5], "measured ones, and the last"
    with pytest.raises(InputError, match=r"log\(lr=...\) takes one number, got a tensor of shape \[2\]"):
        watch.log(lr=torch.ones(2))


def spoil(model: nn.Module) -> None:
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)


def test_an_alarm_is_told_stored_and_stops_only_who_asked_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stop_on in ((), ("nonfinite",), ("gradient_jump",)):
        model, told = plain_mlp("tanh"), []
        optimizer = momentum(model.parameters())
        path = tmp_path / "-".join(("a", *stop_on))
        with hw.watch(model, optimizer, every=1, run=path, on_alarm=told.append, stop_on=stop_on) as watch:
            train(model, optimizer, vectors(), cross_entropy, 3, watch)
            assert not watch.should_stop
            spoil(model)
            train(model, optimizer, vectors(), cross_entropy, 1, watch)
            assert watch.should_stop == (stop_on == ("nonfinite",))
            assert [event.step for event in hw.open_run(path).alarms()] == [3], "stored as it happens"
        assert [(type(event), event.step, event.message.id) for event in told] == [(Event, 3, "event.nonfinite")]
        lines = capsys.readouterr().err.splitlines()
        assert [line for line in lines if line.startswith("headwater: step 3: ")] == lines
        assert len(lines) == 1


def test_alarms_may_be_quiet_and_a_callback_that_raises_harms_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(event: Event) -> None:
        raise RuntimeError("mine")

    model = plain_mlp("tanh")
    optimizer = momentum(model.parameters())
    spoil(model)
    with hw.watch(model, optimizer, every=1, run=tmp_path / "a", on_alarm=raises, quiet=True) as watch:
        train(model, optimizer, vectors(), cross_entropy, 2, watch)
    assert "event.callback_failed" in [event.message.id for event in watch.events]
    assert capsys.readouterr().err == ""
    assert len(hw.open_run(tmp_path / "a")) == 2


def test_a_loss_that_is_nan_while_all_tensors_are_finite_is_an_alarm(tmp_path: Path) -> None:
    model, told = plain_mlp("tanh"), []
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, run=None, on_alarm=told.append, quiet=True) as watch:
        for value in (1.0, math.nan, math.nan, 1.0, math.inf):
            optimizer.zero_grad()
            cross_entropy(model, vectors()).backward()
            watch.log(loss=value)
            optimizer.step()
    assert [event.step for event in told] == [1, 4]
    assert {event.message.id for event in told} == {"event.loss_nonfinite"}


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"stop_on": "nonfinite"}, "stop_on names alarms"),
        ({"stop_on": ("nan",)}, "there are nonfinite, loss_nonfinite, gradient_jump"),
        ({"on_alarm": 3}, "on_alarm is called with each alarm"),
        ({"run_budget": 10}, "run_budget counts bytes"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], match: str) -> None:
    model = plain_mlp("tanh")
    with pytest.raises(InputError, match=match):
        hw.watch(model, momentum(model.parameters()), **settings)


def test_an_exception_in_the_loop_is_the_reason_of_the_end(tmp_path: Path) -> None:
    model = plain_mlp("tanh")
    optimizer = momentum(model.parameters())
    watch = hw.watch(model, optimizer, every=1, run=tmp_path / "a")

    def interrupted() -> None:
        with watch:
            train(model, optimizer, vectors(), cross_entropy, 2, watch)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert hw.open_run(tmp_path / "a").state.reason == "KeyboardInterrupt"
    assert watch._kept is not None
    assert not watch._kept.writer._keeper._thread.is_alive()


def test_the_report_of_a_run_is_that_of_its_watch(tmp_path: Path) -> None:
    model = nn.Sequential(*[layer for _ in range(20) for layer in (nn.Linear(16, 16), nn.Sigmoid())], nn.Linear(16, 3))
    x, y = torch.randn(32, 16), torch.randint(3, (32,))
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, run=tmp_path / "a") as watch:
        train(model, optimizer, (x, y), cross_entropy, 11, watch)
        report = watch.report()
    again = hw.open_run(tmp_path / "a").report()
    assert again.verdict == report.verdict == "findings"
    assert [f.symptom for f in again.findings] == [f.symptom for f in report.findings]
    assert again.flow.step == report.flow.step == 10
    assert [row.site for row in again.flow.sites] == [row.site for row in report.flow.sites]
    assert again.flow.training is not None
    assert again.flow.training.losses() == report.flow.training.losses()  # type: ignore[union-attr]
    assert again.watch is not None
    assert (again.watch.steps, again.watch.sampled) == (11, 11)


def test_a_run_shows_itself_in_a_notebook_without_a_script(tmp_path: Path) -> None:
    run = watched(tmp_path / "a", plain_mlp("relu"), vectors())
    cell = run._repr_html_()
    assert cell == run.report()._repr_html_()
    assert "<script" not in cell
    assert repr(run) == f"<run 'a': ended, 12 recorded steps of {len(run.sites)} sites>"
    Writer(tmp_path / "b", {"name": "<img src=x>"}).close()
    assert hw.open_run(tmp_path / "b")._repr_html_() == (
        "<pre>&lt;run &#x27;&lt;img src=x&gt;&#x27;: ended, 0 recorded steps of 0 sites&gt;</pre>"
    )


def test_a_run_without_a_whole_step_says_what_it_has(tmp_path: Path) -> None:
    model = plain_mlp("tanh")
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, run=tmp_path / "a"):
        pass
    with pytest.raises(HeadwaterError, match=r"a keeps no step as a whole.*headwater why a"):
        hw.open_run(tmp_path / "a").report()


def test_a_disk_that_fails_is_told_and_the_training_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = plain_mlp("tanh")
    optimizer = momentum(model.parameters())
    with hw.watch(model, optimizer, every=1, run=tmp_path / "a") as watch:
        train(model, optimizer, vectors(), cross_entropy, 2, watch)
        os.ftruncate(watch._kept.writer._log.descriptor, watch._kept.writer._log.length)  # type: ignore[union-attr]
        real = watch._kept.writer._disk.write_all  # type: ignore[union-attr]
        watch._kept.writer._disk.write_all = _full  # type: ignore[union-attr, method-assign, assignment]
        losses = train(model, optimizer, vectors(), cross_entropy, 3, watch)
        watch._kept.writer._disk.write_all = real  # type: ignore[union-attr, method-assign]
        assert all(torch.isfinite(loss) for loss in losses)
    ids = [event.message.id for event in watch.events]
    assert ids[0] == "event.recording_stopped"
    assert "event.recording_resumed" in ids
    assert len(hw.open_run(tmp_path / "a")) == 5
    told = capsys.readouterr().err
    assert "Nothing is being recorded: No space left on device. The training goes on." in told
    assert "Recording goes on." in told


def _full(descriptor: int, data: Any) -> int:
    raise OSError(28, "No space left on device")


def test_a_killed_training_says_where_it_broke(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import os, signal, sys, torch, headwater as hw
        from torch import nn
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with hw.watch(model, optimizer, every=1, run=sys.argv[1], quiet=True) as watch:
            for step in range(40):
                x = torch.randn(32, 8)
                if step == 30:
                    x[0, 0] = float("nan")
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), torch.randint(3, (32,)))
                loss.backward()
                watch.log(loss=loss)
                optimizer.step()
                if step == 33:
                    os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    from headwater.recorded.why import why

    found = why(hw.open_run(tmp_path / "a"))
    assert (found.state, found.verdict, found.step, found.kind, found.site) == ("broken", "nonfinite", 30, "input", "0")
    assert (found.cause, found.finite_until, len(found.samples), found.recorded) == ("bad_input", 29, 21, 34)


def test_a_watch_that_is_not_measured_every_step_records_what_it_measured(tmp_path: Path) -> None:
    recorded = watched(tmp_path / "a", plain_mlp("relu"), vectors(), steps=20, every=5)
    assert recorded.read("activation_rms")[0].tolist() == [0, 5, 10, 15]
    assert recorded.watch_info().steps == 20


def test_sites_that_change_from_step_to_step_keep_their_rows(tmp_path: Path) -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            x = torch.tanh(self.first(x))
            return self.head(self.second(x) if self.calls % 2 else x)  # type: ignore[no-any-return]

    recorded = watched(tmp_path / "a", Sometimes(), vectors(), steps=6)
    measured = ~np.isnan(recorded.read("activation_rms", sites=["second"])[1][0])
    assert measured.tolist() == [True, False] * 3
    assert not np.isnan(recorded.read("activation_rms", sites=["first", "head"])[1]).any()


def test_runs_of_the_zoo_are_recorded_as_they_are_watched() -> None:
    for case in list(CASES.values())[:3]:
        watch = run(case, momentum, 2, every=1).watch
        assert watch is not None
        assert watch.run is not None
        assert len(hw.open_run(watch.run)) == watch.sampled


def between(path: Path, steps: int = 40, broken: int | None = None) -> hw.Run:
    """A training of which steps 0 and 30 are measured, and whose loss is told at each step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with hw.watch(model, optimizer, every=30, run=path, quiet=True) as watch:
        for step in range(steps):
            loss = model(torch.randn(8, 4)).square().mean()
            watch.log(loss=math.nan if step == broken else loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return hw.open_run(path)


def test_losses_of_steps_that_are_not_measured_are_recorded_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.probes.losses_between._EVERY_S", 0.0)
    run = between(tmp_path / "all")
    assert len(run) == 2
    curve = run.scalars()["loss"]
    assert curve.steps.tolist() == list(range(40))
    assert np.isfinite(curve.values).all()
    assert run.loss_of_steps() == [curve.values[0], curve.values[30]]
    monkeypatch.setattr("headwater.probes.losses_between._EVERY_S", 60.0)
    assert between(tmp_path / "few").scalars()["loss"].steps.tolist() == [0, 30, 39], "the last one is always there"


def test_a_loss_that_is_nan_at_a_step_that_is_not_measured_is_an_alarm_at_once(tmp_path: Path) -> None:
    run = between(tmp_path / "a", broken=17)
    (alarm,) = run.alarms()
    assert (alarm.step, alarm.message.id) == (17, "event.loss_nonfinite")
    found = why(run)
    assert (found.verdict, found.kind, found.step, found.finite_until) == ("nonfinite", "loss", 17, 0)
    assert found.message.id == "why.told_loss"


def test_a_training_whose_last_told_loss_is_nan_is_not_well(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with hw.watch(model, optimizer, every=30, run=tmp_path / "a", stop_on=("loss_nonfinite",), quiet=True) as watch:
        while not watch.should_stop:
            loss = model(torch.randn(8, 4)).square().mean()
            watch.log(loss=math.nan if watch.steps == 17 else loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for report in (watch.report(), hw.open_run(tmp_path / "a").report()):
        (finding,) = [one for one in report.findings if one.symptom == "nonfinite"]
        assert (finding.message.id, finding.message.values["step"]) == ("finding.nonfinite_loss_since", 17)


def test_where_weights_are_nan_the_loss_that_was_nan_before_is_named(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with hw.watch(model, optimizer, every=30, run=tmp_path / "a", quiet=True) as watch:
        for step in range(35):
            loss = model(torch.randn(8, 4)).square().mean() * (math.inf if step == 17 else 1.0)
            watch.log(loss=loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = why(hw.open_run(tmp_path / "a"))
    assert (found.kind, found.step, found.finite_until) == ("param", 30, 0)
    assert Message("why.loss_before", {"step": 17, "loss": "inf"}) in found.evidence
