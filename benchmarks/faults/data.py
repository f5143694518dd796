"""What the programs learn: scikit-learn's real data sets, Python's own documentation, and tasks that are generated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from headwater.demo import digits as standard_digits

SPLIT_SEED = 0
TRAIN_SHARE = 0.8


@dataclass(frozen=True)
class Split:
    """Inputs and targets to train on, and others held out."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    def map(self, change) -> Split:
        """The same with ``change(inputs)`` for inputs."""
        (x, y), (a, b) = self.train, self.test
        return Split((change(x), y), (change(a), b))

    def first(self, samples: int) -> Split:
        """With so many samples to train on; what is held out stays."""
        x, y = self.train
        return replace(self, train=(x[:samples], y[:samples]))

    def noisy(self, share: float, classes: int) -> Split:
        """With that share of the training labels drawn anew."""
        x, y = self.train
        random = generator()
        wrong = torch.rand(len(y), generator=random) < share
        drawn = torch.randint(classes, y.shape, generator=random)
        mask = wrong.reshape(-1, *[1] * (y.dim() - 1))
        return replace(self, train=(x, torch.where(mask, drawn, y)))

    def shuffled_targets(self) -> Split:
        """With the training targets in another order than their inputs."""
        x, y = self.train
        return replace(self, train=(x, y[torch.randperm(len(y), generator=generator())]))


def generator() -> torch.Generator:
    """The data are the same in every run; only the weights, the order and the noise change with the seed."""
    return torch.Generator().manual_seed(SPLIT_SEED)


def split(x: Tensor, y: Tensor) -> Split:
    """80 : 20, at random."""
    order = torch.randperm(len(x), generator=generator())
    cut = int(TRAIN_SHARE * len(x))
    train, test = order[:cut], order[cut:]
    return Split((x[train], y[train]), (x[test], y[test]))


def standardised(given: Split) -> Split:
    """Inputs less their mean over their spread, feature by feature, both of the training part."""
    mean, spread = given.train[0].mean(0), given.train[0].std(0).clamp(min=1e-3)
    return given.map(lambda x: (x - mean) / spread)


@cache
def digits() -> Split:
    """1,797 handwritten 8×8 digits as 64 standardised pixels, 10 classes (UCI, as in scikit-learn)."""
    return Split(*standard_digits())


@cache
def digit_bytes() -> Split:
    """The digits with pixels from 0 to 255, as image files have them."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return split(torch.tensor(data.data, dtype=torch.float32) * (255 / 16), torch.tensor(data.target))


@cache
def images() -> Split:
    """The digits as 1×8×8 images, standardised as a whole."""
    raw = digit_bytes()
    mean, spread = raw.train[0].mean(), raw.train[0].std()
    return raw.map(lambda x: ((x - mean) / spread).reshape(-1, 1, 8, 8))


@cache
def image_bytes() -> Split:
    """The digits as 1×8×8 images from 0 to 255."""
    return digit_bytes().map(lambda x: x.reshape(-1, 1, 8, 8))


@cache
def rows() -> Split:
    """The digits as sequences of 8 rows of 8 pixels."""
    return images().map(lambda x: x[:, 0])


@cache
def row_bytes() -> Split:
    """The same from 0 to 255."""
    return image_bytes().map(lambda x: x[:, 0])


@cache
def patches() -> Split:
    """The digits as 16 patches of 2×2 pixels."""
    return images().map(_patches)


@cache
def patch_bytes() -> Split:
    """The same from 0 to 255."""
    return image_bytes().map(_patches)


def _patches(x: Tensor) -> Tensor:
    return x.unfold(2, 2, 2).unfold(3, 2, 2).reshape(len(x), 16, 4)


@cache
def low_digits() -> Split:
    """The digits 0 to 4: what a backbone is trained on first."""
    return _classes(range(5), 0)


@cache
def high_digits() -> Split:
    """The digits 5 to 9 as classes 0 to 4: what it is then adapted to."""
    return _classes(range(5, 10), 5)


def _classes(kept: range, less: int) -> Split:
    def only(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mask = (y >= kept.start) & (y < kept.stop)
        return x[mask], y[mask] - less

    whole = digits()
    return Split(only(*whole.train), only(*whole.test))


@cache
def cancer_raw() -> Split:
    """569 tumours, 30 features on scales from 0.001 to 4,000; benign or not (Wisconsin, as in scikit-learn)."""
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    return split(torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target, dtype=torch.float32)[:, None])


@cache
def cancer() -> Split:
    """The same, standardised."""
    return standardised(cancer_raw())


@cache
def wine_raw() -> Split:
    """178 wines, 13 features on scales from 0.1 to 1,700, 3 growers (UCI, as in scikit-learn)."""
    from sklearn.datasets import load_wine

    data = load_wine()
    return split(torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target))


@cache
def wine() -> Split:
    """The same, standardised."""
    return standardised(wine_raw())


@cache
def diabetes() -> Split:
    """442 patients, 10 features, progression after a year as a standardised number (Efron et al. 2004)."""
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    target = torch.tensor(data.target, dtype=torch.float32)
    given = split(torch.tensor(data.data, dtype=torch.float32), ((target - target.mean()) / target.std())[:, None])
    return standardised(given)


@cache
def friedman() -> Split:
    """1,200 points of Friedman's function of 5 out of 10 variables, standardised (Friedman 1991, Breiman 1996)."""
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(n_samples=1200, noise=1.0, random_state=SPLIT_SEED)
    target = torch.tensor(y, dtype=torch.float32)
    given = split(torch.tensor(x, dtype=torch.float32), ((target - target.mean()) / target.std())[:, None])
    return standardised(given)


@cache
def friedman_mixed() -> Split:
    """The same in units that do not go together: variables from thousandths to thousands."""
    units = 10.0 ** torch.linspace(-3, 3.5, 10)
    return friedman().map(lambda x: (x + 3) * units)


@cache
def wave() -> Split:
    """Y = sin 3x on [-3, 3], with a little noise."""
    random = generator()
    x = 6 * torch.rand(1000, 1, generator=random) - 3
    return split(x, torch.sin(3 * x) + 0.05 * torch.randn(1000, 1, generator=random))


@cache
def spirals() -> Split:
    """Two arms that no straight line parts."""
    random = generator()
    turn = torch.rand(1200, generator=random).sqrt() * 1.5 * 2 * math.pi
    arm = torch.randint(2, (1200,), generator=random)
    angle = turn + arm * math.pi
    points = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 5
    return split(points + 0.03 * torch.randn(1200, 2, generator=random), arm)


@cache
def recall(length: int, symbols: int = 4) -> Split:
    """One-hot sequences of noise after a first symbol, which is the class (Hochreiter and Schmidhuber 1997, 5.2)."""
    random = generator()
    tokens = torch.randint(symbols, (2000, length), generator=random)
    x = torch.nn.functional.one_hot(tokens, 2 * symbols).float()
    x[:, 1:] = x[:, 1:].roll(symbols, 2)  # the noise has symbols of its own
    return split(x, tokens[:, 0])


@cache
def adding(length: int) -> Split:
    """Numbers and two marks among them, whose sum is asked for (Hochreiter and Schmidhuber 1997, 5.4)."""
    random = generator()
    numbers = torch.rand(2000, length, generator=random)
    marks = torch.zeros(2000, length)
    half = length // 2
    for where in (
        torch.randint(half, (2000, 1), generator=random),
        half + torch.randint(length - half, (2000, 1), generator=random),
    ):
        marks.scatter_(1, where, 1.0)
    target = (numbers * marks).sum(1, keepdim=True)
    return split(torch.stack([numbers, marks], 2), (target - 1) / 0.41)


@cache
def forecast() -> Split:
    """24 values of a noisy wave of unknown phase and pace, and the next one."""
    random = generator()
    pace = 0.2 + 0.4 * torch.rand(1500, 1, generator=random)
    phase = 2 * math.pi * torch.rand(1500, 1, generator=random)
    series = torch.sin(pace * torch.arange(25) + phase) + 0.05 * torch.randn(1500, 25, generator=random)
    return split(series[:, :-1, None], series[:, -1:])


CONTEXT = 32


@cache
def text() -> Split:
    """Python's own help pages in pieces of 32 characters, with the same one character later as targets."""
    codes, _ = _characters()
    pieces = codes[: len(codes) // (CONTEXT + 1) * (CONTEXT + 1)].reshape(-1, CONTEXT + 1)
    return split(pieces[:, :-1], pieces[:, 1:])


def vocabulary() -> int:
    """Number of characters in the text."""
    return len(_characters()[1])


@cache
def _characters() -> tuple[Tensor, str]:
    from pydoc_data.topics import topics

    page = topics["assignment"] + topics["calls"] + topics["class"] + topics["compound"] + topics["exprlists"]
    letters = "".join(sorted(set(page)))
    place = {letter: index for index, letter in enumerate(letters)}
    return torch.tensor([place[letter] for letter in page]), letters


MASK = 0


@cache
def motifs(length: int = 16, symbols: int = 8) -> Split:
    """Sequences that repeat four symbols, with a fifth of them masked (0); targets are the whole sequences."""
    random = generator()
    motif = 1 + torch.randint(symbols, (2400, 4), generator=random)
    whole = motif.repeat(1, length // 4)
    hidden = torch.rand(whole.shape, generator=random) < 0.2
    return split(torch.where(hidden, MASK, whole), whole)


@cache
def sorting(length: int = 8, symbols: int = 8) -> Split:
    """Sequences of symbols; the class is the one that comes most often."""
    random = np.random.default_rng(SPLIT_SEED)
    favourite = random.integers(symbols, size=2000)
    tokens = random.integers(symbols, size=(2000, length))
    tokens[:, : length // 2] = favourite[:, None]
    tokens = random.permuted(tokens, axis=1)
    return split(torch.tensor(tokens), torch.tensor(favourite))


@cache
def ring() -> Split:
    """2,000 points around eight places on a circle; the targets are not used."""
    random = generator()
    angle = torch.randint(8, (2000,), generator=random) * (math.pi / 4)
    points = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(2000, 2, generator=random)
    return split(points, angle)
