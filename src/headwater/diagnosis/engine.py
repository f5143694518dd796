"""Run the rules over a flow and give one verdict."""

from dataclasses import replace

from headwater.diagnosis.folding import folded
from headwater.diagnosis.progress import lost_time, progress
from headwater.diagnosis.rule import Observation, Rule, needs_path
from headwater.diagnosis.rules import all_rules
from headwater.diagnosis.waterfall import waterfall
from headwater.records import Diagnosis, Finding, Flow, Message, Verdict

_BREAKING = frozenset({"nonfinite", "overflow"})
_LATER = ("finding.nonfinite_loss_since",)  # what only the training tells is no state that it began from
_MAY_WAKE = frozenset({"dead_units"})  # where sparse units are wanted half of them may begin so, and cost nothing
_AT_THE_START = frozenset({"bad_init_large"})  # looked for there alone; that it is not found later heals nothing
FOLLOWED_SHARE = 0.5  # of the trained weights; below, what was seen does not speak for the network


def diagnose(
    flow: Flow, rules: tuple[Rule, ...] | None = None, start: Flow | None = None, broke: Flow | None = None
) -> Diagnosis:
    """What is wrong with the network that ``flow`` was measured on.

    Args:
        flow: One measured step.
        rules: Which symptoms to look for; by default all, those that plugins bring behind our own.
        start: What was measured before the training that led there. What was wrong then counts where something is
            wrong now, and is then the likelier root; what the training has healed counts only if it has cost time.
        broke: The first step on the way that had NaN or Inf: later ones only show what came of it.

    Returns:
        ``findings`` if a rule found anything of severity warning or worse, ``cannot_tell`` if the gradient could not
        be followed, else ``healthy``; with what was checked and what could not be.
    """
    rules = all_rules() if rules is None else rules
    observation = Observation(flow, waterfall(flow))
    blocked = {rule.symptom: rule.blocked(observation) for rule in rules}
    found = [f for rule in rules if blocked[rule.symptom] is None for f in _looked(rule, observation)]
    if broke is not None:
        # On the way steps are measured lightly; what the loss is made of stays as it is.
        broke = broke if broke.setup.operations else replace(broke, setup=flow.setup)
        found = [f for f in found if f.symptom not in _BREAKING] + _found_in(broke, rules, _BREAKING)
    before = _found_before(start, flow, rules)
    began = frozenset(f.symptom for f in (found if start is None else before) if f.severity != "info")
    found = [_as_it_began(finding, before) for finding in found]
    course = progress(flow)
    stuck = any(finding.severity != "info" for finding in found) or (course is not None and not course.learns)
    now = {finding.symptom for finding in found}
    healed = [finding for finding in before if finding.symptom not in now]
    if stuck:
        found += healed
    elif lost_time(flow):
        found += [finding for finding in healed if finding.symptom not in _MAY_WAKE]
    else:
        found += [finding for finding in healed if finding.symptom in _AT_THE_START]
    findings = folded(found, began)
    return Diagnosis(
        verdict=_verdict(findings, observation),
        findings=tuple(findings),
        waterfall=observation.waterfall,
        checked=tuple(symptom for symptom, reason in blocked.items() if reason is None),
        unchecked=_unchecked(blocked, flow),
    )


def _looked(rule: Rule, observation: Observation) -> list[Finding]:
    return [replace(finding, step=observation.flow.step) for finding in rule.look(observation)]


def _found_in(flow: Flow, rules: tuple[Rule, ...], symptoms: frozenset[str]) -> list[Finding]:
    observation = Observation(flow, waterfall(flow))
    return [finding for rule in rules if rule.symptom in symptoms for finding in _looked(rule, observation)]


def _found_before(start: Flow | None, flow: Flow, rules: tuple[Rule, ...]) -> list[Finding]:
    """What was wrong before the training, by rules that need none; they may know how it went."""
    if start is None:
        return []
    observation = Observation(start, waterfall(start))
    able = [rule for rule in rules if rule.blocked(observation) is None]
    later = replace(observation, flow=replace(start, training=flow.training))
    found = [finding for rule in able for finding in _looked(rule, later)]
    return [finding for finding in found if finding.message.id not in _LATER]


def _as_it_began(finding: Finding, before: list[Finding]) -> Finding:
    """The finding; what was there before any step is no step's doing."""
    early = next((other for other in before if other.symptom == finding.symptom), None)
    by_a_step = bool(finding.causes) and finding.causes[0].id == "learning_rate_high"
    return finding if early is None or not by_a_step else replace(finding, causes=early.causes)


def _unchecked(blocked: dict[str, Message | None], flow: Flow) -> tuple[Message, ...]:
    """One message per reason, with the symptoms that could not be looked for because of it."""
    symptoms: dict[str, list[str]] = {}
    for symptom, reason in blocked.items():
        if reason is not None:
            symptoms.setdefault(reason.id, []).append(symptom)
    messages = [Message(reason, {"symptoms": ", ".join(names)}) for reason, names in symptoms.items()]
    if flow.followed_share < FOLLOWED_SHARE:
        messages.append(
            Message("unchecked.unfollowed", {"symptoms": "vanishing", "percent": 100 * flow.followed_share})
        )
    if _gradient_is_zero(flow):
        messages.append(Message("unchecked.zero_gradient", {"symptoms": "vanishing"}))
    return tuple(messages)


def _verdict(findings: list[Finding], observation: Observation) -> Verdict:
    if any(finding.severity != "info" for finding in findings):
        return "findings"
    seen = needs_path(observation) is None and observation.flow.followed_share >= FOLLOWED_SHARE
    stuck = any(finding.symptom == "underfitting" for finding in findings)
    return "healthy" if seen and not stuck and not _gradient_is_zero(observation.flow) else "cannot_tell"


def _gradient_is_zero(flow: Flow) -> bool:
    """Whether most sites that own weights got a gradient of exactly zero, as behind a head that starts at zero.

    That can be by design (the next step would show), so it is no finding; but healthy nobody can call it.
    """
    gradients = [row.activation_grad for row in flow.sites if row.site.parameters and row.activation_grad is not None]
    zero = [gradient for gradient in gradients if gradient.zero_count == gradient.count]
    return len(zero) > len(gradients) / 2
