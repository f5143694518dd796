"""Our own rules, remedies, lessons and loggers pass what plugins have to."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headwater.diagnosis.rules import RULES
from headwater.lessons import ORDER, find
from headwater.remedies.registry import REMEDIES
from headwater.testing import check_lesson, check_logger, check_remedy, check_rule
from tests.diagnosis.test_symptoms import FAILING, HEALTHY

# Found and left alone in tests/diagnosis/test_rules.py, on networks that are no experiments.
ELSEWHERE = {"nonfinite", "overflow", "underflow", "vanishing", "exploding", "dead_units", "saturation"}
# What only a pair of experiments that are trained differently shows is found together with the other rules alone.
QUICK = sorted(symptom for symptom in FAILING if FAILING[symptom][0].steps <= HEALTHY[symptom].steps <= 30)


def test_every_rule_has_an_example_somewhere() -> None:
    assert {rule.symptom for rule in RULES} == {*FAILING, *ELSEWHERE}


@pytest.mark.parametrize("symptom", QUICK)
def test_rule(symptom: str) -> None:
    (rule,) = [rule for rule in RULES if rule.symptom == symptom]
    failing, healthy = FAILING[symptom][0], HEALTHY[symptom]
    torch.set_num_threads(1)
    check_rule(rule, [failing.experiment()], [healthy.experiment()], steps=failing.steps)


def plain(activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 3))


def with_parts(*parts: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), *parts, nn.ReLU(), nn.Linear(8, 3))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = kind(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x.unsqueeze(1).expand(-1, 4, -1))[0][:, -1])


class Vectors(nn.Module):
    """Each number rounded to one of a few, which have vectors."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vectors, self.head = nn.Embedding(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.vectors((x.round().long() + 2).clamp(0, 4)).mean(1))


class LowRank(nn.Module):
    """A layer with an update of rank 2 that begins as nothing twice over."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(6, 3)
        self.lora_A, self.lora_B = nn.Parameter(torch.zeros(2, 6)), nn.Parameter(torch.zeros(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.lora_A.T @ self.lora_B.T


def blocks() -> nn.Module:
    torch.manual_seed(0)
    two = [nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(2)]
    return nn.Sequential(nn.Linear(6, 8), *two, nn.Linear(8, 3))


def frozen() -> nn.Module:
    net = plain()
    net[0].requires_grad_(False)
    return net


def convolutional() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


# What a remedy needs that is not in a plain network of ReLU.
MODELS = {
    "activation.relu": lambda: plain(nn.Sigmoid),
    "activation.tailored": lambda: plain(nn.Tanh),
    "init.delta_orthogonal": convolutional,
    "activation.relu_between": lambda: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)),
    "normalisation.gather": lambda: with_parts(nn.BatchNorm1d(8, momentum=1e-4)),
    "normalisation.per_sample": lambda: with_parts(nn.BatchNorm1d(8)),
    "regularisation.reduce_dropout": lambda: with_parts(nn.Dropout(0.9)),
    "loss.logits": lambda: nn.Sequential(plain(), nn.Softmax(dim=-1)),
    "loss.linear_output": lambda: nn.Sequential(plain(), nn.ReLU()),
    "recurrent.forget_bias": lambda: Recurrent(nn.LSTM),
    "recurrent.orthogonal": lambda: Recurrent(nn.RNN),
    "optimisation.unfreeze": frozen,
    "init.embedding": Vectors,
    "init.low_rank": LowRank,
    "structure.residual": blocks,
}
# What they change is the optimizer's settings or its set of weights, which a plain one has no need of.
OF_THE_OPTIMIZER = {"optimisation.rebind", "regularisation.reduce_weight_decay"}


@pytest.mark.parametrize("remedy", sorted(REMEDIES.keys() - OF_THE_OPTIMIZER))
def test_remedy(remedy: str) -> None:
    generator = torch.Generator().manual_seed(1)
    batch = torch.randn(32, 6, generator=generator), torch.randint(3, (32,), generator=generator)
    make = MODELS.get(remedy, plain)
    check_remedy(REMEDIES[remedy], make, batch, lambda model, b: F.cross_entropy(model(b[0]), b[1]))


@pytest.mark.parametrize("lesson", [lesson for lesson in ORDER if find(lesson).seconds <= 0.6])
def test_lesson(lesson: str) -> None:
    check_lesson(find(lesson))


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard brings it")
    from headwater.integrations.tensorboard import TensorBoard

    check_logger(TensorBoard, lambda: TensorBoard(tmp_path), target=tmp_path)
    assert (tmp_path / "headwater-report.html").is_file()


def test_mlflow(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="MLflow's sqlite store needs it")
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow brings it")
    from headwater.integrations.mlflow import MLflow

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("e", artifact_location=str(tmp_path / "artifacts")))
    with mlflow.start_run() as run:
        check_logger(MLflow, lambda: MLflow(run.info.run_id), target=run)


class Halting:
    """A logger that takes what is not its own."""

    @classmethod
    def of(cls, target: Any) -> Any:
        return cls()


def test_suites_fail_where_a_promise_is_not_kept() -> None:
    """A suite that nothing could fail would prove nothing."""
    batch = torch.randn(8, 6), torch.randint(3, (8,))
    rule = next(rule for rule in RULES if rule.symptom == "linear_collapse")
    healthy = HEALTHY["linear_collapse"].experiment()
    with pytest.raises(AssertionError, match="not found in an experiment that is said to have it"):
        check_rule(rule, [healthy], [healthy])
    failing = FAILING["linear_collapse"][0].experiment()
    with pytest.raises(AssertionError, match="found in a healthy experiment"):
        check_rule(rule, [failing], [failing])
    with pytest.raises(AssertionError, match="not among the rules: install"):
        check_rule(type(rule)("unheard_of", rule.look), [failing], [healthy])
    remedy = type(REMEDIES["init.he"])("init.unheard_of", REMEDIES["init.he"].plan)
    with pytest.raises(AssertionError, match="not among the remedies: install"):
        check_remedy(remedy, plain, batch, lambda model, b: F.cross_entropy(model(b[0]), b[1]))
    with pytest.raises(AssertionError, match="takes what is not its own"):
        check_logger(Halting, Halting)
