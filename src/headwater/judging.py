"""From a measurement to a report: the diagnosis, and each prescription's change written out for this very model."""

from __future__ import annotations

import platform
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from headwater.diagnosis import diagnose
from headwater.probes.classify import module_type
from headwater.probes.names import unwrapped
from headwater.records import Diagnosis, Finding, Flow, InputError, Prescription, RunInfo
from headwater.remedies.data import Data
from headwater.remedies.order import Order, order_of_flow
from headwater.remedies.surgery import patch
from headwater.report import Report


def diagnosed(
    model: nn.Module,
    flow: Flow,
    seed: int | None = None,
    wall_time_s: float = 0.0,
    start: Flow | None = None,
    broke: Flow | None = None,
    data: Data | None = None,
) -> Report:
    """What a measurement of a model means.

    Args:
        model: That was measured, as it was before any training.
        flow: What was measured.
        seed: The measurement ran under, ``None`` if it was left alone.
        wall_time_s: Seconds the measurement took.
        start: What was measured before the training that led there, if there was one.
        broke: The first step on the way with NaN or Inf, if there was one.
        data: What a prescription's change may be measured on; without, such a change is told as the call to make.
    """
    diagnosis = _with_code(diagnose(flow, start=start, broke=broke), model, flow, data)
    return Report(run=run_info(model, seed, wall_time_s), diagnosis=diagnosis, flow=flow)


def _with_code(diagnosis: Diagnosis, model: nn.Module, flow: Flow, data: Data | None) -> Diagnosis:
    """The diagnosis with each prescription's change written out for this model."""
    order = order_of_flow(flow)

    inner = unwrapped(model)  # the names in the order are its

    def coded(finding: Finding) -> Finding:
        return replace(finding, prescriptions=tuple(_coded(p, inner, order, data) for p in finding.prescriptions))

    return replace(diagnosis, findings=tuple(coded(finding) for finding in diagnosis.findings))


def _coded(prescription: Prescription, model: nn.Module, order: Order, data: Data | None) -> Prescription:
    if not prescription.remedies:
        return prescription  # advice brings its own
    try:
        return replace(prescription, code=patch(model, prescription.remedies, order, data=data))
    except InputError as error:
        # The advice stands where only the surgery cannot reach: the code then says what to change by hand.
        return replace(prescription, code=f"# {error}")


def run_info(model: nn.Module, seed: int | None, wall_time_s: float) -> RunInfo:
    """What ran: versions, the model, its size and where it lies.

    Args:
        model: That was looked at.
        seed: It ran under, ``None`` if it was left alone.
        wall_time_s: Seconds it took.
    """
    parameters = [parameter for parameter in model.parameters() if not is_lazy(parameter)]
    return RunInfo(
        headwater=version("headwater"),
        torch=torch.__version__,
        python=platform.python_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=module_type(model).__name__,
        parameters=sum(parameter.numel() for parameter in parameters),
        trainable=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        device=str(parameters[0].device) if parameters else "",
        seed=seed,
        wall_time_s=wall_time_s,
    )
