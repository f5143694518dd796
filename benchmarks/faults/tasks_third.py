"""What the third held-out families learn: flowers, clouds of points, spoken symbols, fields, months, molecules."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.faults.data import Split, digits, generator, split, standardised

# Tables


@cache
def iris() -> Split:
    """150 irises of three kinds with four measures, standardised (Fisher 1936, as in scikit-learn)."""
    from sklearn.datasets import load_iris

    flowers = load_iris()
    given = split(torch.tensor(flowers.data, dtype=torch.float32), torch.tensor(flowers.target))
    return standardised(given)


def off_by_one(given: Split, share: float, classes: int) -> Split:
    """With that share of the training labels one class further, as a join of two files that slipped leaves them."""
    x, y = given.train
    slipped = torch.rand(len(y), generator=generator()) < share
    return Split((x, torch.where(slipped, (y + 1) % classes, y)), given.test)


def holes(given: Split, share: float = 0.01) -> Split:
    """With a few training inputs that are not a number."""
    x, y = given.train
    missing = torch.rand(x.shape, generator=generator()) < share
    return Split((torch.where(missing, torch.nan, x), y), given.test)


def retargeted(given: Split, factor: float, shift: float = 0.0) -> Split:
    """With targets in other units."""
    (x, y), (a, b) = given.train, given.test
    return Split((x, factor * y + shift), (a, factor * b + shift))


# Clouds of points

POINTS = 20


@cache
def clouds() -> Split:
    """1,500 clouds of 20 points in the plane, anywhere and of any size: on a circle, a square, a cross or two lines."""
    random = generator()
    count = 1500
    label = torch.randint(4, (count,), generator=random)
    along = 2 * torch.rand(count, POINTS, generator=random) - 1
    side = torch.randint(4, (count, POINTS), generator=random)
    circle = torch.stack([(math.pi * along).cos(), (math.pi * along).sin()], 2)
    edge = torch.where(side % 2 == 0, 1.0, -1.0)
    square = torch.where((side < 2)[..., None], torch.stack([along, edge], 2), torch.stack([edge, along], 2))
    cross = torch.where((side < 2)[..., None], torch.stack([along, along], 2), torch.stack([along, -along], 2))
    lines = torch.stack([along, edge], 2)
    forms = torch.stack([circle, square, cross, lines], 1)[torch.arange(count), label]
    size = 0.7 + 0.6 * torch.rand(count, 1, 1, generator=random)
    place = 0.3 * torch.randn(count, 1, 2, generator=random)
    return split(size * forms + place + 0.06 * torch.randn(forms.shape, generator=random), label)


@cache
def spreads() -> Split:
    """2,000 sets of 20 numbers of any mean and spread; the target is the logarithm of the spread, standardised."""
    random = generator()
    log = 0.5 * torch.randn(2000, 1, generator=random)
    numbers = log.exp() * torch.randn(2000, POINTS, generator=random) + torch.randn(2000, 1, generator=random)
    return split(numbers[..., None], log / 0.5)


# Spoken symbols

SPOKEN, SAID, FRAMES, BANDS = 6, 4, 24, 8


@cache
def spoken() -> Split:
    """1,200 noisy recordings of four symbols each: 24 frames of 8 bands, symbols of any length; 0 is silence.

    A target is the four symbols, 1 to 6; two alike never follow each other.
    """
    random = generator()
    count = 1200
    steps = torch.randint(1, SPOKEN, (count, SAID - 1), generator=random)
    first = torch.randint(SPOKEN, (count, 1), generator=random)
    symbols = torch.cat([first, first + steps.cumsum(1)], 1) % SPOKEN
    lengths = 3 + torch.randint(3, (count, SAID), generator=random)
    ends = lengths.cumsum(1) + torch.randint(3, (count, 1), generator=random)
    starts = ends - lengths
    frame = torch.arange(FRAMES)[None, :, None]
    within = ((frame >= starts[:, None]) & (frame < ends[:, None])).float()
    voices = torch.randn(SPOKEN, BANDS, generator=random)
    sound = torch.einsum("nfs,nsb->nfb", within, voices[symbols])
    return split(sound + 0.4 * torch.randn(sound.shape, generator=random), symbols + 1)


# Tags

TAGS, LENGTH = 5, 16


@cache
def tags() -> Split:
    """2,000 rows of 16 symbols out of 20; the tag of each depends on it and on what came before, and after, it."""
    random = generator()
    words = torch.randint(20, (2000, LENGTH), generator=random)
    before = F.pad(words, (1, 0))[:, :-1]
    after = F.pad(words, (0, 1))[:, 1:]
    own = torch.randint(TAGS, (20,), generator=random)
    tag = torch.where(before < 6, (own[words] + 1) % TAGS, own[words])
    tag = torch.where((after >= 15) & (words >= 10), 0, tag)
    return split(words, tag)


@cache
def rows_summed() -> Split:
    """2,000 rows of 16 numbers; at each place the target is the mean of those that had a mark so far."""
    random = generator()
    numbers = torch.randn(2000, LENGTH, generator=random)
    marks = (torch.rand(2000, LENGTH, generator=random) < 0.5).float()
    total = (numbers * marks).cumsum(1) / marks.cumsum(1).clamp(min=1).sqrt()
    return split(torch.stack([numbers, marks], 2), total[..., None])


# Fields


@cache
def portrait() -> Split:
    """A drawing of 40×40 pixels: 1,600 places and how dark each is."""
    axis = torch.linspace(-1, 1, 40)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    face = (x.square() + y.square()).sqrt()
    dark = torch.sigmoid(20 * (0.9 - face)) - 0.8 * torch.sigmoid(
        30 * (0.15 - ((x.abs() - 0.35) ** 2 + (y + 0.3) ** 2) ** 0.5)
    )
    dark = dark - 0.6 * torch.sigmoid(30 * (0.08 - (y - 0.35 - 0.4 * x.square()).abs())) * (x.abs() < 0.5)
    dark = dark + 0.2 * torch.sin(9 * x) * torch.cos(7 * y)
    places = torch.stack([x.flatten(), y.flatten()], 1)
    return split(places, (dark.flatten()[:, None] - dark.mean()) / dark.std())


@cache
def operators() -> Split:
    """1,500 functions by 16 of their values, a place, and the integral of the function up to it."""
    random = generator()
    grid = torch.linspace(0, 1, 16)
    parts = torch.randn(1500, 3, generator=random) / torch.tensor([1.0, 2.0, 3.0])
    order = torch.tensor([1.0, 2.0, 3.0])
    values = (parts[:, None] * torch.cos(math.pi * order * grid[:, None])).sum(2)
    place = torch.rand(1500, 1, generator=random)
    integral = (parts * torch.sin(math.pi * order * place) / (math.pi * order)).sum(1, keepdim=True)
    return split(torch.cat([values, place], 1), integral / integral.std())


@cache
def families_of_waves() -> Split:
    """2,000 times a pitch, a phase and a moment, and the wave then: what a network of networks tells."""
    random = generator()
    pitch = 1 + 2 * torch.rand(2000, 1, generator=random)
    phase = 2 * torch.rand(2000, 1, generator=random) - 1
    moment = 2 * torch.rand(2000, 1, generator=random) - 1
    return split(torch.cat([pitch - 2, phase, moment], 1), 1.4 * torch.sin(pitch * moment * 2 + phase))


# Motion

STEPS = 10


@cache
def orbits() -> Split:
    """1,200 starts of a damped oscillator with a cubic spring, and ten later states, 0.3 apart."""
    random = generator()
    state = 3 * torch.rand(1200, 2, generator=random) - 1.5
    path, now = [], state
    for _ in range(STEPS):
        for _ in range(10):
            q, p = now.unbind(1)
            now = now + 0.03 * torch.stack([p, -0.5 * q - 0.5 * q**3 - 0.15 * p], 1)
        path.append(now)
    later = torch.stack(path, 1)
    return split(state, later + 0.01 * torch.randn(later.shape, generator=random))


@cache
def predators() -> Split:
    """1,200 numbers of hares and foxes (logarithms) and ten later ones (Lotka 1925, Volterra 1926)."""
    random = generator()
    state = 0.6 * torch.randn(1200, 2, generator=random)
    path, now = [], state
    for _ in range(STEPS):
        for _ in range(10):
            hares, foxes = now.unbind(1)
            now = now + 0.02 * torch.stack([1 - foxes.exp(), hares.exp() - 1], 1)
        path.append(now)
    later = torch.stack(path, 1)
    return split(state, later + 0.01 * torch.randn(later.shape, generator=random))


# Months

PAST, AHEAD = 24, 6


@cache
def months() -> Split:
    """1,500 series of 24 values with a trend, a season of 12 and noise, and the next six."""
    random = generator()
    time = torch.arange(PAST + AHEAD) / 12
    level, slope, height = (torch.randn(1500, 1, generator=random) for _ in range(3))
    phase = 2 * math.pi * torch.rand(1500, 1, generator=random)
    series = 0.5 * level + 0.4 * slope * time + (0.5 + 0.3 * height) * torch.sin(2 * math.pi * time + phase)
    series = series + 0.1 * torch.randn(series.shape, generator=random)
    return split(series[:, :PAST], series[:, PAST:])


# Molecules

ATOMS, KINDS = 10, 4


@cache
def molecules() -> Split:
    """1,500 random graphs of 10 atoms of four kinds; is there a bond between a 0 and a 1 and none between 2 and 3?

    A row holds the bonds (10 of them per atom) and the kind of each atom, one-hot; the class is how many of four ranges
    the number of bonds between atoms of different kinds is in.
    """
    random = generator()
    kind = torch.randint(KINDS, (1500, ATOMS), generator=random)
    dense = 0.1 + 0.4 * torch.rand(1500, 1, 1, generator=random)
    bonds = (torch.rand(1500, ATOMS, ATOMS, generator=random) < dense).float().triu(1)
    bonds = bonds + bonds.mT
    mixed = (bonds * (kind[:, :, None] != kind[:, None, :])).sum((1, 2)) / 2
    label = torch.bucketize(mixed, torch.quantile(mixed, torch.tensor([0.25, 0.5, 0.75])))
    return split(torch.cat([bonds, F.one_hot(kind, KINDS).float()], 2), label)


@cache
def boiling() -> Split:
    """The same graphs, and a number that depends on each atom's kind and on its neighbours', standardised."""
    whole = molecules()
    random = generator()
    pull = torch.randn(KINDS, KINDS, generator=random)
    own = torch.randn(KINDS, generator=random)

    def told(x: Tensor) -> Tensor:
        bonds, kind = x.split([ATOMS, KINDS], 2)
        return ((kind @ own).sum(1) + ((kind @ pull @ kind.mT) * bonds).sum((1, 2)) / 4)[:, None]

    (x, _), (a, _) = whole.train, whole.test
    y, b = told(x), told(a)
    return Split((x, (y - y.mean()) / y.std()), (a, (b - y.mean()) / y.std()))


# What is rare


@cache
def fraud() -> Split:
    """3,000 payments with eight features, 1 in 12 of them fraud: in a shell around a place, which no line parts."""
    random = generator()
    x = torch.randn(3000, 8, generator=random)
    distance = (x[:, :3] - torch.tensor([0.8, -0.6, 0.4])).norm(dim=1) + 0.1 * torch.randn(3000, generator=random)
    return split(x, (distance < torch.quantile(distance, 1 / 12)).float()[:, None])


@cache
def long_tail() -> Split:
    """The digits, of which the higher ones are rarer to train on: a tenth of the 9s are left."""
    whole = digits()
    x, y = whole.train
    kept = torch.rand(len(y), generator=generator()) < 0.1 ** (y / 9)
    return Split((x[kept], y[kept]), whole.test)


@cache
def never_seen(digit: int = 4) -> Split:
    """The digits without one of them to train on; targets of those held out are 1 for it, and all of it is held out."""
    (x, y), (a, b) = digits().train, digits().test
    new = y == digit
    target = torch.cat([b, y[new]]).eq(digit).float()
    return Split((x[~new], torch.zeros(int((~new).sum()))), (torch.cat([a, x[new]]), target))


# How long it takes


@cache
def stays() -> Split:
    """2,000 patients with six features, how long they stayed, and whether the end was seen; a column each."""
    random = generator()
    x = torch.randn(2000, 6, generator=random)
    risk = 0.9 * x[:, 0] - 0.7 * x[:, 1].square() + 0.8 * torch.tanh(2 * x[:, 2])
    time = -(1 - torch.rand(2000, generator=random)).log() * (-risk).exp()
    censored = -(1 - torch.rand(2000, generator=random)).log() * 3.0
    return split(x, torch.stack([torch.minimum(time, censored), (time <= censored).float()], 1))


@cache
def claims() -> Split:
    """2,000 claims with six features and their size, which is skewed: Gamma around a mean that the features tell."""
    random = generator()
    x = torch.randn(2000, 6, generator=random)
    mean = (0.8 * x[:, 0] + 0.7 * torch.sin(2 * x[:, 1]) + 0.5 * x[:, 2] * x[:, 3]).exp()
    exact = -(1 - torch.rand(2000, 4, generator=random)).log().sum(1) / 4
    return split(x, (mean * exact)[:, None])


@cache
def two_ways() -> Split:
    """1,500 numbers and another that is one of two functions of each: no single answer is right."""
    random = generator()
    x = 4 * torch.rand(1500, 1, generator=random) - 2
    up = (torch.rand(1500, 1, generator=random) < 0.5).float() * 2 - 1
    return split(x, up * (1 + 0.5 * torch.sin(2 * x)) + 0.1 * torch.randn(1500, 1, generator=random))
