"""LSUV brings every layer's output to variance 1 on its batch, and says where that does not help."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import headwater as hw
from headwater.remedies.data import Data
from headwater.remedies.order import order_of_model
from headwater.remedies.remedy import NotApplicableError
from headwater.remedies.surgery import RemedyWarning, patch


class Odd(nn.Module):
    """An activation nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(3 * x) + x.abs().sqrt()


def chain(activation: type[nn.Module], depth: int = 4, width: int = 32) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [module for _ in range(depth) for module in (nn.Linear(width, width), activation())]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def batch(width: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(64, width, generator=generator) * 5 + 1, torch.randint(4, (64,), generator=generator)


def loss(model: nn.Module, given: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(model(given[0]), given[1])


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, Odd])
def test_every_layer_gives_variance_one_on_the_batch(activation):
    given = batch()
    repaired = hw.apply(chain(activation), "init.lsuv", batches=[given], loss=loss)
    x = given[0]
    for module in repaired:
        x = module(x)
        if isinstance(module, nn.Linear):
            assert float(x.detach().double().var(correction=0)) == pytest.approx(1.0, rel=1e-4)
            assert not module.bias.any()


def test_weights_are_orthogonal_but_for_their_scale():
    weight = hw.apply(chain(nn.ReLU), "init.lsuv", batches=[batch()], loss=loss)[2].weight.detach()
    product = weight @ weight.T
    torch.testing.assert_close(product, torch.eye(32) * product[0, 0], atol=1e-4, rtol=0)


def test_collapse_is_told_and_stands_in_the_patch():
    model, given = chain(nn.ReLU, depth=100), batch()
    with pytest.warns(RemedyWarning, match=r"variance 1, and yet the inputs have merged.*init\.mirrored"):
        hw.apply(model, "init.lsuv", batches=[given], loss=loss)
    code = patch(model, ["init.lsuv"], order_of_model(model), data=Data((given,), loss))
    assert "# Collapse check: init.lsuv: every layer now has variance 1, and yet" in code


def test_network_that_keeps_inputs_apart_gives_no_warning():
    model, given = chain(nn.Tanh), batch()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RemedyWarning)
        hw.apply(model, "init.lsuv", batches=[given], loss=loss)
    assert "# Collapse check: inputs stay apart" in patch(
        model, ["init.lsuv"], order_of_model(model), data=Data((given,), loss)
    )


def test_batch_norm_dropout_and_random_states_are_as_before():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 4))
    before, states = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    repaired = hw.apply(model, "init.lsuv", batches=[batch()], loss=loss)
    assert torch.equal(torch.get_rng_state(), states)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert int(repaired[1].num_batches_tracked) == 0


def test_layer_that_runs_twice_counts_by_its_first_run():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = nn.Linear(32, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))

    given = batch()
    repaired = hw.apply(Twice(), "init.lsuv", batches=[given], loss=loss)
    assert float(repaired.layer(given[0]).detach().var(correction=0)) == pytest.approx(1.0, rel=1e-4)


def test_loss_that_needs_gradients_is_run_with_them():
    def with_penalty(model: nn.Module, given: tuple[Tensor, Tensor]) -> Tensor:
        x = given[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return loss(model, given) + slope.square().mean()

    repaired = hw.apply(chain(nn.Tanh), "init.lsuv", batches=[batch()], loss=with_penalty)
    assert float(repaired[0](batch()[0]).detach().var(correction=0)) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, r"measures on the training data.*'init\.lsuv', optimizer, batches=\[batch\], loss=loss\)"),
        ({"batches": [batch()]}, "batches and loss.*together"),
        ({"batches": [batch()], "loss": nn.CrossEntropyLoss()}, "batches and loss.*together"),
        (
            {"batches": [(torch.zeros(8, 32), torch.zeros(8, dtype=torch.long))], "loss": loss},
            "'0' gives has a deviation of 0",
        ),
        ({"batches": [(torch.zeros(8, 5), None)], "loss": loss}, r"loss\(model, batch\) raised RuntimeError"),
    ],
)
def test_missing_or_useless_data_is_told_with_the_call_that_fits(arguments, said):
    with pytest.raises(hw.InputError, match=said):
        hw.apply(chain(nn.ReLU), "init.lsuv", **arguments)


def test_proof_hands_over_its_first_batch():
    given = batch()
    experiment = hw.Experiment(
        model=lambda: chain(nn.ReLU, depth=1),
        batches=lambda: [tuple(part[torch.randperm(64)] for part in given)],
        loss=loss,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        validation=lambda: [given],
    )
    assert hw.prove(experiment, "init.lsuv", seeds=2, steps=2).remedies == ("init.lsuv",)


def test_lsuv_after_a_swap_measures_what_the_swap_made():
    given = batch()
    both = hw.apply(chain(nn.ReLU), ["activation.tanh", "init.lsuv"], batches=[given], loss=loss)
    alone = hw.apply(chain(nn.Tanh), "init.lsuv", batches=[given], loss=loss)
    assert all(torch.equal(a, b) for a, b in zip(both.parameters(), alone.parameters(), strict=True))


def test_not_applicable_is_what_it_raises():
    with pytest.raises(NotApplicableError):
        hw.apply(
            nn.Sequential(nn.Embedding(3, 3)), "init.lsuv", batches=[torch.tensor([1])], loss=lambda m, b: m(b).sum()
        )
