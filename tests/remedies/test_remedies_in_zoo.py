"""Every remedy on every architecture of the zoo: it works, or is refused with the reason and the way out."""

import warnings

import pytest
import torch

from headwater.probes.measure import measure
from headwater.records import InputError
from headwater.remedies.data import Data
from headwater.remedies.order import order_of_flow
from headwater.remedies.registry import REMEDIES
from headwater.remedies.surgery import RemedyWarning, apply_remedies
from tests.zoo import ZOO

# Weights that are complex, and a recurrent layer that holds computed ones and cannot be copied.
UNTOUCHABLE = {"fourier-operator", "orthogonal-lstm"}


def dense(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All numbers of a model as they are now."""
    return {name: value.to_dense() if value.is_sparse else value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", ZOO)
def test_every_remedy_works_or_is_refused(name):
    torch.manual_seed(0)
    model, batch, loss = ZOO[name].make()
    order = order_of_flow(measure(model, batch, loss))
    before = dense(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    worked, refused = 0, []
    for remedy in REMEDIES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RemedyWarning)
                repaired, _ = apply_remedies(model, [remedy], order, optimizer, 0, Data((batch,), loss))
        except InputError as refusal:
            refused.append(str(refusal))
            continue
        loss(repaired, batch).backward()
        worked += 1
    assert [said for said in refused if len(said) < 60] == []
    torch.testing.assert_close(dense(model), before, rtol=0, atol=0, equal_nan=True)
    assert worked or name in UNTOUCHABLE
