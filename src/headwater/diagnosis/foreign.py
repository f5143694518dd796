"""Rules from other packages: one that fails is named and finds nothing, and costs nobody the others' findings."""

from collections.abc import Iterable
from dataclasses import replace

from headwater.diagnosis.rule import Observation, Rule
from headwater.plugins import warn
from headwater.records import Finding, Message


def guarded(label: str, rule: Rule) -> Rule:
    """The rule, whose failures are told and go no further.

    Args:
        label: What to call it.
        rule: Of a plugin.
    """

    def look(observation: Observation) -> Iterable[Finding]:
        try:
            found = list(rule.look(observation))
            for finding in found:
                if not isinstance(finding, Finding) or finding.symptom != rule.symptom:
                    raise TypeError(f"it gives {finding!r:.80}, and should give findings of {rule.symptom!r}")
        except Exception as error:
            _tell(label, error)
            return []
        return found

    def blocked(observation: Observation) -> Message | None:
        try:
            return rule.blocked(observation)
        except Exception as error:
            _tell(label, error)
            return None

    return replace(rule, look=look, blocked=blocked)


def _tell(label: str, error: Exception) -> None:
    warn(f"the rule {label} failed and finds nothing: {type(error).__name__}: {error}.")
