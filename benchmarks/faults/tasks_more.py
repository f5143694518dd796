"""What the second held-out families learn: sounds, dates, moves, ratings, motion, and several targets at once."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.faults.data import Split, digit_bytes, digits, friedman, generator, split

# Sounds

TIMBRES = 5


@cache
def sounds(length: int = 64) -> Split:
    """1,500 noisy tones as 1×64 samples, of any pitch and phase; the class is the form of their wave."""
    random = generator()
    count = 1500
    label = torch.randint(TIMBRES, (count,), generator=random)
    pitch = 2 + 5 * torch.rand(count, 1, generator=random)
    turns = pitch * torch.linspace(0, 1, length) + torch.rand(count, 1, generator=random)
    part = turns % 1
    sine = torch.sin(2 * math.pi * turns)
    forms = [sine, sine.sign(), 2 * part - 1, 4 * (part - 0.5).abs() - 1, sine * torch.linspace(1, 0, length)]
    wave = torch.stack(forms, 1)[torch.arange(count), label]
    return split((wave + 0.15 * torch.randn(wave.shape, generator=random))[:, None], label)


@cache
def sounds_in_16_bits() -> Split:
    """The same as a recorder has them without a sign, from 0 to 65,535."""
    return sounds().map(lambda x: (x * 16000 + 32768).clamp(0, 65535))


@cache
def silences() -> Split:
    """The same, each less its mean over its spread; a few to train on are silent and have none: 0 / 0."""
    whole = sounds()
    x, y = whole.train
    silent = (torch.rand(len(x), generator=generator()) < 0.01)[:, None, None]
    gaps = Split((torch.where(silent, 0.0, x), y), whole.test)
    return gaps.map(lambda x: (x - x.mean(2, keepdim=True)) / x.std(2, keepdim=True))


@cache
def hum(length: int = 64) -> Split:
    """1,200 sums of two tones with noise as 1×64 samples; the target is what they are without the noise."""
    random = generator()
    pitch = 1 + 5 * torch.rand(1200, 2, 1, generator=random)
    phase = torch.rand(1200, 2, 1, generator=random)
    clean = torch.sin(2 * math.pi * (pitch * torch.linspace(0, 1, length) + phase)).sum(1, keepdim=True)
    return split(clean + 0.7 * torch.randn(clean.shape, generator=random), clean)


LEVELS = 16


@cache
def quantised(length: int = 32) -> Split:
    """1,000 tones in 16 levels: each level, and the one after it."""
    random = generator()
    pitch = 1 + 4 * torch.rand(1000, 1, generator=random)
    turns = pitch * torch.linspace(0, 1, length + 1) + torch.rand(1000, 1, generator=random)
    wave = torch.sin(2 * math.pi * turns) + 0.03 * torch.randn(turns.shape, generator=random)
    codes = ((wave.clamp(-1, 1) + 1) / 2 * (LEVELS - 1)).round().long()
    return split(codes[:, :-1], codes[:, 1:])


# Sequences to sequences

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LETTERS = "^ -" + "0123456789" + "".join(sorted(set("".join(MONTHS))))
DATE = 11


@cache
def dates() -> Split:
    """3,000 dates letter by letter, as "03 nov 1987" and "1987-11-03".

    The inputs are the first, and the second behind a sign that starts it and without its last letter.
    """
    random = generator()
    draws = torch.stack([torch.randint(n, (3000,), generator=random) for n in (28, 12, 100)], 1).tolist()
    place = {letter: index for index, letter in enumerate(LETTERS)}
    given, wanted = [], []
    for day, month, year in draws:
        given.append([place[letter] for letter in f"{day + 1:02d} {MONTHS[month]} {1950 + year}"])
        wanted.append([place[letter] for letter in f"{1950 + year}-{month + 1:02d}-{day + 1:02d}"])
    return _translated(torch.tensor(given), torch.tensor(wanted))


SYMBOLS, ROW = 10, 6


@cache
def rows_in_order() -> Split:
    """3,000 rows of six digits and the same in order, with 10 for the sign that starts the second."""
    given = torch.randint(SYMBOLS, (3000, ROW), generator=generator())
    return _translated(given, given.sort(1).values, start=SYMBOLS)


def _translated(given: Tensor, wanted: Tensor, start: int = 0) -> Split:
    first = torch.full((len(given), 1), start)
    return split(torch.cat([given, first, wanted[:, :-1]], 1), wanted)


# Moves

SIDE, MOVES, DISCOUNT = 5, 4, 0.9
PLACE = 2 * SIDE


@cache
def _best_moves() -> tuple[Tensor, Tensor, Tensor]:
    """Of each place and move on a board: where it leads, its reward, and whether it is among the best ones."""
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    place = torch.stack([row.flatten(), column.flatten()], 1)
    steps = torch.tensor([(-1, 0), (1, 0), (0, -1), (0, 1)])
    after = (place[:, None] + steps).clamp(0, SIDE - 1)
    lead = after[..., 0] * SIDE + after[..., 1]
    goal, pit = SIDE * (SIDE // 2) + SIDE // 2, SIDE + 1
    reward = (lead == goal).float() - (lead == pit).float()
    value = torch.zeros(SIDE * SIDE)
    ended = (lead == goal) | (lead == pit)
    for _ in range(200):
        worth = reward + DISCOUNT * torch.where(ended, 0.0, value[lead])
        value = worth.amax(1)
    return lead, reward, worth > value[:, None] - 1e-4


@cache
def moves() -> Split:
    """4,000 moves at random on a 5×5 board with a goal and a pit.

    A row holds the place (row and column, one of five each), the move, the reward, the place after it in the same way,
    and whether the game is over; the target tells which of the four moves are best there. Only the metric looks at it.
    """
    random = generator()
    lead, reward, best = _best_moves()
    at = torch.randint(SIDE * SIDE, (4000,), generator=random)
    move = torch.randint(MOVES, (4000,), generator=random)
    after = lead[at, move]
    facts = [_seen(at), move[:, None], reward[at, move][:, None], _seen(after), (reward[at, move] != 0)[:, None]]
    return split(torch.cat([fact.float() for fact in facts], 1), best[at].float())


def _seen(at: Tensor) -> Tensor:
    return torch.cat([F.one_hot(at // SIDE, SIDE), F.one_hot(at % SIDE, SIDE)], 1).float()


@cache
def moves_for_points() -> Split:
    """The same with 1,000 points for the goal and for the pit."""

    def change(x: Tensor) -> Tensor:
        x = x.clone()
        x[:, PLACE + 1] *= 1000
        return x

    return moves().map(change)


@cache
def guesses(hints: float = 0.5) -> Split:
    """The digits with a guess at each, drawn at random but for the right ones, and its reward: 1 if right, else 0."""
    random = generator()

    def guessed(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        right = torch.rand(len(y), generator=random) < hints
        guess = torch.where(right, y, torch.randint(10, y.shape, generator=random))
        return torch.cat([x, guess[:, None].float(), (guess == y)[:, None].float()], 1), y

    whole = digits()
    return Split(guessed(*whole.train), guessed(*whole.test))


# Ratings

USERS, ITEMS = 200, 120


@cache
def ratings() -> Split:
    """16,000 ratings of 120 films by 200 people, from three tastes of each, standardised; (person, film) codes."""
    pairs, rating = _ratings()
    return split(pairs, (rating - rating.mean()) / rating.std())


@cache
def ratings_in_percent() -> Split:
    """The same from 0 to 1,000, as some sites have them."""
    pairs, rating = _ratings()
    return split(pairs, (500 + 150 * (rating - rating.mean()) / rating.std()).clamp(0, 1000))


@cache
def likes() -> Split:
    """Whether a rating is above the middle."""
    pairs, rating = _ratings()
    return split(pairs, (rating > rating.median()).float())


def _ratings() -> tuple[Tensor, Tensor]:
    random = generator()
    people, films = (torch.randn(count, 3, generator=random) for count in (USERS, ITEMS))
    mood, fame = (torch.randn(count, generator=random) for count in (USERS, ITEMS))
    pairs = torch.stack([torch.randint(n, (16000,), generator=random) for n in (USERS, ITEMS)], 1)
    person, film = pairs.unbind(1)
    rating = (people[person] * films[film]).sum(1) + 0.7 * mood[person] + 1.0 * fame[film]
    return pairs, (rating + 0.3 * torch.randn(16000, generator=random))[:, None]


# Motion and curves


@cache
def pendulum() -> Split:
    """1,500 angles and momenta of a pendulum, and how fast each of the two changes: p and -sin q."""
    random = generator()
    state = torch.stack([4 * torch.rand(1500, generator=random) - 2, 3 * torch.rand(1500, generator=random) - 1.5], 1)
    pace = torch.stack([state[:, 1], -state[:, 0].sin()], 1)
    return split(state, pace + 0.02 * torch.randn(pace.shape, generator=random))


@cache
def decay() -> Split:
    """1,000 times from 0 to 1, and what a damped spring, let go at 1, is at then: e^(-t) cos 6t.

    Its equation, u'' + 2u' + 37u = 0 with u(0) = 1 and u'(0) = -1, is what a network is trained by.
    """
    time = torch.rand(1000, 1, generator=generator())
    return split(time, torch.exp(-time) * torch.cos(6 * time))


@cache
def heat() -> Split:
    """2,000 places and times of a rod whose ends are cold, and how warm it is: sin πx · e^(-π² t / 10)."""
    random = generator()
    where = torch.rand(2000, 2, generator=random)
    x, time = where.split(1, 1)
    return split(where, torch.sin(math.pi * x) * torch.exp(-(math.pi**2) * time / 10))


@cache
def ripples() -> Split:
    """1,500 places on a square, and the height of crossing waves there."""
    random = generator()
    where = 2 * torch.rand(1500, 2, generator=random) - 1
    x, y = where.split(1, 1)
    return split(where, torch.sin(5 * x) * torch.cos(4 * y) + 0.5 * torch.sin(6 * (x + y)))


# Several targets, and other kinds of them


@cache
def regions() -> Split:
    """1,600 points in four dimensions; another line holds in each quarter of the first two, and the target is on it."""
    random = generator()
    x = torch.randn(1600, 4, generator=random)
    slopes = 1.5 * torch.randn(4, 4, generator=random)
    quarter = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    y = (x * slopes[quarter]).sum(1, keepdim=True) + 0.1 * torch.randn(1600, 1, generator=random)
    return split(x, (y - y.mean()) / y.std())


@cache
def several() -> Split:
    """The digits: which one, whether it is odd, and how unlike its halves are (standardised), as three columns."""

    def columns(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        left, right = x.reshape(-1, 8, 8).split(4, 2)
        unlike = 2 * ((left - right.flip(2)).abs().mean((1, 2)) - 0.9)
        return x, torch.stack([y.float(), (y % 2).float(), unlike], 1)

    whole = digits()
    return Split(columns(*whole.train), columns(*whole.test))


LABELS = torch.tensor(
    [
        [int(digit % 2 == 0), int(digit in (2, 3, 5, 7)), int(digit > 4), int(digit in (0, 6, 8, 9)), int(digit == 1)]
        for digit in range(10)
    ]
).float()
"""Of each digit: even, prime, above 4, with a loop, one."""


@cache
def labelled() -> Split:
    """The digits and five things that hold of each or do not."""
    whole = digits()
    return Split((whole.train[0], LABELS[whole.train[1]]), (whole.test[0], LABELS[whole.test[1]]))


GRADES = 5


@cache
def grades() -> Split:
    """Friedman's points, in five grades of as many each."""
    whole = friedman()
    marks = torch.quantile(whole.train[1], torch.linspace(0, 1, GRADES + 1)[1:-1])

    def graded(part: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return part[0], torch.bucketize(part[1][:, 0], marks)

    return Split(graded(whole.train), graded(whole.test))


@cache
def visits() -> Split:
    """1,500 shops with six standardised features, and the number of visitors in an hour, Poisson."""
    random = generator()
    x = torch.randn(1500, 6, generator=random)
    pace = torch.exp(1.0 + 0.5 * x[:, 0] - 0.6 * torch.tanh(x[:, 1] * x[:, 2]) + 0.3 * x[:, 3])
    return split(x, torch.poisson(pace, generator=random)[:, None])


@cache
def visits_raw() -> Split:
    """The same with features in their own units: an area, a turnover, a distance, ..."""
    units = torch.tensor([40.0, 9000.0, 700.0, 12.0, 0.01, 3.0])
    return visits().map(lambda x: (x + 2) * units)


# Pixels and points


@cache
def bits() -> Split:
    """The digits as 64 pixels that are black or white."""
    whole = digit_bytes()
    return Split(*(((x > 100).float(), y) for x, y in (whole.train, whole.test)))


@cache
def moons() -> Split:
    """2,000 points on two half-moons, standardised; the targets are not used."""
    from sklearn.datasets import make_moons

    x, y = make_moons(n_samples=2000, noise=0.07, random_state=0)
    points = torch.tensor(x, dtype=torch.float32)
    return split((points - points.mean(0)) / points.std(0), torch.tensor(y))


@cache
def moons_in_metres() -> Split:
    """The same on a map: thousands of metres, far from its corner."""
    return moons().map(lambda x: 2000 * x + 30000)
