"""The errors a caller can act on."""


class HeadwaterError(Exception):
    """Anything headwater raises on purpose."""


class InputError(HeadwaterError, ValueError):
    """What was handed over cannot be used; the message names the culprit and the corrected call."""
