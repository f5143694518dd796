"""Vectors of embeddings are drawn at unit length, with whatever is tied to them, and nothing else is touched."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.order import order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import patch

WIDTH, WORDS = 48, 200


class Tied(nn.Module):
    """Vectors for reading and for saying, frozen ones, places, biases of a single number, and a padding row."""

    def __init__(self, spread: float = 5.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=3)
        self.bag = nn.EmbeddingBag(50, 16)
        self.fixed = nn.Embedding(9, WIDTH)
        self.biases = nn.Embedding(WORDS, 1)
        self.join, self.head = nn.Linear(16, WIDTH), nn.Linear(WIDTH, WORDS, bias=False)
        for part in (self.words, self.bag, self.fixed, self.biases):
            nn.init.normal_(part.weight, 0.0, spread)
        self.fixed.weight.requires_grad_(False)
        self.head.weight = self.words.weight

    def forward(self, x: Tensor) -> Tensor:
        state = self.words(x) + self.fixed(x % 9) + self.join(self.bag(x % 50))[:, None]
        return self.head(state.mean(1)) + self.biases(x).mean()


X = torch.randint(WORDS, (16, 5), generator=torch.Generator().manual_seed(1))


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    return F.cross_entropy(model(batch), batch[:, 0])


def test_vectors_have_unit_length_on_average_and_tied_ones_stay_tied() -> None:
    model = Tied()
    before = copy.deepcopy(model.state_dict())
    drawn = hw.apply(model, "init.embedding")
    assert drawn.head.weight is drawn.words.weight
    for part in (drawn.words, drawn.bag):
        assert float(part.weight.detach().square().sum(1).mean()) == pytest.approx(1.0, rel=0.1)
    assert not drawn.words.weight[3].any()
    for untouched in ("fixed.weight", "biases.weight", "join.weight", "join.bias"):
        assert torch.equal(drawn.state_dict()[untouched], before[untouched])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_logits_of_a_normalised_state_over_tied_vectors_have_a_spread_of_one() -> None:
    drawn = hw.apply(Tied(), "init.embedding")
    states = F.layer_norm(torch.randn(300, WIDTH, generator=torch.Generator().manual_seed(2)), (WIDTH,))
    assert float(drawn.head(states).detach().std()) == pytest.approx(1.0, rel=0.1)


def test_length_stands_behind_the_colon() -> None:
    one, half = (hw.apply(Tied(), remedy) for remedy in ("init.embedding", "init.embedding:0.5"))
    torch.testing.assert_close(half.words.weight, one.words.weight / 2)
    with pytest.raises(hw.InputError, match="the length of a vector"):
        hw.apply(Tied(), "init.embedding:-1")


def test_twice_is_once_and_the_patch_is_the_very_change() -> None:
    model = Tied()
    once = hw.apply(model, "init.embedding")
    twice = hw.apply(once, "init.embedding")
    space: dict = {}
    report = hw.check(model, X, loss)
    exec(patch(model, ["init.embedding"], order_of_model(nn.Sequential(nn.Linear(2, 2)))), space)
    pasted = space["repair"](copy.deepcopy(model))
    for other in (twice, pasted, hw.apply(model, "init.embedding", report=report)):
        assert all(torch.equal(value, once.state_dict()[name]) for name, value in other.state_dict().items())


def test_optimizer_forgets_what_it_knew_of_the_old_vectors() -> None:
    model = Tied()
    optimizer = torch.optim.Adam(model.parameters())
    loss(model, X).backward()
    optimizer.step()
    drawn, rebound = hw.apply(model, "init.embedding", optimizer)
    assert drawn.words.weight not in rebound.state
    assert drawn.join.weight in rebound.state


@pytest.mark.parametrize("model", [nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Embedding(4, 1), nn.Flatten())])
def test_network_without_vectors_is_told_so(model) -> None:
    with pytest.raises(NotApplicableError, match=r"has no nn.Embedding inside it.*init.by_activation"):
        hw.apply(model, "init.embedding")


@pytest.mark.slow
def test_vectors_drawn_too_large_are_the_cure() -> None:
    pytest.importorskip("sklearn")
    from benchmarks.faults.judging import known

    program = known()["recommender/factors/spread-large"]
    proof = hw.prove(program.make(), "init.embedding", seeds=3, steps=program.steps)
    assert proof.verdict == "proven"
    assert proof.metric_after > 0.8
