"""``headwater trace`` as a user types it: exit statuses, outputs, and what each bad input is told."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from headwater import Trace, tracing
from headwater.cli.main import cli
from headwater.report.schema import TRACE_FILE, stored_schema
from tests.helpers import closed, files_under, headwater, typed

TRAIN = """
import torch
from torch import nn
import headwater as hw

print("hello from train.py")

def net():
    layers = [layer for _ in range(6) for layer in (nn.Linear(20, 20), nn.Sigmoid())]
    return nn.Sequential(*layers, nn.Linear(20, 4))

def small():
    return nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Linear(2, 1))

def batches(features=20):
    return [(torch.randn(8, features), torch.randint(4, (8,)))]

def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

class Round(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(20, 4)
    def forward(self, x):
        return self.layer(x).argmax(1)

deep = hw.Experiment(net, batches, loss)
lecture = hw.Experiment(
    small, lambda: [(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0]]))], lambda m, b: ((m(b[0]) - b[1]) ** 2).mean()
)
wrong_batch = hw.Experiment(net, lambda: batches(9), loss)
vector_loss = hw.Experiment(net, batches, lambda model, batch: model(batch[0]))
argmax = hw.Experiment(Round, batches, lambda model, batch: model(batch[0]).float().mean())
nan = hw.Experiment(net, lambda: [(torch.full((8, 20), float("nan")), torch.zeros(8).long())], loss)
root = hw.Experiment(net, batches, lambda model, batch: (model(batch[0]) * 0).sqrt().sum())

def something_else():
    return net()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    """In this process, which has torch already."""
    result = CliRunner().invoke(cli, ["trace", *arguments])
    return result.exit_code, result.stdout, result.stderr


def data_of(printed: str) -> dict[str, object]:
    data: dict[str, object] = json.loads(printed, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    Draft202012Validator(closed(stored_schema(TRACE_FILE))).validate(data)
    return data


def test_chain_needs_no_file(tmp_path: Path) -> None:
    done = typed("trace", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("✓ ∂p₂₀/∂w₁ = ")
    assert "∂p₂₀/∂w₁ = Π ∂aᵢ/∂pᵢ₋₁ · Π wᵢ · x" in done.stdout
    assert "product of the 39 factors" in done.stdout
    assert done.stderr == ""
    assert files_under(tmp_path) == set()


@pytest.mark.parametrize("language", ["en", "ko"])
def test_chain_prints_what_is_on_record(language: str, golden: Callable[[Path, str], None]) -> None:
    status, printed, _ = run("--chain", "6", "--activation", "tanh", "--init", "he", "--seed", "3", "--lang", language)
    assert status == 0
    table, _, told = printed.partition("\n  ✓ ")  # the checks' differences are the machine's own last digits
    assert "float32" in told
    golden(Path(__file__).parent / "golden" / f"trace.{language}.txt", table)


def test_chain_takes_its_input_and_weight() -> None:
    status, printed, _ = run("--chain", "4", "--x", "2.5", "--parameter", "2.weight", "--json")
    data = data_of(printed)
    assert status == 0
    assert data["parameter"] == "2.weight"
    assert data["stages"][0]["values"] == [2.5]
    assert data["run"]["seed"] == 0


def test_seed_changes_the_chain() -> None:
    first, again, other = (data_of(run("--chain", "5", "--seed", seed, "--json")[1]) for seed in ("0", "0", "1"))
    assert first["factors"] == again["factors"] != other["factors"]


def test_experiment_is_traced_layer_by_layer(folder: Path) -> None:
    done = headwater("trace", "train.py:deep", "--seed", "0", "--html", "t.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"Running {folder / 'train.py'}\n" in done.stderr
    assert "hello from train.py" in done.stderr
    assert "hello" not in done.stdout
    assert done.stdout.startswith("✓ ‖∂L/∂0.weight‖ = ")
    assert "11 Sigmoid" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert files_under(folder) == {"train.py", "t.html"}
    page = (folder / "t.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert 'role="img"' in page


def test_json_is_the_trace_and_nothing_else(folder: Path) -> None:
    done = headwater("trace", "train.py:lecture", "--parameter", "2.weight[0,1]", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    data = data_of(done.stdout)
    assert (data["kind"], data["index"]) == ("network", [0, 1])
    assert Trace.from_dict(data).holds


def test_korean_is_spoken_where_it_was_asked_for(folder: Path) -> None:
    done = headwater("trace", "train.py:deep", "--lang", "ko", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "연쇄 법칙과 자동 미분(autograd)이 일치합니다" in done.stdout
    assert "상대 차이" in done.stdout


def test_disagreement_exits_1_and_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing.formulas, "_slope", lambda activation, before, parameters: 0.3 + 0 * before)
    status, printed, _ = run("--chain", "5")
    assert status == 1
    assert "DISAGREE" in printed.splitlines()[0]
    assert run("--chain", "5", "--json")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "culprits"),
    [
        (
            ("train.py:deep", "--chain", "3"),
            ["--chain 3 is of the lectures' chain", "headwater trace --chain 3, or headwater trace train.py:deep"],
        ),
        (("train.py:deep", "--activation", "tanh"), ["--activation tanh is of the lectures' chain"]),
        (("--chain", "0"), ["--chain"]),
        (("--chain", "3", "--activation", "sigmod"), ["no activation 'sigmod'", "sigmoid, tanh"]),
        (("--chain", "3", "--init", "glorot"), ["--init"]),
        (("--chain", "3", "--x", "nan"), ["1 NaN"]),
        (("--chain", "3", "--parameter", "0.wieght"), ["no parameter '0.wieght'", "0.weight"]),
        (("--chain", "3", "--rate", "0"), ["positive number"]),
        (("--chain", "3", "--html", "t.pdf"), ["--html t.html"]),
    ],
)
def test_wrong_command_line_exits_2(arguments: tuple[str, ...], culprits: list[str]) -> None:
    status, printed, told = run(*arguments)
    assert status == 2
    assert printed == ""
    for culprit in culprits:
        assert culprit in told


@pytest.mark.parametrize(
    ("target", "culprits"),
    [
        ("nosuch.py:deep", ["there is no file nosuch.py", "headwater trace train.py:deep"]),
        ("train.py:deeep", ["there is no 'deeep'", "headwater trace train.py:deep"]),
        ("train.py:something_else", ["returned a model", "trace needs its data", "headwater trace train.py:exp"]),
        ("train.py:wrong_batch", ["[8, 9]", "mat1 and mat2 shapes cannot be multiplied"]),
        ("train.py:vector_loss", ["scalar", "[8, 4]"]),
        ("train.py:argmax", ["no graph"]),
        ("train.py:nan", ["160 NaN"]),
        ("train.py:root", ["NaN or Inf", "sqrt"]),
    ],
)
def test_bad_target_exits_2_names_the_culprit_and_writes_nothing(
    folder: Path, target: str, culprits: list[str]
) -> None:
    done = headwater("trace", target, "--json", "--html", "t.html", cwd=folder)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    for culprit in culprits:
        assert culprit in done.stderr
    assert files_under(folder) == {"train.py"}
