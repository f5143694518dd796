"""Loggers in use already: what they are told, that the report is attached, and that none of it touches the training."""

import csv
import json
import math
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F

import headwater as hw
from headwater.integrations import log_to
from headwater.records import InputError
from headwater.telling import SCALARS
from headwater.watching import Watch
from tests.helpers import python
from tests.integrations.conformance import RATE, batches, network

NAMES = {f"headwater/{name}" for name in SCALARS}
FILES = {"headwater-report.html", "headwater-report.json"}


class Heard:
    """A logger that remembers; ``values`` by step and name."""

    def __init__(self) -> None:
        self.values: dict[int, dict[str, float]] = {}
        self.reports: list[Any] = []

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.values[step] = dict(values)

    def report(self, step: int, report: Any, files: Any) -> None:
        self.reports.append((step, report, [Path(file).read_bytes() for file in files]))


def train(logger: Any, broken: int | None = None, every: Any = 1) -> tuple[Watch, dict[str, torch.Tensor]]:
    """A training of twelve steps; from the ``broken`` one on its data are NaN."""
    net = network("healthy")
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    with hw.watch(net, optimizer, every=every, run=None, quiet=True, logger=logger) as watch:
        for number, (x, y) in enumerate(batches()):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x * math.nan if number == broken else x), y)
            loss.backward()
            watch.log(loss=loss)
            optimizer.step()
    return watch, net.state_dict()


@pytest.fixture(scope="module")
def expected() -> dict[int, dict[str, float]]:
    heard = Heard()
    train(heard)
    return heard.values


def test_six_numbers_per_measured_step_and_the_report_at_the_end(expected: dict[int, dict[str, float]]) -> None:
    heard = Heard()
    watch, _ = train(heard, every=3)
    assert list(heard.values) == [0, 3, 6, 9]
    assert set(expected[1]) == NAMES
    assert len(NAMES) == 6
    assert set(expected[0]) == NAMES - {"headwater/gradient_cosine"}  # there is no step before the first
    ((step, report, files),) = heard.reports
    assert step == 12
    assert report.verdict == watch.report().verdict
    assert json.loads(files[1])["schema"] == "headwater/report/1"


def test_numbers_are_those_of_the_flow() -> None:
    heard = Heard()
    watch, _ = train(heard)
    told = {name.removeprefix("headwater/"): value for name, value in heard.values[11].items()}
    flow = watch.flow
    gradients = [p.grad for p in flow.parameters if p.grad is not None]
    square = sum(g.norm**2 for g in gradients) / sum(g.count for g in gradients)
    assert told["log10_gradient"] == pytest.approx(math.log10(square) / 2, rel=1e-9)
    sites = [row.activation_grad for row in flow.sites if row.activation_grad is not None]
    ends = math.log10(sites[0].rms) - math.log10(sites[-1].rms)
    assert told["log10_gradient_first_to_last"] == pytest.approx(ends, rel=1e-9)
    assert told["dead_fraction"] == max(row.dead_fraction or 0.0 for row in flow.sites)
    assert told["nonfinite"] == 0
    assert flow.training is not None
    assert told["update_ratio"] == flow.training.steps[-1].update_ratio
    assert told["gradient_cosine"] == flow.training.steps[-1].gradient_cosine


def test_nan_is_counted_and_told() -> None:
    heard = Heard()
    train(heard, broken=5)
    assert heard.values[4]["headwater/nonfinite"] == 0
    assert all(heard.values[step]["headwater/nonfinite"] > 0 for step in range(5, 12))
    ((_, report, _),) = heard.reports
    assert report.findings[0].symptom == "nonfinite"


def test_training_with_a_logger_is_the_training_alone() -> None:
    (_, alone), (_, logged) = train(None), train(Heard())
    assert all(torch.equal(alone[name], logged[name]) for name in alone)


class Failing(Heard):
    calls = 0

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self.calls += 1
        raise ConnectionError("no route to host")


def test_logger_that_fails_is_noted_and_given_up_and_costs_the_training_nothing() -> None:
    failing, heard = Failing(), Heard()
    watch, _ = train(failing)
    assert failing.calls == 3
    assert failing.reports == []
    (event,) = [event for event in watch.events if event.message.id == "event.logger_failed"]
    assert "no route to host" in str(event.message)
    train(log_to(Failing(), heard))
    assert len(heard.values) == 3  # of several, one that fails costs the others nothing until all are given up


def test_what_is_no_logger_is_refused_with_the_corrected_call() -> None:
    with pytest.raises(InputError, match=r"logger=log_to\(writer\)"):
        train(object())
    with pytest.raises(InputError, match=r"log_to\('object'\) knows no such logger; there are tensorboard, wandb"):
        log_to(object())
    with pytest.raises(InputError, match=r"log_to\('wnadb'\)"):
        log_to("wnadb")
    with pytest.raises(InputError, match="TensorBoard has no active run"):
        log_to("tensorboard")


# TensorBoard


def events_of(folder: Path) -> Any:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return events


def curve(events: Any, name: str) -> dict[int, float]:
    return {event.step: event.value for event in events.Scalars(name)}


@pytest.mark.parametrize("by", ["writer", "folder"])
def test_tensorboard_shows_the_numbers_and_the_report(tmp_path: Path, expected: Any, by: str) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="the extra tensorboard brings it")
    logger = log_to(tensorboard.SummaryWriter(str(tmp_path)) if by == "writer" else tmp_path)
    train(logger)
    events = events_of(tmp_path)
    assert set(events.Tags()["scalars"]) == NAMES
    found = curve(events, "headwater/update_ratio")
    assert found == pytest.approx({step: values["headwater/update_ratio"] for step, values in expected.items()})
    assert {path.name for path in tmp_path.iterdir()} >= FILES
    (text,) = [tag for tag in events.Tags()["tensors"] if tag.startswith("headwater/report")]
    shown = events.Tensors(text)[0].tensor_proto.string_val[0].decode()
    assert "12 of 12 steps measured" in shown


# Weights & Biases


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return pytest.importorskip("wandb", reason="the extra wandb brings it")


@pytest.mark.parametrize("own_steps", [True, False])
def test_wandb_gets_the_numbers_in_the_rows_of_the_training_and_the_report(
    wandb: Any, expected: Any, tmp_path: Path, own_steps: bool
) -> None:
    """What the training itself logs keeps its steps; our numbers stand in its rows, and say of which step they are."""
    net = network("healthy")
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    with (
        wandb.init(project="p", mode="offline", dir=str(tmp_path)) as run,
        hw.watch(net, optimizer, every=1, run=None, logger=log_to("wandb"), quiet=True) as watch,
    ):
        for number, (x, y) in enumerate(batches()):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            run.log({"loss": loss.item()}, step=number if own_steps else None)
    assert watch.events == ()
    (file,) = tmp_path.rglob("run-*.wandb")
    records = list(records_of(file))
    rows = [
        {item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json) for item in r.history.item}
        for r in records
        if r.HasField("history")
    ]
    assert [row["_step"] for row in rows] == list(range(12))
    for number, row in enumerate(rows):
        assert "loss" in row
        # A step that the training names itself is open until it names the next: there ours come one row early.
        step = number + own_steps
        assert row.get("headwater/step", 12) == step
        assert {name: value for name, value in row.items() if name in NAMES} == expected.get(step, {})
    (artifact,) = [r.artifact for r in records if r.HasField("artifact")]
    assert artifact.type == "report"
    assert {entry.path for entry in artifact.manifest.contents} == FILES


def records_of(file: Path) -> Iterator[Any]:
    """What an offline run has written: after a header of seven bytes a log as LevelDB's, in blocks of 32 kB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, place, whole = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # what is left of a block is too small for another head
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def test_wandb_without_a_run_says_what_to_call(wandb: Any) -> None:
    with pytest.raises(InputError, match=r"no run is active. Call wandb.init"):
        log_to("wandb")


# MLflow


@pytest.fixture
def mlflow(tmp_path: Path) -> Any:
    pytest.importorskip("sqlalchemy", reason="MLflow's sqlite store needs it")
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow brings it")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.create_experiment("e", artifact_location=str(tmp_path / "artifacts"))
    mlflow.set_experiment("e")
    return mlflow


@pytest.mark.parametrize("by", ["name", "run"])
def test_mlflow_has_the_numbers_and_the_report(mlflow: Any, expected: Any, by: str) -> None:
    with mlflow.start_run() as run:
        train(log_to("mlflow" if by == "name" else run))
    client = mlflow.tracking.MlflowClient()
    assert set(client.get_run(run.info.run_id).data.metrics) == NAMES
    history = {m.step: m.value for m in client.get_metric_history(run.info.run_id, "headwater/update_ratio")}
    assert history == {step: values["headwater/update_ratio"] for step, values in expected.items()}
    assert {Path(file.path).name for file in client.list_artifacts(run.info.run_id, "headwater")} == FILES


def test_mlflow_keeps_nan(mlflow: Any) -> None:
    with mlflow.start_run() as run:
        log_to("mlflow").scalars(3, {"headwater/log10_gradient": math.nan})
    (metric,) = mlflow.tracking.MlflowClient().get_metric_history(run.info.run_id, "headwater/log10_gradient")
    assert math.isnan(metric.value)


def test_mlflow_without_a_run_says_what_to_call(mlflow: Any) -> None:
    with pytest.raises(InputError, match=r"no run is active. Write it inside `with mlflow.start_run"):
        log_to("mlflow")


# Trackio, which asks for its folder as it is imported


TRACKIO = """
import json, trackio
from headwater.integrations import log_to
from headwater.records import InputError
from tests.integrations.test_loggers import train
try:
    log_to("trackio")
except InputError as error:
    refusal = str(error)
run = trackio.init(project="p", name="r", embed=False)
watch, _ = train(log_to("trackio"))
artifact = trackio.use_artifact("headwater-r:latest")
files = sorted(path.name for path in __import__("pathlib").Path(artifact.download()).iterdir())
trackio.finish()
from trackio.sqlite_storage import SQLiteStorage
logs = [row for row in SQLiteStorage.get_logs("p", "r") if "headwater/update_ratio" in row]
print(json.dumps([refusal, logs, files, artifact.type, len(watch.events)]))
"""


def test_trackio_has_the_numbers_and_the_report(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, expected: dict[int, dict[str, float]]
) -> None:
    if find_spec("trackio") is None:
        pytest.skip("the extra trackio brings it")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    refusal, logs, files, kind, events = json.loads(python(TRACKIO).splitlines()[-1])
    assert "no run is active. Call trackio.init" in refusal
    found = {row["step"]: {name: value for name, value in row.items() if name in NAMES} for row in logs}
    assert found == expected
    assert (set(files), kind, events) == (FILES, "report", 0)


# Comet, which looks after all of a process


COMET = """
import json, sys, zipfile, pathlib, math
import comet_ml
from headwater.integrations import log_to
from headwater.records import InputError
from headwater.integrations.comet import Comet
from headwater.testing import check_logger
from tests.integrations.test_loggers import train
try:
    log_to("comet")
except InputError as error:
    refusal = str(error)
quiet = {"display_summary_level": 0, "log_code": False, "log_graph": False, "log_env_details": False}
experiment = comet_ml.OfflineExperiment(project_name="p", workspace="w", offline_directory=sys.argv[1], **quiet)
watch, _ = train(log_to("comet"))
experiment.end()
(archive,) = pathlib.Path(sys.argv[1]).glob("*.zip")
files = zipfile.ZipFile(archive)
messages = [json.loads(line)["payload"] for line in files.read("messages.json").decode().splitlines()]
metrics = [m["metric"] for m in messages if "headwater" in str(m.get("metric"))]
assets = [m for m in messages if m.get("upload_type") == "asset"]
kept = [len(files.read(m["file_path"])) for m in assets]
check_logger(Comet, lambda: Comet(experiment), target=experiment)
print(json.dumps([refusal, metrics, [m["additional_params"]["fileName"] for m in assets], kept, len(watch.events)]))
"""


def test_comet_has_the_numbers_and_the_report(tmp_path: Path, expected: dict[int, dict[str, float]]) -> None:
    if find_spec("comet_ml") is None:
        pytest.skip("the extra comet brings it")
    done = subprocess.run([sys.executable, "-c", COMET, tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    refusal, metrics, files, sizes, events = json.loads(done.stdout.splitlines()[-1])
    assert "no experiment is running. Call comet_ml.start" in refusal
    found: dict[int, dict[str, float]] = {}
    for metric in metrics:
        found.setdefault(metric["step"], {})[metric["metricName"]] = metric["metricValue"]
    assert found == expected
    assert (set(files), events) == (FILES, 0)
    assert min(sizes) > 1000


# Those of frameworks


def test_lightning_hands_numbers_and_report_to_its_own_loggers(tmp_path: Path, expected: Any) -> None:
    pl = pytest.importorskip("pytorch_lightning", reason="the extra lightning brings it")
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

    from headwater.integrations.lightning import HeadwaterCallback
    from tests.integrations.test_lightning import Task

    loggers = [
        CSVLogger(tmp_path / "csv", name="", version=""),
        TensorBoardLogger(tmp_path / "tb", name="", version=""),
    ]
    callback = HeadwaterCallback(every=1, run=None, quiet=True)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=loggers,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Task(network("healthy")), torch.utils.data.DataLoader(batches(), batch_size=None))
    for logger in loggers:
        logger.finalize("success")
    wanted = {step: values["headwater/update_ratio"] for step, values in expected.items()}
    assert curve(events_of(tmp_path / "tb"), "headwater/update_ratio") == pytest.approx(wanted)
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    found = {int(row["step"]): float(row["headwater/update_ratio"]) for row in rows if row["headwater/update_ratio"]}
    assert found == pytest.approx(wanted)
    for name in ("csv", "tb"):
        assert {path.name for path in (tmp_path / name).iterdir()} >= FILES
    assert callback.watch is not None
    assert callback.watch.events == ()


def test_trainer_hands_them_to_what_it_reports_to(tmp_path: Path, expected: Any) -> None:
    pytest.importorskip("accelerate", reason="the extra transformers brings it")
    pytest.importorskip("tensorboard", reason="the extra tensorboard brings it")
    from headwater.integrations.transformers import HeadwaterCallback
    from tests.integrations.test_transformers import trainer

    callback = HeadwaterCallback(every=1, run=None, quiet=True)
    trainer(network("healthy"), batches(), tmp_path, [callback], report_to="tensorboard").train()
    (folder,) = (tmp_path / "hf" / "runs").iterdir()
    found = curve(events_of(folder), "headwater/update_ratio")
    assert found == pytest.approx({step: values["headwater/update_ratio"] for step, values in expected.items()})
    assert {path.name for path in folder.iterdir()} >= FILES
    assert callback.watch is not None
    assert callback.watch.events == ()


def test_trainer_that_goes_on_from_a_checkpoint_counts_on(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="the extra transformers brings it")
    from headwater.integrations.transformers import HeadwaterCallback
    from tests.integrations.test_transformers import trainer

    settings = {"save_strategy": "steps", "save_steps": 4, "save_only_model": False}
    trainer(network("healthy"), batches(), tmp_path, [], **settings).train()
    heard = Heard()
    callback = HeadwaterCallback(every=1, run=None, quiet=True, logger=heard)
    again = trainer(network("healthy"), batches(), tmp_path, [callback], **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "hf" / "checkpoint-8"))
    assert list(heard.values) == [8, 9, 10, 11]
    assert heard.reports[0][0] == 12


def test_accelerate_hands_them_to_its_trackers(tmp_path: Path, expected: Any) -> None:
    accelerate = pytest.importorskip("accelerate", reason="the extra accelerate brings it")
    pytest.importorskip("tensorboard", reason="the extra tensorboard brings it")
    from headwater.integrations.accelerate import watch

    class Own(accelerate.tracking.GeneralTracker):
        name, requires_logging_directory = "own", False
        rows: ClassVar[list[Any]] = []

        @property
        def tracker(self) -> None:
            return None

        def log(self, values: Any, step: int | None = None) -> None:
            self.rows.append((step, values))

    accelerator = accelerate.Accelerator(cpu=True, log_with=["tensorboard", Own()], project_dir=str(tmp_path))
    accelerator.init_trackers("p")
    net = network("healthy")
    model, optimizer = accelerator.prepare(net, torch.optim.SGD(net.parameters(), lr=RATE))
    with watch(accelerator, model, optimizer, every=1, run=None, quiet=True) as watched:
        for x, y in batches():
            optimizer.zero_grad()
            accelerator.backward(F.cross_entropy(model(x), y))
            optimizer.step()
    accelerator.end_training()
    wanted = {step: values["headwater/update_ratio"] for step, values in expected.items()}
    assert curve(events_of(tmp_path / "p"), "headwater/update_ratio") == pytest.approx(wanted)
    assert {step: values["headwater/update_ratio"] for step, values in Own.rows[:-1]} == wanted
    assert Own.rows[-1] == (12, {"headwater/findings": 0})
    assert watched.events == ()
