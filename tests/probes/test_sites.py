"""Sites: names, execution order, calls, kinds; functions and modules alike, each operation once."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from headwater.probes.measure import measure
from headwater.records import Flow
from tests.cases import ACTIVATIONS, CASES, BatchNormCNN, cross_entropy, images, plain_mlp, tokens, vectors


def measured(case: str) -> Flow:
    torch.set_num_threads(1)
    return measure(*CASES[case].make())


def names(flow: Flow) -> list[str]:
    return [row.site.name for row in flow.sites]


def kinds(flow: Flow) -> dict[str, str]:
    return {row.site.name: row.site.kind for row in flow.sites}


EXPECTED = {
    "mlp-shallow": ["0", "1", "2"],
    "linear": ["Linear"],
    "cnn-functional": ["conv1", "relu#1", "conv2", "relu#2", "head"],
    "methods": ["layer.value", "layer/tanh#1", "layer.gate", "layer/sigmoid#1", "relu#1", "head"],
    "shared": ["mix#1", "act#1", "mix#2", "act#2", "head"],
    "tied": ["embed", "hidden", "gelu#1", "head"],
    "lstm": ["embed", "lstm", "head"],
    "cell-loop": ["cell#1", "cell#2", "cell#3", "head"],
    "attention": ["embed", "attention", "head"],
    "structured": ["pair", "relu#1", "named", "record"],
    "keyword-only": ["layer", "tanh#1", "head"],
    "unused-head": ["body", "relu#1", "used"],
    "dropout": ["0", "1", "2", "3"],
    "weight-norm": ["0", "1", "2", "3", "4"],
    "spectral-norm": ["0", "1", "2", "3", "4"],
}


@pytest.mark.parametrize("case", EXPECTED)
def test_sites_are_named_in_execution_order(case: str) -> None:
    flow = measured(case)
    assert names(flow) == EXPECTED[case]
    assert [row.site.order for row in flow.sites] == list(range(len(flow.sites)))


@pytest.mark.parametrize("case", CASES)
def test_site_names_are_unique_and_lead_back_to_modules(case: str) -> None:
    model, batch, loss = CASES[case].make()
    flow = measure(model, batch, loss)
    modules = dict(model.named_modules())
    parameters = dict(model.named_parameters(remove_duplicate=False))
    assert len(set(names(flow))) == len(flow.sites)
    for row in flow.sites:
        assert row.site.module in modules
        assert set(row.site.parameters) <= set(parameters)
        assert row.site.functional == ("/" in row.site.name or (row.site.module == "" and "#" in row.site.name))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_module_is_one_site(activation: str) -> None:
    """nn.ReLU calls F.relu: that is the same operation."""
    flow = measure(plain_mlp(activation), vectors(), cross_entropy)
    assert names(flow) == ["0", "1", "2", "3", "4"]
    assert [row.site.activation for row in flow.sites] == [None, activation, None, activation, None]


def test_kinds_are_told_apart() -> None:
    assert kinds(measured("cnn-batchnorm")) == {
        "0": "affine",
        "1": "normalization",
        "2": "activation",
        "3": "pooling",
        "4": "affine",
        "5": "normalization",
        "6": "activation",
        "7": "pooling",
        "8": "other",
        "9": "affine",
    }
    assert kinds(measured("lstm")) == {"embed": "embedding", "lstm": "recurrent", "head": "affine"}
    assert kinds(measured("attention"))["attention"] == "attention"
    assert kinds(measured("gpt2"))["transformer.h.0.attn.c_attn"] == "affine"
    assert kinds(measured("weight-norm"))["0"] == "affine"


def test_activation_of_a_transformer_layer_is_a_site() -> None:
    """nn.TransformerEncoderLayer calls F.relu itself, in torch's own code."""
    flow = measured("transformer-pre-norm")
    found = [row.site.name for row in flow.sites if row.site.kind == "activation"]
    assert found == ["blocks.0/relu#1", "blocks.1/relu#1"]


def test_activation_of_hugging_face_is_one_site() -> None:
    """NewGELUActivation computes its formula with torch.tanh, which is no site of its own."""
    flow = measured("gpt2")
    found = [(row.site.name, row.site.activation) for row in flow.sites if row.site.kind == "activation"]
    assert found == [("transformer.h.0.mlp.act", "gelu_tanh"), ("transformer.h.1.mlp.act", "gelu_tanh")]


FUNCTIONS = {
    "relu": lambda x: F.relu(x),
    "relu_": lambda x: (x * 1).relu_(),
    "torch.relu": lambda x: torch.relu(x),
    "F.relu(inplace)": lambda x: F.relu(x * 1, inplace=True),
    "torch.relu_": lambda x: torch.relu_(x * 1),
    "F.sigmoid": lambda x: F.sigmoid(x),
    "torch.sigmoid": lambda x: torch.sigmoid(x),
    "x.sigmoid": lambda x: x.sigmoid(),
    "torch.special.expit": lambda x: torch.special.expit(x),
    "F.tanh": lambda x: F.tanh(x),
    "x.tanh_": lambda x: (x * 1).tanh_(),
    "F.leaky_relu": lambda x: F.leaky_relu(x, 0.3),
    "F.leaky_relu(named)": lambda x: F.leaky_relu(x, negative_slope=0.3),
    "F.elu": lambda x: F.elu(x, alpha=0.5),
    "F.selu": lambda x: F.selu(x),
    "F.gelu": lambda x: F.gelu(x),
    "F.gelu(tanh)": lambda x: F.gelu(x, approximate="tanh"),
    "F.silu": lambda x: F.silu(x),
    "F.mish": lambda x: F.mish(x),
    "F.relu6": lambda x: F.relu6(x),
    "F.hardtanh": lambda x: F.hardtanh(x, -0.5, 0.5),
    "F.softplus": lambda x: F.softplus(x, 2.0),
    "F.softsign": lambda x: F.softsign(x),
    "F.prelu": lambda x: F.prelu(x, torch.tensor(0.3)),
}


class Applies(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.first, self.head, self.function = nn.Linear(8, 8), nn.Linear(8, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.first(x)))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_is_a_site_with_the_derivative_autograd_applies(function: str) -> None:
    torch.manual_seed(0)
    model, batch = Applies(FUNCTIONS[function]), vectors()
    flow = measure(model, batch, cross_entropy)
    assert len(flow.sites) == 3
    row = flow.sites[1]
    assert row.site.kind == "activation"
    assert row.site.functional
    x = model.first(batch[0]).detach().double().requires_grad_()
    function_of = FUNCTIONS[function] if function != "F.prelu" else lambda x: F.prelu(x, torch.tensor(0.3).double())
    (slope,) = torch.autograd.grad(function_of(x).sum(), x)
    assert row.derivative_rms == pytest.approx(float(slope.square().mean().sqrt()), rel=1e-6)


def test_frozen_layer_and_unused_head_are_told_from_zero_gradient() -> None:
    flow = measured("frozen")
    assert flow.site("0").activation_grad is None
    assert flow.site("0").grad_rms is None
    assert flow.site("4").activation_grad is not None
    unused = next(p for p in measured("unused-head").parameters if p.name == "unused.weight")
    assert unused.grad is None


def test_tied_weights_are_one_parameter_with_both_names() -> None:
    flow = measured("tied")
    (tied,) = [p for p in flow.parameters if "embed.weight" in (p.name, *p.aliases)]
    assert {tied.name, *tied.aliases} == {"embed.weight", "head.weight"}
    assert flow.site("embed").grad_rms == flow.site("head").grad_rms == tied.grad_rms


def test_tuple_dictionary_and_dataclass_outputs_are_measured() -> None:
    flow = measured("structured")
    for name, shape in {"pair": (64, 8), "named": (64, 8), "record": (64, 3)}.items():
        assert flow.site(name).site.shape == shape
        assert flow.site(name).activation_grad is not None
    assert measured("keyword-only").site("layer").input is not None


def test_in_place_and_out_of_place_measure_the_same() -> None:
    flows = []
    for inplace in (True, False):
        torch.manual_seed(0)
        flows.append(measure(BatchNormCNN(inplace), images(), cross_entropy))
    assert flows[0].rows() == flows[1].rows()
    assert flows[0].parameters == flows[1].parameters
    assert flows[0].path == flows[1].path


def test_module_that_is_the_model_itself_has_a_name() -> None:
    assert names(measured("linear")) == ["Linear"]


def test_sites_inside_checkpointing_are_counted_once() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = plain_mlp("tanh", outputs=8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(checkpoint(self.body, x, use_reentrant=False))

    torch.manual_seed(0)
    model, batch = Checkpointed(), vectors()
    flow = measure(model, batch, cross_entropy)
    assert names(flow) == ["body.0", "body.1", "body.2", "body.3", "body.4", "head"]
    plain = measure(nn.Sequential(*model.body, model.head), batch, cross_entropy)
    for row, expected in zip(flow.sites, plain.sites, strict=True):
        assert row.activation_grad is not None
        assert expected.activation_grad is not None
        assert row.activation_grad.rms == pytest.approx(expected.activation_grad.rms, rel=1e-6)


def test_exception_caught_inside_the_model_leaves_the_order_right() -> None:
    class Falls(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no fast way")

    class Catches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fast, self.slow, self.head = nn.Sequential(nn.Linear(8, 8), Falls()), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.fast(x)
            except RuntimeError:
                x = torch.tanh(self.slow(x))
            return self.head(x)

    assert names(measure(Catches(), vectors(), cross_entropy)) == ["fast.0", "slow", "tanh#1", "head"]


def test_compiled_model_has_the_names_of_the_original() -> None:
    torch.manual_seed(0)
    model, batch = plain_mlp("tanh"), vectors()
    flow = measure(torch.compile(model, backend="eager"), batch, cross_entropy)
    assert names(flow) == ["0", "1", "2", "3", "4"]
    assert [p.name for p in flow.parameters][:2] == ["0.weight", "0.bias"]


@pytest.mark.parametrize("shape", [(0, 8), (1, 8)])
def test_empty_and_single_sample_batches_give_no_exception(shape: tuple[int, int]) -> None:
    flow = measure(plain_mlp(), torch.randn(shape), lambda m, b: m(b).sum())
    assert flow.samples == shape[0]
    assert flow.sites[1].dead_fraction is None or shape[0]
    assert flow.sites[0].abs_cosine is None


def test_outputs_without_features_give_no_exception() -> None:
    class Narrow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:, :0]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.linear = Narrow(), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            self.narrow(x)
            return self.linear(x)

    assert measure(Model(), vectors(), cross_entropy).site("narrow").activation.count == 0


def test_user_class_under_a_parametrisation_keeps_its_functions() -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ self.weight)

    layer = parametrizations.weight_norm(Layer())
    flow = measure(nn.Sequential(layer, nn.Linear(8, 3)), vectors(), cross_entropy)
    assert names(flow) == ["0/relu#1", "0", "1"]
    assert [row.site.op for row in flow.sites] == ["relu", "Layer", "Linear"]


def test_spectral_norm_called_twice_takes_as_many_power_iterations_as_unmeasured() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = parametrizations.spectral_norm(nn.Linear(8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.mix(torch.tanh(self.mix(x)))

    torch.manual_seed(0)
    model, x = Twice(), torch.randn(16, 8)
    flow = measure(model, x, lambda m, b: m(b).square().mean())
    assert flow.loss == float(model(x).square().mean().detach())


def test_model_that_is_checked_on_tokens_has_no_input_moments() -> None:
    model, batch, loss = CASES["lstm"].make()
    flow = measure(model, (tokens()[0], batch[1]), loss)
    assert flow.site("embed").input is None
    assert flow.site("embed").forward_gain is None


def test_attention_owns_the_projection_it_multiplies_by_itself() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    flow = measure(attention, torch.randn(4, 3, 8), lambda m, x: m(x, x, x)[0].square().mean())
    (row,) = flow.sites
    assert set(row.site.parameters) == {name for name, _ in attention.named_parameters()}


def test_units_are_where_the_last_affine_map_of_that_rank_put_them() -> None:
    class SqueezeExcite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.gate, self.act = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 8), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return self.act(x * torch.sigmoid(self.gate(x.mean(dim=(2, 3))))[:, :, None, None])

    flow = measure(SqueezeExcite(), torch.randn(4, 1, 10, 12), lambda m, x: m(x).square().mean())
    assert flow.site("act").units == 8


def test_class_of_the_users_own_is_not_taken_for_the_function_it_is_named_after() -> None:
    class Tanh(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1.7159 * torch.tanh(2 * x / 3)

    flow = measure(nn.Sequential(nn.Linear(4, 4), Tanh()), torch.randn(8, 4), lambda m, x: m(x).square().mean())
    assert [row.site.name for row in flow.sites] == ["0", "1/tanh#1", "1"]
    assert flow.site("1").site.activation is None
