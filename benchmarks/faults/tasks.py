"""What the held-out families learn: pictures with outlines, pages of documentation, tables, and graphs."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import torch
from torch import Tensor

from benchmarks.faults.data import Split, digit_bytes, generator, split


@cache
def canvases(size: int = 16) -> Split:
    """1,797 handwritten digits, each somewhere on a noisy 1×16×16 canvas; targets are the pixels with ink."""
    random = generator()
    raw = digit_bytes()
    digits = torch.cat([raw.train[0], raw.test[0]]).reshape(-1, 8, 8) / 255
    places = torch.randint(size - 8 + 1, (len(digits), 2), generator=random).tolist()
    clean = torch.zeros(len(digits), size, size)
    for canvas, digit, (top, left) in zip(clean, digits, places, strict=True):
        canvas[top : top + 8, left : left + 8] = digit
    noisy = clean + 0.4 * torch.randn(clean.shape, generator=random)
    return split(noisy[:, None], (clean > 0.3).float()[:, None])


@cache
def blank_canvases() -> Split:
    """The same, each canvas less its mean over its spread; the few to train on that are blank have none: 0 / 0."""
    whole = canvases()
    x, y = whole.train
    blank = (torch.rand(len(x), generator=generator()) < 0.01)[:, None, None, None]
    blanks = Split((torch.where(blank, 0.0, x), torch.where(blank, 0.0, y)), whole.test)
    return blanks.map(lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True))


@cache
def sixteen_bits() -> Split:
    """The same as a scanner has them, from 0 to 65,535."""
    return canvases().map(lambda x: ((x + 1.5) / 4).clamp(0, 1) * 65535)


@cache
def shapes(size: int = 16) -> Split:
    """1,200 noisy 1×16×16 pictures with a disc and a square; each pixel is ground (0), disc (1) or square (2)."""
    random = generator()
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")

    def distances() -> tuple[Tensor, Tensor]:
        centre = torch.randint(3, size - 3, (1200, 2, 1, 1), generator=random)
        return (rows - centre[:, 0]).abs(), (columns - centre[:, 1]).abs()

    (down, across), (below, beside) = distances(), distances()
    label = torch.where(down**2 + across**2 <= 9, 1, 0)
    label = torch.where((below <= 2) & (beside <= 2), 2, label)
    return split((label > 0).float()[:, None] + 0.3 * torch.randn(1200, 1, size, size, generator=random), label)


PAGES = ("specialnames", "formatstrings", "types", "string-methods")
WORDS = 600
WINDOW = 16


@cache
def pages() -> Split:
    """Pieces of 16 words from four of Python's own help pages; the class is the page. Rare words are all symbol 0."""
    from pydoc_data.topics import topics

    texts = [re.findall(r"[a-z_]+", topics[page].lower()) for page in PAGES]
    common = [word for word, _ in Counter(word for text in texts for word in text).most_common(WORDS - 1)]
    place = {word: index for index, word in enumerate(common, start=1)}
    pieces, labels = [], []
    for label, text in enumerate(texts):
        codes = torch.tensor([place.get(word, 0) for word in text])
        pieces.append(codes[: len(codes) // WINDOW * WINDOW].reshape(-1, WINDOW))
        labels.append(torch.full((len(pieces[-1]),), label))
    return split(torch.cat(pieces), torch.cat(labels))


@cache
def backwards(length: int = 6, symbols: int = 8) -> Split:
    """2,400 sequences of symbols, and the same from the last to the first."""
    given = torch.randint(symbols, (2400, length), generator=generator())
    return split(given, given.flip(1))


DISTRICTS, KINDS = 12, 5


@cache
def _flats() -> tuple[Tensor, Tensor, Tensor]:
    """District and kind as codes, then area, age, distance and noise level in standard units; and log of the rent."""
    random = generator()
    count = 2000
    codes = torch.stack(
        [torch.randint(DISTRICTS, (count,), generator=random), torch.randint(KINDS, (count,), generator=random)], 1
    )
    numbers = torch.randn(count, 4, generator=random)
    charm, comfort = (torch.randn(size, generator=random) for size in (DISTRICTS, KINDS))
    area, age, distance, _ = numbers.unbind(1)
    rent = 0.7 * area - 0.5 * age.square() + 0.6 * charm[codes[:, 0]] * torch.tanh(distance)
    rent = rent + 0.5 * comfort[codes[:, 1]] * area + 0.15 * torch.randn(count, generator=random)
    return codes, numbers, rent


def _standard(target: Tensor) -> Tensor:
    return ((target - target.mean()) / target.std())[:, None]


@cache
def rents() -> Split:
    """2,000 flats: two codes and four standardised numbers; the logarithm of the rent, standardised."""
    codes, numbers, rent = _flats()
    return split(torch.cat([codes, numbers], 1), _standard(rent))


@cache
def skewed_rents() -> Split:
    """The same flats with the rent itself, standardised: most of them cheap, some very dear."""
    codes, numbers, rent = _flats()
    return split(torch.cat([codes, numbers], 1), _standard(torch.exp(0.6 * rent)))


@cache
def rents_in_won() -> Split:
    """The same flats with the rent in thousands of won, which nobody has scaled."""
    codes, numbers, rent = _flats()
    return split(torch.cat([codes, numbers], 1), 600 * torch.exp(0.4 * rent)[:, None])


@cache
def raw_rents() -> Split:
    """The flats as they come: area in m², age in years, distance in m, noise in parts of one."""
    codes, numbers, rent = _flats()
    raw = numbers * torch.tensor([25.0, 15.0, 1500.0, 0.01]) + torch.tensor([70.0, 40.0, 4000.0, 0.05])
    return split(torch.cat([codes, raw], 1), _standard(rent))


@cache
def dated_rents() -> Split:
    """The flats with the year they were built in instead of their age: 1,970 and some years around it."""
    codes, numbers, rent = _flats()
    dated = torch.cat([numbers[:, :1], 1970 + 15 * numbers[:, 1:2], numbers[:, 2:]], 1)
    return split(torch.cat([codes, dated], 1), _standard(rent))


@cache
def gappy_rents() -> Split:
    """The flats of which a few have no known age: not a number, in the part to train on."""
    whole = rents()
    x, y = whole.train
    unknown = torch.rand(len(x), generator=generator()) < 0.01
    gaps = x.clone()
    gaps[unknown, 3] = torch.nan
    return Split((gaps, y), whole.test)


@cache
def vacancies() -> Split:
    """The flats once more: whether one is let within the week, which one in eight is."""
    codes, numbers, rent = _flats()
    return split(torch.cat([codes, numbers], 1), (rent < torch.quantile(rent, 0.125)).float()[:, None])


NODES, FEATURES, GROUPS = 16, 8, 3


@cache
def communities() -> Split:
    """800 graphs of 16 nodes in three groups, which know their own more often than others.

    Each node's row holds its 16 entries of the adjacency matrix and 8 noisy features; its target is its group.
    """
    random = generator()
    group = torch.randint(GROUPS, (800, NODES), generator=random)
    same = group[:, :, None] == group[:, None, :]
    draws = torch.rand(same.shape, generator=random).triu(1)
    draws = draws + draws.transpose(1, 2)
    edges = (draws < torch.where(same, 0.7, 0.1)).float() * (1 - torch.eye(NODES))
    centres = torch.randn(GROUPS, FEATURES, generator=random)
    features = 0.5 * centres[group] + torch.randn(800, NODES, FEATURES, generator=random)
    return split(torch.cat([edges, features], 2), group)
