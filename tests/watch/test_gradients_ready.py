"""Gradients can be read before they are clipped; those of a closure once it has computed all of them."""

import pytest
import torch
from torch import nn

import headwater as hw
from headwater.watching import Watch


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))


def batch(seed: int = 1) -> torch.Tensor:
    return torch.randn(32, 8, generator=torch.Generator().manual_seed(seed))


def norms(net: nn.Module) -> dict[str, float]:
    return {name: float(p.grad.norm()) for name, p in net.named_parameters() if p.grad is not None}


def shown(watch: Watch) -> dict[str, float]:
    return {p.name: p.grad.norm for p in watch.flow.parameters if p.grad is not None}


@pytest.mark.parametrize("early", [True, False])
def test_norms_are_those_before_clipping_if_asked_for(early: bool) -> None:
    net = model()
    optimizer = torch.optim.Adam(net.parameters())
    with hw.watch(net, optimizer, every=1, run=None) as watch:
        net(batch()).square().mean().backward()
        before = norms(net)
        if early:
            watch.gradients_ready(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
        after = norms(net)
        optimizer.step()
    assert shown(watch) == pytest.approx(before if early else after, rel=1e-5)
    assert all(p.update_ratio for p in watch.flow.parameters)


def test_closure_that_adds_to_earlier_micro_batches_is_waited_for() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def closure() -> torch.Tensor:
        loss = net(batch(2)).square().mean()
        loss.backward()
        return loss

    with hw.watch(net, optimizer, every=1, run=None) as watch:
        net(batch(1)).square().mean().backward()
        optimizer.step(closure)
        both = norms(net)
    assert shown(watch) == pytest.approx(both, rel=1e-5)


class Scaler:
    """Skips the first step, as a gradient scaler does whose scale was too large, and halves it."""

    scale = 2.0**16

    def get_scale(self) -> float:
        return self.scale


def test_gradients_of_a_skipped_step_are_forgotten() -> None:
    net, scaler = model(), Scaler()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with hw.watch(net, optimizer, every=1, run=None, scaler=scaler, quiet=True) as watch:
        (net(batch()).square().mean() * float("inf")).backward()
        watch.gradients_ready(optimizer)
        scaler.scale /= 2  # and no step
        optimizer.zero_grad()
        (net(batch()).square().mean() * scaler.scale).backward()
        for p in net.parameters():
            p.grad.div_(scaler.scale)
        watch.gradients_ready(optimizer)
        expected = norms(net)
        optimizer.step()
    assert shown(watch) == pytest.approx(expected, rel=1e-5)
    assert watch.flow.parameters[0].grad.nonfinite_count == 0
    assert watch.broke is None


def test_it_is_of_no_effect_on_a_step_that_is_not_measured_and_raises_nothing() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    watch = hw.watch(net, optimizer, every=2, run=None)
    watch.gradients_ready(optimizer)  # before it begins
    with watch:
        for _ in range(2):
            net(batch()).square().mean().backward()
            watch.gradients_ready(optimizer)
            optimizer.step()
        watch.gradients_ready(None)  # type: ignore[arg-type]  # a mistake of the caller's, in the midst of a training
    assert watch.sampled == 1


def test_step_that_is_held_lasts_until_its_loss_is_told() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with hw.watch(net, optimizer, every=1, run=None) as watch:
        watch.hold_steps()
        watch.end_step(3.0)  # of no step
        for number in range(3):
            optimizer.zero_grad()
            net(batch()).square().mean().backward()
            optimizer.step()
            assert watch.steps == number
            if number < 2:
                watch.end_step(float(number))
                assert watch.steps == number + 1
    training = watch.training()
    assert training is not None  # the last is ended with the watch
    assert [(step.step, step.loss) for step in training.steps] == [(0, 0.0), (1, 1.0), (2, None)]
