"""Models that surgery would break are refused, each with what to hand over instead."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import headwater as hw
from headwater.remedies.remedy import NotApplicableError


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))


def data_parallel() -> nn.Module:
    return nn.DataParallel(mlp())


def distributed(tmp_path) -> nn.Module:
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    return nn.parallel.DistributedDataParallel(mlp())


def scripted() -> nn.Module:
    return torch.jit.script(mlp())


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.Linear(4, 2))


def on_meta() -> nn.Module:
    return mlp().to("meta")


def is_complex() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4, dtype=torch.complex64), nn.Tanh(), nn.Linear(4, 2, dtype=torch.complex64))


def quantised() -> nn.Module:
    model = mlp()
    model[2] = torch.ao.nn.quantized.dynamic.Linear(4, 4)
    return model


class FSDPLinear(nn.Linear):
    """FSDP2 gives a sharded module a class of this name."""


def sharded() -> nn.Module:
    model = mlp()
    model[2] = FSDPLinear(4, 4)
    return model


REFUSED = [
    (lambda: torch.compile(mlp()), r"model is compiled.*model\._orig_mod, and compile what comes back"),
    (lambda: nn.Sequential(torch.compile(mlp()), nn.Linear(2, 2)), r"model\.0 is compiled.*model\.0\._orig_mod"),
    (data_parallel, r"wrapped in DataParallel.*model\.module"),
    (scripted, "TorchScript.*scripted or traced from"),
    (lazy, r"0\.weight has no shape yet.*model\(batch\[0\]\)"),
    (on_meta, r"0\.weight is on the meta device.*materialise"),
    (is_complex, r"model\.0 is complex.*hw\.apply\(part"),
    (quantised, r"model\.2 \(Linear\) is quantised.*floating point"),
    (sharded, r"model\.2 is sharded by FSDP.*before it is sharded"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("remedy", ["init.he", "activation.relu", "structure.rezero"])
@pytest.mark.parametrize(("make", "said"), REFUSED)
def test_model_that_surgery_would_break_is_refused_with_the_way_out(make, said, remedy):
    with pytest.raises(NotApplicableError, match=said):
        hw.apply(make(), remedy)


def test_distributed_model_is_refused_and_its_module_is_not(tmp_path):
    model = distributed(tmp_path)
    try:
        with pytest.raises(
            NotApplicableError, match=r"DistributedDataParallel.*model\.module, and wrap what comes back"
        ):
            hw.apply(model, "init.he")
        assert isinstance(hw.apply(model.module, "activation.relu")[1], nn.ReLU)
    finally:
        torch.distributed.destroy_process_group()


def test_compiled_models_module_is_repaired():
    assert isinstance(hw.apply(torch.compile(mlp())._orig_mod, "activation.relu")[1], nn.ReLU)


def weight_normed() -> nn.Module:
    model = mlp()
    parametrizations.weight_norm(model[2])
    return model


def spectrally_normed() -> nn.Module:
    model = mlp()
    parametrizations.spectral_norm(model[2])
    return model


def weight_normed_the_old_way() -> nn.Module:
    model = mlp()
    nn.utils.weight_norm(model[2])
    return model


def pruned() -> nn.Module:
    model = mlp()
    prune.l1_unstructured(model[2], "weight", amount=0.5)
    return model


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("make", [weight_normed, spectrally_normed, weight_normed_the_old_way, pruned])
def test_layers_whose_weight_is_computed_are_left_alone_and_the_rest_is_not(make):
    model = make()
    model(torch.randn(2, 4)).sum().backward()  # hooks leave a weight with a graph behind
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    state = {name: b.clone() for name, b in model.named_buffers()}
    for remedy in ("init.he", "init.orthogonal", "init.critical"):
        drawn = dict(hw.apply(model, remedy).named_parameters())
        kept = {name for name, p in before.items() if torch.equal(p, drawn[name])}
        assert {name for name in before if name.startswith("2.") and name != "2.bias"} <= kept
        assert not {"0.weight", "4.weight"} & kept
    for remedy in ("structure.rezero", "structure.prenorm", "activation.relu", "normalisation.layer"):
        repaired = hw.apply(model, remedy)
        x: Tensor = torch.randn(6, 4)
        repaired(x).square().mean().backward()
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
        assert all(torch.equal(b, state[name]) for name, b in model.named_buffers())
