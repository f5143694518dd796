"""Every remedy by its id."""

from difflib import get_close_matches

from headwater.records import InputError
from headwater.remedies import activation, init_he, init_xavier
from headwater.remedies.remedy import Remedy

REMEDIES: dict[str, Remedy] = {
    remedy.id: remedy for remedy in (*activation.REMEDIES, init_he.REMEDY, init_xavier.REMEDY)
}


def find(remedy_id: str) -> Remedy:
    """The remedy called ``remedy_id``.

    Raises:
        InputError: If there is none; the nearest ids are offered.
    """
    if remedy_id in REMEDIES:
        return REMEDIES[remedy_id]
    near = get_close_matches(str(remedy_id), REMEDIES, n=3, cutoff=0.4) or list(REMEDIES)
    raise InputError(f"no remedy {remedy_id!r}. Did you mean {', '.join(near)}?")
