"""Whether targets hang on inputs, and whether a training has learnt anything of how."""

from headwater.records import Dependence, Training

SIGMAS = 2.0  # of what chance pairs of input and target give
LITTLE = 0.02  # of the loss
SURELY = 8.0  # deviations: 5 to 40 in the healthy programs of the benchmark that have 32 samples or more
HARDLY = 3.0
LOST = 2 / 3  # of what inputs tell of targets: 40 % of ten labels drawn anew lose as much
APART = 0.2  # of the targets' variance
ENOUGH_SAMPLES = 64
FAR_COMING = 0.1  # of the loss with exchanged inputs: networks gain 3 to 9 % on labels shuffled for good
PAIRING_SOURCE = "as much told of the same number of held-out samples (docs/thresholds.md)"
SOURCE = "two deviations of losses with exchanged inputs, and a fiftieth of the loss (docs/thresholds.md)"


def learnt_nothing(training: Training) -> Dependence | None:
    """What shows that nothing was learnt of how targets hang on inputs, ``None`` if something was or nobody knows.

    Held-out data decide where there are any: what little is known of single samples by heart is not the relation.
    """
    seen, unseen = training.dependence, training.validation_dependence
    if is_surely_none(unseen) and not is_surely_there(seen):
        return unseen
    return seen if unseen is None and is_surely_none(seen) else None


def is_by_heart(training: Training) -> bool:
    """Whether something was learnt of the data trained on that tells nothing about others."""
    return is_surely_there(training.dependence) and is_surely_none(training.validation_dependence)


def is_surely_none(found: Dependence | None) -> bool:
    """Whether true pairs are no better than chance ones, and would have been seen to be if they were by a little.

    Half as little is none even where it is surely more than nothing: inputs of one class are alike, so that a network
    which has learnt nothing tells them apart a bit.
    """
    if found is None or found.exchanged == found.loss:  # an equal loss was never changed at all
        return False
    gain = found.exchanged - found.loss
    chance = SIGMAS * found.spread
    return gain + chance < (LITTLE if gain < chance else LITTLE / 2) * abs(found.exchanged)


def is_surely_there(found: Dependence | None) -> bool:
    """Whether true pairs are better than chance ones, and by more than a little."""
    if found is None:
        return False
    gain = found.exchanged - found.loss
    return gain > SIGMAS * found.spread and gain > LITTLE * abs(found.exchanged)


def do_not_belong(training: Training) -> bool:
    """Whether the targets trained on hardly hang on their inputs, and those held out do: they are other pairs.

    What is told is told by kernel ridge regression, of as many samples of both, so neither the network nor the course
    of its training has a say.
    """
    seen, unseen = training.pairing, training.validation_pairing
    if seen is None or unseen is None or min(seen.samples, unseen.samples) < ENOUGH_SAMPLES:
        return False
    if unseen.deviations < SURELY or unseen.explained <= 0:
        return False
    lost = 1.0 - max(seen.explained, 0.0) / unseen.explained
    in_part = lost > LOST and unseen.explained - max(seen.explained, 0.0) > APART
    return seen.deviations < HARDLY or (in_part and seen.deviations < LOST * unseen.deviations)


def say_nothing(training: Training) -> bool:
    """Whether inputs tell nothing of the targets, trained on or held out, and the network has not found otherwise.

    A rule of arithmetic says nothing to a kernel either; a network that learns it gains more than a tenth.
    """
    known = [pairing for pairing in (training.pairing, training.validation_pairing) if pairing is not None]
    if training.pairing is None or any(p.samples < 2 * ENOUGH_SAMPLES or p.deviations >= HARDLY for p in known):
        return False
    found = training.validation_dependence or training.dependence
    # Without held-out data, what is known by heart cannot be told from what is known.
    limit = FAR_COMING if training.validation_dependence is not None else 2 * FAR_COMING
    return found is not None and found.exchanged - found.loss < limit * abs(found.exchanged)
