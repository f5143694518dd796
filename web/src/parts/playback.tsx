// The cursor walks through the steps; on a page that is asked to keep still, in a dozen jumps.

import { useEffect } from "preact/hooks";
import { columnAt } from "../data";
import { playing, pinned, runs, selectStep, shownSteps, stepBy } from "../state";
import { t } from "../text";
import { announce } from "../keyboard";

const WALK_MS = 9000; // through all that is shown
const JUMPS = 12;

export function Playback() {
  const on = playing.value;
  useEffect(() => {
    if (!on) return;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const [from, to] = shownSteps.peek();
    if (pinned.peek().step >= to - 1) selectStep(from);
    const begun = performance.now();
    const start = pinned.peek().step;
    const every = calm ? WALK_MS / JUMPS : 40;
    const timer = window.setInterval(() => {
      if (!playing.peek()) return; // stopped, and not drawn again yet: it stays where it was stopped
      const [low, high] = shownSteps.peek();
      const step = start + ((performance.now() - begun) / WALK_MS) * (high - low);
      const run = runs.peek().find((one) => one.columns > 0);
      if (!run || step >= high - 1) {
        playing.value = false;
        selectStep(high - 1);
        return;
      }
      selectStep(run.first[Math.max(columnAt(run.first, step), 0)]);
    }, every);
    return () => window.clearInterval(timer);
  }, [on]);
  return (
    <>
      <button type="button" class="quiet" aria-pressed={on} onClick={() => (playing.value = !on)} title={t("view.key_space")}>
        <span aria-hidden="true">{on ? "❚❚" : "▶"}</span> {t(on ? "view.pause" : "view.play")}
      </button>
      <button type="button" class="quiet" onClick={() => { stepBy(1); announce(); }} title=".">{t("view.step_on")}</button>
    </>
  );
}
