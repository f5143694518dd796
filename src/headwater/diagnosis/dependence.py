"""Whether a training has learnt anything of how targets hang on inputs."""

from headwater.records import Dependence, Training

SIGMAS = 2.0  # of what chance pairs of input and target give
LITTLE = 0.02  # of the loss
SOURCE = "two deviations of losses with exchanged inputs, and a fiftieth of the loss (docs/thresholds.md)"


def learnt_nothing(training: Training) -> Dependence | None:
    """What shows that nothing was learnt of how targets hang on inputs, ``None`` if something was or nobody knows.

    Held-out data decide where there are any: what little is known of single samples by heart is not the relation.
    """
    seen, unseen = training.dependence, training.validation_dependence
    if is_surely_none(unseen) and not is_surely_there(seen):
        return unseen
    return seen if unseen is None and is_surely_none(seen) else None


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
