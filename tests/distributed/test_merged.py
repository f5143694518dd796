"""A run of several ranks, merged when it is read, has the numbers of one process on all the data."""

from __future__ import annotations

import numpy as np
import pytest

import headwater as hw
from headwater.recorded import Run
from tests.distributed.conftest import Trainings
from tests.distributed.worker import STEPS, THOROUGH

pytestmark = pytest.mark.timeout(900)  # the first test of all waits for the trainings of every rank

# What hangs on moments alone is exact; what several samples or units have together is not in each rank's numbers.
OF_SITES = (
    "activation_rms",
    "activation_mean",
    "activation_std",
    "activation_abs_max",
    "activation_count",
    "activation_nan",
    "activation_inf",
    "zero_fraction",
    "activation_grad_rms",
    "activation_grad_abs_max",
    "activation_grad_zero_fraction",
    "input_abs_max",
    "forward_gain",
    "backward_gain",
    "derivative_rms",
    "saturated_fraction",
    "grad_rms",
    "update_ratio",
)
OF_PARAMETERS = (
    "value_rms",
    "value_abs_max",
    "grad_rms",
    "grad_norm",
    "grad_abs_max",
    "update_ratio",
    "unchanged_fraction",
    "sign_coherence",
)
PAIRS = [
    ("ddp", "one-of-2"),
    ("ddp-accumulated", "one-of-2-accumulated"),
    ("fsdp", "one-of-2"),
    ("fsdp-accumulated", "one-of-2-accumulated"),
    ("ddp-4", "one-of-4"),
    ("fsdp-4", "one-of-4"),
    ("hsdp-4", "one-of-4"),
]
# ‖Δw‖/‖w‖ is told by weights before and after, each rounded to float32: of an update of 1e-4, 1e-7 is a thousandth. The
# two trainings round otherwise, so that no merging could make their updates equal beyond that.
ROUNDING = 2.0**-24
CLOSE = 1e-6  # relative; of a mean, of the rms beside it: means cancel


@pytest.mark.parametrize(("name", "one"), PAIRS)
def test_merged_run_has_the_numbers_of_one_process(trainings: Trainings, name: str, one: str) -> None:
    alone, many = hw.open_run(trainings.run(one)), hw.open_run(trainings.run(name))
    assert len(many.ranks) > 1
    assert many.site_names == alone.site_names
    assert many.parameters == alone.parameters
    assert len(many) == len(alone) == STEPS
    scale = alone.read("activation_rms")[1]
    for statistic in OF_SITES:
        wanted, found = alone.read(statistic), many.read(statistic)
        assert found[0].tolist() == wanted[0].tolist()
        assert np.isnan(found[1]).tolist() == np.isnan(wanted[1]).tolist(), statistic
        within = CLOSE * np.abs(scale if statistic == "activation_mean" else wanted[1])
        within = within + ROUNDING * (statistic == "update_ratio")
        assert (np.abs(found[1] - wanted[1]) <= within)[~np.isnan(wanted[1])].all(), statistic
    for statistic in OF_PARAMETERS:
        pair = many.read_parameters(statistic)[1], alone.read_parameters(statistic)[1]
        np.testing.assert_allclose(*pair, rtol=CLOSE, atol=ROUNDING * (statistic == "update_ratio"), err_msg=statistic)
    cosines = many.read_parameters("gradient_cosine")[1], alone.read_parameters("gradient_cosine")[1]
    np.testing.assert_allclose(*cosines, atol=CLOSE)
    for statistic in ("log10_gradient", "update_ratio", "gradient_cosine"):
        np.testing.assert_allclose(
            many.course()[statistic].values, alone.course()[statistic].values, rtol=CLOSE, atol=CLOSE, err_msg=statistic
        )
    np.testing.assert_allclose(many.scalars()["loss"].values, alone.scalars()["loss"].values, rtol=CLOSE)


@pytest.mark.parametrize(("name", "one"), PAIRS)
def test_merged_flow_is_that_of_one_process(trainings: Trainings, name: str, one: str) -> None:
    alone, many = flow_of(trainings, one), flow_of(trainings, name)
    assert many.step == alone.step == THOROUGH
    assert many.samples == alone.samples
    assert many.loss == pytest.approx(alone.loss, rel=CLOSE)
    for found, wanted in zip(many.sites, alone.sites, strict=True):
        assert found.site.name == wanted.site.name
        for kind in ("activation", "activation_grad", "input", "input_grad"):
            a, b = getattr(found, kind), getattr(wanted, kind)
            assert (a is None) == (b is None), (found.site.name, kind)
            if a is not None:
                assert (a.count, a.zero_count, a.nonfinite_count) == (b.count, b.zero_count, b.nonfinite_count)
                for number in ("rms", "norm", "std", "abs_mean", "abs_max"):
                    assert getattr(a, number) == pytest.approx(getattr(b, number), rel=CLOSE), (found.site.name, kind)
    for found, wanted in zip(many.parameters, alone.parameters, strict=True):
        assert found.value.norm == pytest.approx(wanted.value.norm, rel=CLOSE)
        assert found.value.count == wanted.value.count
        assert found.grad_norm == pytest.approx(wanted.grad_norm, rel=CLOSE)
        assert (found.update_ratio is None) == (wanted.update_ratio is None)
        if wanted.update_ratio is not None:
            assert found.update_ratio == pytest.approx(wanted.update_ratio, rel=CLOSE, abs=ROUNDING)
        assert found.shape == wanted.shape
    assert many.path is not None
    assert alone.path is not None
    assert many.path.decades == pytest.approx(alone.path.decades, abs=1e-6)
    if name.startswith("ddp"):  # FSDP2 has operations of its own between the layers
        gains = [step.log10_gain for step in many.path.steps], [step.log10_gain for step in alone.path.steps]
        assert gains[0] == pytest.approx(gains[1], abs=1e-6)


def flow_of(trainings: Trainings, name: str) -> hw.Flow:
    found = hw.open_run(trainings.run(name)).flow()
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_each_rank_can_be_read_by_itself(trainings: Trainings, name: str) -> None:
    many = hw.open_run(trainings.run(name))
    ranks = [hw.open_run(trainings.run(name), rank=rank) for rank in many.ranks]
    assert all(isinstance(run, Run) and len(run) == STEPS for run in ranks)
    counts = [run.read("activation_count")[1] for run in ranks]
    np.testing.assert_array_equal(sum(counts), many.read("activation_count")[1])
    rms = [run.read("activation_rms")[1] for run in ranks]
    assert not np.array_equal(rms[0], rms[1]), "each has data of its own"
    with pytest.raises(hw.InputError, match=r"nothing of rank 7; there is 0, 1"):
        hw.open_run(trainings.run(name), rank=7)


@pytest.mark.parametrize("name", ["ddp", "ddp-accumulated", "fsdp", "fsdp-accumulated", "fsdp-mixed-accumulated"])
def test_gradients_of_ranks_alone_average_to_that_of_all(trainings: Trainings, name: str) -> None:
    """‖mean g‖ is at most the rms of the ‖g‖, and far less than it where batches differ as here."""
    many = hw.open_run(trainings.run(name))
    local, joint = many.read_parameters("local_grad_rms")[1], many.read_parameters("grad_rms")[1]
    assert np.isfinite(local).all()
    assert (joint <= local * (1 + CLOSE)).all()
    assert (joint < local).mean() > 0.9
    ranks = [hw.open_run(trainings.run(name), rank).read_parameters("local_grad_rms")[1] for rank in many.ranks]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(ranks), axis=0)), local, rtol=CLOSE)
    assert not np.allclose(ranks[0], ranks[1], rtol=1e-3)


@pytest.mark.parametrize("name", ["ddp", "fsdp", "fsdp-mixed-accumulated", "tensor"])
def test_training_is_to_the_bit_that_without_a_watch(trainings: Trainings, name: str) -> None:
    """Losses, weights, and how often the ranks have spoken to each other."""
    assert all(rank["collectives"] > 0 for rank in trainings.told(name))
    plain = {"fsdp-mixed-accumulated": "fsdp-mixed-unwatched"}.get(name, f"{name}-unwatched")
    assert trainings.told(name) == trainings.told(plain)


@pytest.mark.parametrize(("name", "one"), [("tensor", "one-even"), ("pipeline", "one-of-1")])
def test_weights_spread_over_layers_or_stages_add_up(trainings: Trainings, name: str, one: str) -> None:
    alone, many = hw.open_run(trainings.run(one)), hw.open_run(trainings.run(name))
    assert many.parameters == alone.parameters
    for statistic in ("value_rms", "value_abs_max", "grad_rms", "grad_norm", "grad_abs_max", "update_ratio"):
        pair = many.read_parameters(statistic)[1], alone.read_parameters(statistic)[1]
        np.testing.assert_allclose(*pair, rtol=CLOSE, atol=ROUNDING * (statistic == "update_ratio"), err_msg=statistic)
    for statistic in ("log10_gradient", "update_ratio"):
        pair = many.course()[statistic].values, alone.course()[statistic].values
        np.testing.assert_allclose(*pair, rtol=1e-2 if name == "tensor" else CLOSE, err_msg=statistic)
    found, wanted = flow_of(trainings, name), flow_of(trainings, one)
    assert [p.grad_norm for p in found.parameters] == pytest.approx([p.grad_norm for p in wanted.parameters], rel=CLOSE)
    assert [p.value.count for p in found.parameters] == [p.value.count for p in wanted.parameters]
    assert not {finding.symptom for finding in many.report().findings} & {"same_data", "rank_models", "rank_data"}


def test_signals_of_layers_that_ranks_share_are_those_of_one_process(trainings: Trainings) -> None:
    """What all ranks hold is counted at each of them, which moves no mean and no rms."""
    alone, many = hw.open_run(trainings.run("one-even")), hw.open_run(trainings.run("tensor"))
    assert many.site_names == alone.site_names
    for statistic in ("activation_rms", "activation_grad_rms", "activation_abs_max", "zero_fraction", "dead_fraction"):
        pair = many.read(statistic)[1], alone.read(statistic)[1]
        np.testing.assert_allclose(*pair, rtol=CLOSE, err_msg=statistic)
    hidden = many.site_names.index("hidden")
    assert np.isnan(many.read("backward_gain")[1][hidden]).all(), "ranks hold summands of what it sends back: no norm"
