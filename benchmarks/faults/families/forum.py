"""First scripts, with the mistakes that people ask about in forums: written as they are written there.

Several follow questions that were really asked, e.g. layers kept in a plain list, which the optimizer never hears of
(pytorch/pytorch#715, #666), or an LSTM whose cells are not registered (ikostrikov/pytorch-meta-optimizer#11).

Marks, set by task before any training: digits 0.8, tumours 0.88, wines 0.85, waves to be gone on with R² 0.6, diabetes
0.25 (a linear fit has 0.35).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from benchmarks.faults import data, kinds, tasks_third
from benchmarks.faults import tasks_fourth as tasks
from benchmarks.faults.build import (
    binary_accuracy,
    binary_cross_entropy,
    constant,
    explained,
    forgetful,
    probability_accuracy,
    probability_cross_entropy,
    squared_error,
)
from benchmarks.faults.program import Fault
from benchmarks.faults.recipe import healthy_of


class Net(nn.Module):
    """The tutorial's network, for pictures of 8×8."""

    def __init__(self, log_softmax=False, relu_last=False, dropout_last=0.0, nograd_features=False):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 3, padding=1)
        self.conv2 = nn.Conv2d(10, 20, 3, padding=1)
        self.fc1 = nn.Linear(20 * 2 * 2, 50)
        self.fc2 = nn.Linear(50, 10)
        self.dropout = nn.Dropout(dropout_last)
        self.log_softmax = log_softmax
        self.relu_last = relu_last
        self.nograd_features = nograd_features

    def features(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return x.view(-1, 20 * 2 * 2)

    def forward(self, x):
        x = self.features(x)
        if self.nograd_features:
            x = torch.tensor(x.tolist())  # "to get rid of the warning"
        x = F.relu(self.fc1(x))
        x = self.fc2(x)
        if self.relu_last:
            x = F.relu(x)
        x = self.dropout(x)
        if self.log_softmax:
            x = F.log_softmax(x, dim=1)
        return x


class Classifier(nn.Module):
    def __init__(
        self, n_in=13, n_hidden=32, n_out=3, n_layers=2, in_list=False, act="relu", softmax_dim=None, bias=None
    ):
        super().__init__()
        layers = [nn.Linear(n_in if i == 0 else n_hidden, n_hidden) for i in range(n_layers)]
        # a plain list is not seen by .parameters()
        self.hidden = layers if in_list else nn.ModuleList(layers)
        self.out = nn.Linear(n_hidden, n_out)
        self.act = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}[act]
        self.softmax_dim = softmax_dim
        if bias is not None:
            for layer in layers:
                layer.bias.data.fill_(bias)

    def forward(self, x):
        for layer in self.hidden:
            x = self.act(layer(x))
        x = self.out(x)
        if self.softmax_dim is not None:
            x = F.softmax(x, dim=self.softmax_dim)
        return x


class SimpleRNN(nn.Module):
    def __init__(self, hidden=32, kind="lstm", layers=1, detach_each=False, scale=None):
        super().__init__()
        self.rnn = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[kind](1, hidden, layers, batch_first=True)
        self.fc = nn.Linear(hidden, 1)
        self.detach_each = detach_each
        if scale is not None:
            for name, p in self.rnn.named_parameters():
                if "weight" in name:
                    nn.init.normal_(p, 0, scale)

    def forward(self, x):
        out, _ = self.rnn(x)
        out = out[:, -1, :]
        if self.detach_each:
            out = out.data
        return self.fc(out)


class BinaryNet(nn.Module):
    def __init__(self, sigmoid=True, bn=False, width=16):
        super().__init__()
        self.layer_1 = nn.Linear(30, width)
        self.layer_2 = nn.Linear(width, width)
        self.layer_out = nn.Linear(width, 1)
        self.relu = nn.ReLU()
        self.batchnorm1 = nn.BatchNorm1d(width) if bn else nn.Identity()
        self.batchnorm2 = nn.BatchNorm1d(width) if bn else nn.Identity()
        self.sigmoid = sigmoid

    def forward(self, inputs):
        x = self.batchnorm1(self.relu(self.layer_1(inputs)))
        x = self.batchnorm2(self.relu(self.layer_2(x)))
        x = self.layer_out(x)
        return torch.sigmoid(x) if self.sigmoid else x


class Regressor(nn.Module):
    def __init__(self, n_in=10, relu_out=False, depth=2, act=nn.ReLU, dropout=0.0):
        super().__init__()
        self.net = nn.Sequential()
        for i in range(depth):
            self.net.add_module(f"fc{i}", nn.Linear(n_in if i == 0 else 64, 64))
            self.net.add_module(f"act{i}", act())
            self.net.add_module(f"drop{i}", nn.Dropout(dropout))
        self.net.add_module("out", nn.Linear(64, 1))
        if relu_out:
            self.net.add_module("relu", nn.ReLU())

    def forward(self, x):
        return self.net(x)


def nll(model, batch):
    x, y = batch
    return F.nll_loss(model(x), y)


def one_hot_mse(model, batch):
    """Works, more slowly: squared error of one-hot targets."""
    x, y = batch
    return nn.MSELoss()(model(x), F.one_hot(y, 10).float())


def sum_mse(model, batch):
    return nn.MSELoss(reduction="sum")(model(batch[0]), batch[1])


def sgd(lr, **kw):
    return lambda params: optim.SGD([p for p in params if p.requires_grad], lr=lr, **kw)


def adam(lr, **kw):
    return lambda params: optim.Adam([p for p in params if p.requires_grad], lr=lr, **kw)


healthy = healthy_of("forum", network=Net, task=data.images, optimizer=adam(0.003), steps=150, batch_size=64)
TUMOURS = {"network": BinaryNet, "task": data.cancer, "batch_size": 32}
PROBS = {"loss": probability_cross_entropy, "metric": probability_accuracy}
LOGITS = {"loss": binary_cross_entropy, "metric": binary_accuracy, "sigmoid": False}
NUMBERS = {"loss": squared_error, "metric": explained}

tutorial = healthy("tutorial", 0.8, 0.1, log_softmax=True, loss=nll, optimizer=sgd(0.05, momentum=0.9))
tutorial_adam = healthy("tutorial-adam", 0.8, 0.1, dropout_last=0.1)
one_hot = healthy("one-hot-mse", 0.8, 0.1, loss=one_hot_mse, optimizer=adam(0.005))
wine = healthy("wine", 0.85, 0.4, network=Classifier, task=data.wine, batch_size=16, optimizer=adam(0.01))
wine_sgd = healthy(
    "wine-whole", 0.85, 0.4, network=Classifier, task=data.wine, batch_size=999, act="tanh", optimizer=sgd(0.2)
)
listed = healthy(
    "digits-listed", 0.8, 0.1, network=Classifier, task=data.digits, n_in=64, n_out=10, n_hidden=24, n_layers=3
)
tumours = healthy("tumours", 0.88, 0.63, optimizer=adam(0.01), **TUMOURS, **PROBS)
tumours_bn = healthy("tumours-bn", 0.88, 0.63, bn=True, optimizer=adam(0.001, weight_decay=1e-4), **TUMOURS, **LOGITS)
lstm = healthy("lstm", 0.6, 0.0, network=SimpleRNN, task=data.forecast, optimizer=adam(0.01), **NUMBERS)
gru = healthy(
    "gru-two",
    0.6,
    0.0,
    network=SimpleRNN,
    kind="gru",
    layers=2,
    hidden=24,
    task=data.forecast,
    optimizer=adam(0.005),
    **NUMBERS,
)
diabetes = healthy(
    "diabetes",
    0.25,
    0.0,
    network=Regressor,
    task=data.diabetes,
    dropout=0.3,
    optimizer=adam(0.003, weight_decay=1e-3),
    steps=100,
    **NUMBERS,
)

# Logits below 0 are cut off, and with them what would have lifted the right one.
RELU_LAST = Fault(("loss_activation_mismatch", "dead_units", "underfitting"), ("loss_mismatch", "dead_relu"))
# The loss of logarithms, of what is none: it has no floor, and logits run away.
NLL = Fault(
    ("loss_activation_mismatch", "exploding", "nonfinite", "overflow", "lr_too_high", "underfitting"),
    ("loss_mismatch", "learning_rate_high", "numeric_overflow"),
)

PROGRAMS = (
    tutorial,
    tutorial.but("relu-last", RELU_LAST, relu_last=True),
    tutorial.but("no-features", kinds.DETACHED.at("conv1", "conv2"), nograd_features=True),
    tutorial.but("nll-of-logits", NLL, log_softmax=False),
    tutorial_adam,
    tutorial_adam.but("dropout-last", kinds.DROPOUT.at("dropout"), dropout_last=0.95),
    tutorial_adam.but("rate-tenth", kinds.RATE_HIGH, optimizer=adam(0.3)),
    one_hot,
    wine,
    wine_sgd,
    wine_sgd.but("raw", kinds.UNSCALED, task=data.wine_raw),
    listed,
    listed.but("plain-list", kinds.WRONG_PARAMETERS, in_list=True),
    listed.but("zeros", kinds.ZEROS.at("hidden*", "out"), draw=constant(0.0)),
    listed.but("bias-ten", kinds.DEAD_BY_BIAS.at("hidden*"), bias=-10.0),
    tumours,
    tumours_bn,
    tumours_bn.but("holes", kinds.NAN_IN_DATA, task=lambda: tasks_third.holes(data.cancer())),
    lstm,
    lstm.but("data-of-output", kinds.DETACHED.at("rnn"), detach_each=True),
    lstm.but("thousands", kinds.UNSCALED, task=tasks.waves_in_thousands),
    gru,
    gru.but("never-zeroed", kinds.NEVER_ZEROED, optimizer=forgetful(sgd(0.5, momentum=0.5))),
    diabetes,
    diabetes.but("summed", kinds.SUMMED, loss=sum_mse, optimizer=sgd(0.05)),
)
