"""``headwater predict`` as a user types it."""

import json
from pathlib import Path

import pytest

from headwater.report import Prediction
from tests.helpers import headwater, typed

TRAIN = """
import torch
from torch import nn
import headwater as hw

def batches():
    return [(5.0 + torch.randn(64, 3, 8, 8), torch.randint(10, (64,)))]

def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

def net():
    layers = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.Tanh()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 10)

    def forward(self, x):
        return self.layer(x.mean((2, 3))) if float(x.sum()) > 0 else None

experiment = hw.Experiment(net, batches, loss)
branching = hw.Experiment(Branching, batches, loss)
tokens = hw.Experiment(net, batches, lambda model, batch: sum(p.sum() for p in model.parameters()))
"""


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text(TRAIN, encoding="utf-8")
    return path


def test_prediction_stands_beside_the_measurement(train: Path) -> None:
    done = headwater("predict", "train.py:experiment", "--measure", "--seed", "0", "--json", cwd=train.parent)
    assert done.returncode == 0
    data = json.loads(done.stdout)
    prediction = Prediction.from_dict(data)
    assert [row.site.op for row in prediction.sites][:2] == ["Conv2d", "ReLU"]
    for row in prediction.sites[:4]:
        assert row.measured is not None
        assert row.activation_rms == pytest.approx(row.measured.activation_rms, rel=0.1)
        assert row.abs_cosine == pytest.approx(row.measured.abs_cosine, abs=0.1)
    assert data["schema"] == "headwater/prediction/1"
    assert data["trainable_why"]["text"]


def test_terminal_and_page_in_both_languages(train: Path, tmp_path: Path) -> None:
    for language, word in (("en", "affine layers"), ("ko", "아핀 층")):
        page = tmp_path / f"{language}.html"
        done = headwater(
            "predict", "train.py:experiment", "--seed", "0", "--lang", language, "--html", str(page), cwd=train.parent
        )
        assert done.returncode == 0
        assert word in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
        text = page.read_text(encoding="utf-8")
        assert f'lang="{language}"' in text
        assert word in text
        assert "<script" not in text


def test_shape_can_be_given(train: Path) -> None:
    done = typed("predict", "train.py:experiment", "--input-shape", "3,5,5", "--json", cwd=train.parent)
    assert json.loads(done.stdout)["input_shape"] == [3, 5, 5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["experiment", "--input-shape", "3;8;8"], "with commas, --input-shape 3,32,32"),
        (["experiment", "--input-shape", "4,8,8"], "does not take an input of shape [4, 8, 8]"),
        (["branching"], "cannot be followed without data"),
        (["tokens"], "the loss calls Sequential with no batch of tensors"),
        (["missing"], "missing"),
    ],
)
def test_bad_input_exits_with_2_and_writes_nothing(
    train: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    name, *rest = arguments
    page = tmp_path / "p.html"
    done = headwater("predict", f"train.py:{name}", "--html", str(page), *rest, cwd=train.parent)
    assert done.returncode == 2
    assert message in done.stderr
    assert not page.exists()
