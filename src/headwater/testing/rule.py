"""What is promised of a rule."""

import json
import re
from collections.abc import Iterable
from dataclasses import replace

from headwater.api import check
from headwater.diagnosis import diagnose, waterfall
from headwater.diagnosis.rule import Observation, Rule
from headwater.diagnosis.rules import all_rules
from headwater.records import Experiment, Finding, Flow, Moments, decode, encode
from headwater.remedies.registry import find
from headwater.report.files import strict_json
from headwater.testing.texts import check_ids, check_messages


def check_rule(
    rule: Rule, failing: Iterable[Experiment], healthy: Iterable[Experiment], *, steps: int = 0, seed: int = 0
) -> None:
    """Fail unless a rule finds its symptom where it is, nothing where it is not, and says so as a finding has to.

    Args:
        rule: Which.
        failing: Experiments that have the symptom; at least one.
        healthy: Experiments that have not; at least one.
        steps: How many steps they are trained first.
        seed: Of weights and data.

    Raises:
        AssertionError: With the sentence that does not hold.
    """
    assert re.fullmatch(r"[a-z][a-z0-9_]*", rule.symptom), f"the symptom {rule.symptom!r} is no word in snake case"
    known = [other.symptom for other in all_rules()]
    assert rule.symptom in known, f"{rule.symptom!r} is not among the rules: install the plugin's package"
    assert known.count(rule.symptom) == 1, f"the symptom {rule.symptom!r} is there twice"
    check_ids([f"symptom.{rule.symptom}"])
    ill, well = list(failing), list(healthy)
    assert ill, "a rule needs an experiment that it finds something in"
    assert well, "a rule needs an experiment that it finds nothing in"
    for experiment in ill:
        flow, start = _flows(experiment, steps, seed)
        found = _found(rule, flow, start)
        assert found, f"{rule.symptom!r} is not found in an experiment that is said to have it"
        for finding in found:
            _check_finding(finding, flow)
        assert found == _found(rule, flow, start), f"{rule.symptom!r} finds something else when it looks again"
        _check_on_odd_flows(rule, flow)
    for experiment in well:
        assert not _found(rule, *_flows(experiment, steps, seed)), f"{rule.symptom!r} is found in a healthy experiment"


def _flows(experiment: Experiment, steps: int, seed: int) -> tuple[Flow, Flow | None]:
    """What was measured, and before the training if there was one."""
    start = check(experiment, seed=seed).flow
    return (check(experiment, steps=steps, seed=seed).flow, start) if steps else (start, None)


def _found(rule: Rule, flow: Flow, start: Flow | None) -> list[Finding]:
    return list(diagnose(flow, (rule,), start=start).findings)


def _check_finding(finding: Finding, flow: Flow) -> None:
    names = {row.site.name for row in flow.sites} | {name for p in flow.parameters for name in (p.name, *p.aliases)}
    modules = {name.rpartition(".")[0] for name in names}
    unknown = [site for site in finding.sites if site not in names | modules]
    assert finding.severity in ("critical", "warning", "info"), f"no such severity: {finding.severity!r}"
    assert not unknown, f"the finding names sites that were not measured: {unknown}"
    assert finding.evidence, "a finding rests on numbers: evidence is empty"
    for evidence in finding.evidence:
        has_source = evidence.threshold is None or bool(evidence.source)
        assert has_source, f"{evidence.statistic}: nobody knows whose its threshold is"
    assert finding.causes, "a finding names its likeliest cause"
    shares = [cause.share for cause in finding.causes if cause.share is not None]
    assert not shares or abs(sum(shares) - 1.0) < 1e-6, f"the shares of the causes sum to {sum(shares)}, not to 1"
    check_ids(f"cause.{cause.id}.name" for cause in finding.causes)
    check_messages(finding)
    for remedy_id in (remedy_id for p in finding.prescriptions for remedy_id in p.remedies):
        find(remedy_id)
    again = decode(Finding, json.loads(strict_json(encode(finding))))
    assert again == finding, "the finding is another after it was saved as JSON and read"


def _check_on_odd_flows(rule: Rule, flow: Flow) -> None:
    """Nothing measured, no gradient, nothing but NaN: whatever comes, a rule answers or says that it cannot."""
    spoiled = Moments(count=4, nan_count=4)
    odd = {
        "an empty flow": Flow((), (), None, None),
        "no gradients": replace(
            flow,
            sites=tuple(replace(row, activation_grad=None, input_grad=None) for row in flow.sites),
            parameters=tuple(replace(p, grad=None) for p in flow.parameters),
            path=None,
        ),
        "nothing but NaN": replace(
            flow,
            sites=tuple(replace(row, activation=spoiled, activation_grad=spoiled) for row in flow.sites),
            parameters=tuple(replace(p, grad=spoiled) for p in flow.parameters),
            loss=float("nan"),
        ),
        "no parameters": replace(flow, parameters=()),
    }
    for name, one in odd.items():
        observation = Observation(one, waterfall(one))
        try:
            if rule.blocked(observation) is None:
                list(rule.look(observation))
        except Exception as error:
            raise AssertionError(f"{rule.symptom!r} fails on {name}: {type(error).__name__}: {error}") from error
