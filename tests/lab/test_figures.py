"""Single numbers of a network: each is what it says, held against an independent way to it."""

from typing import Any

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.lab.data import split_of
from headwater.lab.figures import known
from headwater.lab.slot import Slot
from headwater.lab.spec import Spec


def slot(**controls: Any) -> Slot:
    return Slot(Spec.from_dict({"depth": 4, "width": 12, **controls}))


@pytest.mark.parametrize("more", [{}, {"residual": True, "normalisation": "layer"}, {"preset": "cnn", "width": 4}])
def test_likeness_is_the_mean_cosine_of_what_enters_the_output_layer(more: dict[str, Any]) -> None:
    made = slot(activation="relu", init="he", **more)
    model = made.network.model.eval()
    inside = nn.Sequential(*list(model.children())[:-1])
    rows = inside(made.network.split.x[:64]).detach().double().flatten(1)
    rows = rows / rows.norm(dim=1, keepdim=True)
    cosines = (rows @ rows.T).abs()[torch.triu(torch.ones(64, 64), 1) == 1]
    assert known("likeness", made) == pytest.approx(float(cosines.mean()), rel=1e-9)


def test_likeness_agrees_with_the_probes_and_leaves_training_as_it_was() -> None:
    made, twin = slot(dropout=0.3), slot(dropout=0.3)
    flow = hw.check(made.network.model.eval(), (made.network.split.x[:64], made.network.split.y[:64]), _loss).flow
    made.network.model.train()
    measured = next(row for row in flow.sites if row.site.module == "activation3").abs_cosine
    assert known("likeness", made) == pytest.approx(measured, rel=1e-6)
    for one in (made, twin):
        one.advance(True)
    assert made.course == twin.course


def _loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def test_slope_is_that_of_the_hidden_layers_without_the_output() -> None:
    made = slot(activation="sigmoid", init="normal", scale=0.0, output="tanh")
    assert known("slope", made) == pytest.approx(0.25, abs=1e-9)
    assert 0.1 < (known("slope", slot(init="normal")) or 0.0) < 0.2


def test_slope_of_a_relu_is_the_root_of_the_share_that_is_on() -> None:
    made = slot(depth=2, activation="relu", init="he")
    on = (made.network.model.get_submodule("linear1")(made.first_batch[0]) > 0).double().mean()
    assert known("slope", made) == pytest.approx(float(on) ** 0.5, rel=1e-6)


def test_parameters_are_counted() -> None:
    assert known("parameters", slot(data="folds", depth=5, width=12)) == 505
    assert known("parameters", slot(data="folds", depth=2, width=168)) == 505


def test_surface_and_folds_keep_their_heights() -> None:
    surface, folds = (split_of(Spec.from_dict({"data": name})) for name in ("surface", "folds"))
    assert surface.x.shape == (800, 2)
    assert 0.85 < float(surface.y.abs().max()) <= 0.9
    assert float(folds.y.abs().max()) <= 1.0
    x = folds.x[:, 0].argsort()
    rises = (folds.y[x, 0].diff() > 0).int()
    assert int(rises.diff().abs().sum()) == 7  # eight pieces
