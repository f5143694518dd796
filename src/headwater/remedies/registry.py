"""Every remedy by its id."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache

from headwater import plugins
from headwater.records import InputError
from headwater.remedies import (
    activation,
    activation_relu_between,
    activation_tanh_out,
    data_standardise,
    init_by_activation,
    init_critical,
    init_delta_orthogonal,
    init_embedding,
    init_he,
    init_lecun,
    init_low_rank,
    init_lsuv,
    init_mirrored,
    init_naive,
    init_orthogonal,
    init_xavier,
    loss_linear_output,
    loss_logits,
    normalisation_batch,
    normalisation_gather,
    normalisation_group,
    normalisation_layer,
    normalisation_per_sample,
    normalisation_rms,
    optimisation_adaptive_clip,
    optimisation_clip_norm,
    optimisation_depth_rate,
    optimisation_learning_rate,
    optimisation_rebind,
    optimisation_unfreeze,
    optimisation_warmup,
    recurrent_forget_bias,
    recurrent_orthogonal,
    regularisation_dropout,
    regularisation_l1,
    regularisation_l2,
    regularisation_reduce_dropout,
    regularisation_reduce_weight_decay,
    regularisation_weight_decay,
    structure_prenorm,
    structure_residual,
    structure_rezero,
    tailored,
    tailored_leaky,
)
from headwater.remedies.remedy import Remedy

REMEDIES: dict[str, Remedy] = {
    remedy.id: remedy
    for remedy in (
        *activation.REMEDIES,
        activation_tanh_out.REMEDY,
        activation_relu_between.REMEDY,
        tailored.REMEDY,
        tailored_leaky.REMEDY,
        *init_naive.REMEDIES,
        init_xavier.REMEDY,
        init_he.REMEDY,
        init_lecun.REMEDY,
        init_by_activation.REMEDY,
        init_orthogonal.REMEDY,
        init_delta_orthogonal.REMEDY,
        init_mirrored.REMEDY,
        init_critical.REMEDY,
        init_lsuv.REMEDY,
        init_embedding.REMEDY,
        init_low_rank.REMEDY,
        normalisation_batch.REMEDY,
        normalisation_layer.REMEDY,
        normalisation_gather.REMEDY,
        normalisation_per_sample.REMEDY,
        normalisation_rms.REMEDY,
        normalisation_group.REMEDY,
        structure_rezero.REMEDY,
        structure_prenorm.REMEDY,
        structure_residual.REMEDY,
        regularisation_l1.REMEDY,
        regularisation_l2.REMEDY,
        regularisation_weight_decay.REMEDY,
        regularisation_dropout.REMEDY,
        regularisation_reduce_dropout.REMEDY,
        regularisation_reduce_weight_decay.REMEDY,
        *optimisation_learning_rate.REMEDIES,
        optimisation_depth_rate.REMEDY,
        optimisation_warmup.REMEDY,
        optimisation_clip_norm.REMEDY,
        optimisation_adaptive_clip.REMEDY,
        optimisation_rebind.REMEDY,
        optimisation_unfreeze.REMEDY,
        loss_logits.REMEDY,
        loss_linear_output.REMEDY,
        data_standardise.REMEDY,
        recurrent_forget_bias.REMEDY,
        recurrent_orthogonal.REMEDY,
    )
}


@cache
def all_remedies() -> Mapping[str, Remedy]:
    """Ours, and behind them those that plugins bring (``headwater.remedies``).

    A proof's random remedy is drawn from ours alone: its figures do not hang on what else is installed.
    """
    found = plugins.loaded("remedies", Remedy, lambda remedy: remedy.id, REMEDIES)
    return {**REMEDIES, **{remedy.id: remedy for _, remedy in found}}


def find(remedy_id: str) -> Remedy:
    """The remedy called ``remedy_id``, at the strength behind its colon if it has one: ``regularisation.l2:0.01``.

    Raises:
        InputError: If there is none, the nearest ids are offered; or if it cannot have that strength.
    """
    base, colon, strength = str(remedy_id).partition(":")
    known = REMEDIES if base in REMEDIES else all_remedies()
    if base in known:
        return known[base].at(strength) if colon else known[base]
    near = get_close_matches(base, known, n=3, cutoff=0.4) or list(known)
    raise InputError(f"no remedy {remedy_id!r}. Did you mean {', '.join(near)}?")
