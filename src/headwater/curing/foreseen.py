"""What depth will make of a candidate, known before anything is trained.

Weights of the right size mend a gradient at any depth, and beyond a depth that theory tells they merge all inputs into
one: what they mend is then nothing that could be learnt. Such candidates are tried last or not at all, and what keeps
inputs apart is tried first, though the rule that finds merged inputs has not spoken yet: a gradient of zero hides them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from headwater.diagnosis.prescribing import before_last_affine, for_collapse, hidden_activations
from headwater.diagnosis.rules.rank_collapse import CRITICAL_COSINE, MERGED_COSINE
from headwater.records import Finding, Flow, Message
from headwater.theory import ACTIVATIONS, gain_forward, gaussian_merging_depth, merging_depth

Remedies = tuple[str, ...]

# Initialisations that draw each weight by itself; orthogonal matrices merge nothing on their own.
_INDEPENDENT = ("init.he", "init.xavier", "init.lecun")
_GAINED = ("init.he", "init.orthogonal")  # by the gain of the activation after the layer, where that is a rectifier's
_DEPTH_RATE = "optimisation.depth_rate"
_CHAIN = ("init.mirrored", "init.orthogonal", "activation.tailored", "activation.tailored_leaky")


@dataclass(frozen=True)
class Outlook:
    """What is left to try, and why something is not.

    Attributes:
        tried: Likeliest first.
        left_out: Which candidates theory rules out, in a sentence.
    """

    tried: tuple[Remedies, ...]
    left_out: tuple[Message, ...] = ()


def looked_ahead(offered: Sequence[Remedies], findings: Sequence[Finding], flow: Flow | None) -> Outlook:
    """Candidates in the order that depth suggests, without those that it rules out.

    Args:
        offered: As prescribed.
        findings: What they are offered against.
        flow: Of the untouched network; without one, or where it is no plain chain, nothing is foreseen.
    """
    if flow is None or not _is_chain(flow) or not any(f.symptom in ("vanishing", "exploding") for f in findings):
        return Outlook(tuple(offered))
    layers, width = _size(flow)
    merging = {one for one in offered if merges_after(one, flow, width, MERGED_COSINE, layers) < layers}
    if not merging:
        return Outlook(tuple(offered))
    hopeless = {one: merges_after(one, flow, width, CRITICAL_COSINE, layers) for one in offered if one in merging}
    hopeless = {one: after for one, after in hopeless.items() if after < layers}
    apart = [_at_its_rate(prescription.remedies, flow) for prescription in for_collapse(flow)]
    rest = [_at_its_rate(one, flow) for one in offered if one not in merging]
    tried = (*apart, *rest, *(one for one in offered if one in merging and one not in hopeless))
    return Outlook(tuple(dict.fromkeys(tried)), _why(hopeless, layers))


def _why(hopeless: dict[Remedies, float], layers: int) -> tuple[Message, ...]:
    if not hopeless:
        return ()
    names = "; ".join(" + ".join(one) for one in hopeless)
    after = int(max(hopeless.values()))
    return (Message("cure.note_merges", {"remedies": names, "after": after, "layers": layers}),)


def merges_after(remedies: Remedies, flow: Flow, width: int, cosine: float, most: int) -> float:
    """Layers after which a candidate of weights alone has merged its inputs, as theory has it.

    Infinity where the candidate holds anything else, which theory is not asked about, or where it takes more than
    ``most`` layers. Two inputs with nothing in common are the kindest case. Of a ``width`` of 0 only mean field is
    asked, which knows no width.
    """
    activations = set(hidden_activations(flow))
    inits = []
    for remedy in remedies:
        kind, _, name = remedy.partition(".")
        if kind == "activation" and name in ACTIVATIONS:
            activations = {name}
        elif remedy in (*_INDEPENDENT, *_GAINED):
            inits.append(remedy)
        else:
            return math.inf
    if len(inits) != 1 or len(activations) != 1:
        return math.inf
    (activation,), (init,) = activations, inits
    drawn = gaussian_merging_depth(width, cosine) if width and init in _INDEPENDENT else math.inf
    return min(drawn, _mean_field(activation, init in _GAINED, cosine, most))


@cache
def _mean_field(activation: str, gained: bool, cosine: float, most: int) -> float:
    gain = gain_forward(activation) if gained and ACTIVATIONS[activation].init == "he" else 1.0
    return merging_depth(activation, cosine, gain**2, most=most)


def _at_its_rate(remedies: Remedies, flow: Flow) -> Remedies:
    """What leaves the chain plain wants a rate that falls with depth, of Adam and its relatives."""
    return (*remedies, _DEPTH_RATE) if "betas_0" in flow.setup.optimizer and remedies[-1] in _CHAIN else remedies


def _is_chain(flow: Flow) -> bool:
    """Whether nothing but affine maps and activations stands before the last layer."""
    return all(row.site.kind in ("affine", "activation") for row in before_last_affine(flow))


def _size(flow: Flow) -> tuple[int, int]:
    """Hidden affine layers and their width, the geometric mean where they differ; 0 where one is not of vectors.

    A convolution's kernel meets many positions, and what a product of independent matrices does is not known of it.
    """
    shapes = [row.site.shape for row in before_last_affine(flow) if row.site.kind == "affine"]
    if not shapes or any(len(shape) != 2 or shape[1] < 2 for shape in shapes):
        return len(shapes), 0
    return len(shapes), round(math.exp(sum(math.log(shape[1]) for shape in shapes) / len(shapes)))
