"""The chain rule of one gradient, worked out factor by factor and checked against autograd."""

from headwater.tracing.chain import scalar_chain as scalar_chain
from headwater.tracing.derive import derive as derive
from headwater.tracing.subject import Subject as Subject
from headwater.tracing.subject import of_experiment as of_experiment
from headwater.tracing.subject import of_model as of_model
