"""One student's lab: a network or two, played, stopped and changed; what happens leaves it as events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from headwater.judging import diagnosed
from headwater.lab.backward import backward_of
from headwater.lab.blown_up import blow_up_of
from headwater.lab.csv_data import Uploaded
from headwater.lab.differences import differences
from headwater.lab.export import script_of
from headwater.lab.folding import with_remedies
from headwater.lab.frames import Reader, network_of
from headwater.lab.goals import goal_of
from headwater.lab.landscape import Landscape, landscape_of
from headwater.lab.refusal import RefusedError
from headwater.lab.rehearsal import risk_of
from headwater.lab.said import diagnosis_of, in_both, offered_first, tell
from headwater.lab.slot import MOST_STEPS, Slot
from headwater.lab.spec import Spec
from headwater.lab.tracing import trace_of
from headwater.lab.views import VIEWS, details_of
from headwater.records import Finding
from headwater.report import Report
from headwater.report.view.sentences import said
from headwater.report.words import Words

MOST_AT_ONCE = 200  # steps that one command may ask for
MOST_PACE = 1000.0
_ALL_MEASURED = 30.0  # updates per second up to which each is measured
# Between the end of a measured step of a network that goes as fast as it can and the next: with a browser on the same
# two cores some 20 are drawn a second, and 18 with twice the pause (benchmarks/lab.py).
_DRAWN_S = 0.015
_TURN_S = 0.03  # after which another lab has its turn
_DETAILS_S = 0.2
_DETAILS_SHARE = 3.0  # how much longer than the last look a lab must have worked before the next
_JUDGED_S = 2.0
_JUDGED_SHARE = 8.0
_MATCHED = ("seed", "data", "csv", "samples", "batch_size")  # what two networks that are compared have in common

Emit = Callable[[str, dict[str, Any]], None]
Work = Generator[None, None, dict[str, Any]]
"""Something that is done piece by piece, so that others have their turn in between."""


class Lab:
    """The networks of one student.

    Args:
        spec: Of the first.
        emit: Called with the name and the data of each event.
        uploaded: A file of the student's own.
        compare: Spec of a second network beside it.

    Raises:
        RefusedError: If a network cannot be built.
    """

    def __init__(self, spec: Spec, emit: Emit, uploaded: Uploaded | None = None, compare: Spec | None = None) -> None:
        self._emit = emit
        self._uploads: dict[str, Uploaded] = {}
        self._views: tuple[str, ...] = ()
        self._readers: dict[str, Reader] = {}
        self._due_s = self._drawn_s = self._looked_s = self._judged_s = 0.0
        self._look_cost_s = self._judge_cost_s = 0.0
        self._worked_since_look_s = self._worked_since_judged_s = 0.0
        self._plain_since = 0
        self._to_do = 0
        self._to_judge = False
        self.playing = False
        self.pace = 0.0
        self.relation = "none"
        self.wants_frame = True
        self._owes_frame = False
        self.on_built: Callable[[], None] = lambda: None
        self.on_offered: Callable[[str, tuple[tuple[str, ...], ...]], None] = lambda _slot, _offered: None
        if uploaded is not None:
            self.upload(uploaded)
        self.slots: dict[str, Slot] = {"a": self._slot(spec)}
        if compare is not None:
            self.slots["b"] = self._slot(_matched(compare, spec))
            self.relation = "compare"

    def upload(self, uploaded: Uploaded) -> None:
        """Take in a file, which replaces another that no network uses."""
        used = {slot.spec.csv for slot in getattr(self, "slots", {}).values()}
        self._uploads = {key: value for key, value in self._uploads.items() if key in used}
        self._uploads[uploaded.id] = uploaded

    def state(self) -> dict[str, Any]:
        """What the lab is doing."""
        done = [slot for slot in self.slots.values() if slot.step >= MOST_STEPS]
        return {
            "playing": self.playing,
            "pace": self.pace,
            "relation": self.relation,
            "limit": tell("limit_steps", most=MOST_STEPS) if done else None,
            "views": list(self._views),
            "slots": {
                name: {
                    "spec": slot.spec.to_dict(),
                    "state": slot.spec.to_state(),
                    "step": slot.step,
                    "version": slot.version,
                }
                for name, slot in self.slots.items()
            },
        }

    # What is asked for

    def do(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command at once, as :meth:`doing` does in pieces."""
        work = self.doing(command)
        while True:
            try:
                next(work)
            except StopIteration as done:
                answer: dict[str, Any] = done.value
                return answer

    def doing(self, command: Mapping[str, Any]) -> Work:
        """Carry out a command.

        Args:
            command: Its name under ``do``, and what it takes.

        Returns:
            ``lab``, the state afterwards, and ``result``.

        Raises:
            RefusedError: If it cannot be done; nothing has changed then.
        """
        name = command.get("do")
        if not isinstance(name, str) or name not in _COMMANDS:
            raise RefusedError("command", {"got": repr(name)[:60], "known": ", ".join(_COMMANDS)})
        result = _COMMANDS[name](self, command)
        if isinstance(result, Generator):
            result = yield from result
        if name not in _LOOKS_ONLY:
            self._emit("lab", self.state())
        return {"lab": self.state(), "result": result}

    def _play(self, command: Mapping[str, Any]) -> None:
        pace = command.get("pace", 0)
        if isinstance(pace, bool) or not isinstance(pace, (int, float)) or not 0 <= pace <= MOST_PACE:
            raise RefusedError("pace", {"got": repr(pace)[:60], "high": MOST_PACE})
        can_go = not all(slot.is_done for slot in self.slots.values())  # else it would seem to play, and nothing move
        self.playing, self.pace, self._to_do = can_go, float(pace), 0
        self._due_s = time.monotonic()

    def _pause(self, command: Mapping[str, Any]) -> None:
        self.playing, self._to_do = False, 0
        self._show()
        self._to_judge = True

    def _step(self, command: Mapping[str, Any]) -> None:
        steps = command.get("steps", 1)
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST_AT_ONCE:
            raise RefusedError("steps", {"got": repr(steps)[:60], "high": MOST_AT_ONCE})
        self.playing, self._to_do = False, steps

    def _reset(self, command: Mapping[str, Any]) -> None:
        self.playing, self._to_do = False, 0
        for slot in self.slots.values():
            slot.reset()
        self.tell_all()

    def _change(self, command: Mapping[str, Any]) -> dict[str, Any]:
        name, slot = self._named(command)
        controls = command.get("controls")
        spec = slot.spec.changed(controls)
        assert isinstance(controls, Mapping)
        changed = [control for control in controls if getattr(spec, control, None) != getattr(slot.spec, control, None)]
        locked = next((control for control in changed if control in slot.spec.locked), None)
        if locked is not None or (slot.spec.locked and {"locked", "hidden", "lesson"} & set(changed)):
            raise RefusedError("locked", {"control": locked or "locked"}, locked, status=423)
        if name == "b" and self.relation == "compare" and set(changed) & set(_MATCHED):
            raise RefusedError("matched", {"control": next(c for c in changed if c in _MATCHED)})
        if spec.data == "csv":
            slot.uploaded = self._uploaded(spec)
        if set(changed) & set(_MATCHED) and "b" in self.slots:
            other = self.slots["b"]
            other.uploaded = slot.uploaded
            other.change(_matched(other.spec, spec))
        was, had_trained = slot.version, slot.step > 0
        kept = slot.change(spec)
        if slot.version != was:
            self._together()
            self.tell_all()
        else:
            self._show(slots=(name,))
            self._to_judge = True
        if not changed:
            return {"kept": True, "said": tell("change.nothing")}
        key = "kept" if kept else "rebuilt" if had_trained else "start"

        def sentence(words: Words) -> str:
            names = ", ".join(words(f"lab.engine.control.{control}") for control in changed)
            return words(f"lab.engine.change.{key}", controls=names)

        return {"kept": kept, "said": in_both(said(sentence))}

    def _apply(self, command: Mapping[str, Any]) -> None:
        remedies = command.get("remedies")
        if not isinstance(remedies, (list, tuple)) or not remedies or not all(isinstance(r, str) for r in remedies):
            raise RefusedError("remedies", {"got": repr(remedies)[:60]})
        self._beside(with_remedies(self.slots["a"].spec, tuple(remedies)), "remedy")

    def _compare(self, command: Mapping[str, Any]) -> None:
        spec = Spec.from_state(command["state"]) if "state" in command else Spec.from_dict(command.get("spec", {}))
        self._beside(_matched(spec, self.slots["a"].spec), "compare")

    def _beside(self, spec: Spec, relation: str) -> None:
        """Put a second network beside the first, both at their start."""
        version = self.slots["b"].version + 1 if "b" in self.slots else 1
        self.slots["b"] = self._slot(spec, version)
        self.relation = relation
        self._together()
        self.tell_all()

    def _together(self) -> None:
        """Two networks go side by side: both from the start."""
        if "b" in self.slots:
            for slot in self.slots.values():
                if slot.step or slot.changes:
                    slot.reset()

    def _keep(self, command: Mapping[str, Any]) -> None:
        kept = self._second()
        kept.version = self.slots["a"].version + 1
        self.slots, self.relation = {"a": kept}, "none"
        self.tell_all()

    def _drop(self, command: Mapping[str, Any]) -> None:
        self._second()
        del self.slots["b"]
        self.relation = "none"
        self.on_built()

    def _second(self) -> Slot:
        if "b" not in self.slots:
            raise RefusedError("no_second", status=409)
        return self.slots["b"]

    def _view(self, command: Mapping[str, Any]) -> None:
        views = command.get("views")
        if not isinstance(views, (list, tuple)) or not all(view in VIEWS for view in views):
            raise RefusedError("views", {"got": repr(views)[:60], "known": ", ".join(VIEWS)})
        self._views = tuple(dict.fromkeys(views))
        self._look(tuple(self.slots))

    def _backward(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return backward_of(self._named(command)[1])

    def _trace(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return trace_of(self._named(command)[1], command.get("parameter"))

    def _landscape(self, command: Mapping[str, Any]) -> Landscape:
        return landscape_of(self._named(command)[1], command.get("size", 21))

    def _export(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return script_of(self._named(command)[1])

    def _goal(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return goal_of(self._named(command)[1])

    def _named(self, command: Mapping[str, Any]) -> tuple[str, Slot]:
        name = command.get("slot", "a")
        if name not in self.slots:
            raise RefusedError("slot", {"got": repr(name)[:60], "known": ", ".join(self.slots)})
        return name, self.slots[name]

    def _slot(self, spec: Spec, version: int = 1) -> Slot:
        return Slot(spec, self._uploaded(spec) if spec.data == "csv" else None, version)

    def _uploaded(self, spec: Spec) -> Uploaded:
        if spec.csv not in self._uploads:
            raise RefusedError("no_csv", {}, "csv")
        return self._uploads[spec.csv]

    # What is done in between

    def due_in_s(self, now_s: float) -> float | None:
        """Seconds until there is something to do, ``None`` if there is nothing."""
        return 0.0 if self._to_judge else self._step_in_s(now_s)

    def _step_in_s(self, now_s: float) -> float | None:
        """Seconds until the next step should be taken, ``None`` if none should."""
        if not (self.playing or self._to_do) or all(slot.is_done for slot in self.slots.values()):
            return None
        return max(0.0, self._due_s - now_s) if self.playing and self.pace else 0.0

    def turn(self) -> None:
        """Train for a moment: one measured step, or several that nobody looks at. Or say what is wrong, if that is due.

        The latter takes as long as a few steps: what was asked for is answered and shown before.
        """
        if self._to_judge:
            self._judge()
            return
        began_s = time.monotonic()
        while True:
            is_measured = self._is_measured(began_s)
            for slot in self.slots.values():
                slot.advance(is_measured)
            self._plain_since = 0 if is_measured else self._plain_since + 1
            self._to_do = max(0, self._to_do - 1)
            now_s = time.monotonic()
            if self.playing and self.pace:
                self._due_s = max(self._due_s + 1 / self.pace, now_s - 1.0)
            stopped = self._step_in_s(now_s) is None
            if is_measured or stopped or now_s - began_s > _TURN_S or self._step_in_s(now_s):
                break
        self._worked_since_look_s += now_s - began_s
        self._worked_since_judged_s += now_s - began_s
        if is_measured or stopped:
            self._drawn_s = now_s
            self._show()
        if stopped:
            self._end()
        elif now_s - self._judged_s > _JUDGED_S and self._worked_since_judged_s > _JUDGED_SHARE * self._judge_cost_s:
            self._to_judge = True

    def _is_measured(self, now_s: float) -> bool:
        if not self.playing:
            return self._to_do <= 1
        if 0 < self.pace <= _ALL_MEASURED:
            return True
        # An even number of steps goes unseen between two, so that a gradient that turns round at each is noticed.
        return self.wants_frame and self._plain_since % 2 == 0 and now_s - self._drawn_s >= _DRAWN_S

    def _end(self) -> None:
        if self.playing:
            self.playing = False
            self._emit("lab", self.state())
        self._to_judge = True

    # What is shown

    def tell_all(self) -> None:
        """Everything a page needs to begin with, or after something was built."""
        self._readers = {name: Reader() for name in self.slots}
        self._emit("lab", self.state())
        for name, slot in self.slots.items():
            self._emit("network", {"slot": name, **network_of(slot)})
        self.wants_frame = True
        self._show()
        self.on_built()
        self._to_judge = True

    def _show(self, slots: tuple[str, ...] | None = None) -> None:
        """A frame of each network, if somebody waits for one; what is missed comes with the next."""
        if not self.wants_frame and slots is None:
            self._owes_frame = True
            return
        shown = slots or tuple(self.slots)
        for name in shown:
            frame = self._readers.setdefault(name, Reader()).frame_of(self.slots[name])
            self._emit("frame", {"slot": name, **frame})
        self.wants_frame = self._owes_frame = False
        rested = time.monotonic() - self._looked_s > _DETAILS_S
        if self._views and (
            not self.playing or (rested and self._worked_since_look_s > _DETAILS_SHARE * self._look_cost_s)
        ):
            self._look(shown)

    def ready_for_frame(self) -> None:
        """Somebody waits for a frame; where no step will bring one, the last that was missed comes now."""
        self.wants_frame = True
        if self._owes_frame and self._step_in_s(time.monotonic()) is None:
            self._show()

    def _look(self, slots: tuple[str, ...]) -> None:
        if not self._views:
            return
        began_s = time.monotonic()
        for name in slots:
            self._emit("details", {"slot": name, **details_of(self.slots[name], self._views)})
        self._looked_s = time.monotonic()
        self._look_cost_s, self._worked_since_look_s = self._looked_s - began_s, 0.0

    def _judge(self) -> None:
        """What is wrong, why and what to do, in words; and what tells two networks apart."""
        began_s = time.monotonic()
        self._to_judge = False
        for name, slot in self.slots.items():
            report = report_of(slot)
            told = diagnosis_of(report, slot.network.plan, slot.moves, type(slot.network.optimizer).__name__)
            self._emit("diagnosis", {"slot": name, "version": slot.version, "step": slot.step, **told})
            offered = offered_first(report)
            if slot.step == 0 and len(self.slots) == 1 and offered and not slot.spec.lesson:
                self.on_offered(name, offered)
        if "b" in self.slots:
            self._emit("difference", {"said": differences(self.slots["a"], self.slots["b"])})
        self._judged_s = time.monotonic()
        self._judge_cost_s, self._worked_since_judged_s = self._judged_s - began_s, 0.0


def report_of(slot: Slot) -> Report:
    """What ``hw.check`` would say of the network; and whether the steps of its rate would wreck it, or have done it."""
    start = slot.start if slot.step and slot.broke is not slot.start else None
    report = diagnosed(slot.network.model, slot.judged_flow(), slot.spec.seed, start=start, broke=slot.broke)
    risk = _risk_of(slot)
    if risk is None or any(finding.symptom == risk.symptom for finding in report.findings):
        return report
    findings = (risk, *report.findings) if risk.severity == "critical" else (*report.findings, risk)
    return replace(report, diagnosis=replace(report.diagnosis, verdict="findings", findings=findings))


def _risk_of(slot: Slot) -> Finding | None:
    """What the learning rate would do to a network, or has done to it."""
    if slot.course:
        return blow_up_of(slot.start, slot.flow, slot.course[-1][1], slot.step, slot.first_step)
    return risk_of(slot.first_step) if slot.broke is None else None


def _matched(spec: Spec, other: Spec) -> Spec:
    """The same spec on the seed and the data of another."""
    common: dict[str, Any] = {name: getattr(other, name) for name in _MATCHED}
    return spec.changed(common)


_COMMANDS: dict[str, Callable[[Lab, Mapping[str, Any]], dict[str, Any] | Work | None]] = {
    "play": Lab._play,
    "pause": Lab._pause,
    "step": Lab._step,
    "backward": Lab._backward,
    "reset": Lab._reset,
    "change": Lab._change,
    "apply": Lab._apply,
    "keep": Lab._keep,
    "drop": Lab._drop,
    "compare": Lab._compare,
    "view": Lab._view,
    "trace": Lab._trace,
    "landscape": Lab._landscape,
    "export": Lab._export,
    "goal": Lab._goal,
}
_LOOKS_ONLY = ("backward", "trace", "landscape", "export", "goal")
