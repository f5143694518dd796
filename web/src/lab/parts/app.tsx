import { useEffect } from "preact/hooks";
import { Help } from "../../parts/help";
import { announcement } from "../../state";
import { say, t } from "../../text";
import { command } from "../engine";
import { lessonId } from "../lessons-state";
import { drawer, lab, place, projector, trouble } from "../state";
import { followViews } from "../views";
import { w } from "../words";
import { Controls } from "./controls";
import { Course } from "./course";
import { Flow, useTold } from "./flow";
import { LayerCard } from "./layer";
import { LayerHistograms } from "./layers";
import { LessonList, LessonPanel } from "./lessons";
import { Masthead } from "./masthead";
import { More } from "./more";
import { Differences, Says } from "./says";
import { ThroughTime } from "./time";
import { Transport } from "./transport";

const KEYS: [string, string][] = [
  ["Space", "lab.page.key_space"], [".", "lab.page.key_step"], ["B", "lab.page.key_backward"], ["R", "lab.page.key_reset"], ["← →", "lab.page.key_layers"],
  ["[ ]", "lab.page.key_depth"], ["1 – 9", "lab.page.key_presets"], ["?", "lab.page.key_help"], ["Esc", "lab.page.key_escape"],
];

export function App() {
  useEffect(followViews, []);
  useTold((said) => { announcement.value = said; });
  const listing = place.value === "lessons" && !lessonId.value;
  return (
    <>
      <a class="skip" href="#flow">{t("view.skip")}</a>
      <Masthead />
      {trouble.value && (
        <div class="problem" role="alert">
          <p>{typeof trouble.value === "string" ? trouble.value : say(trouble.value)} <button type="button" class="link" onClick={() => (trouble.value = null)}>{t("view.close")}</button></p>
        </div>
      )}
      <main>
        {listing ? <LessonList /> : <Bench />}
      </main>
      <p class="unseen" aria-live="polite" id="live-region">{announcement.value}</p>
      <Help keys={KEYS} notes={["lab.page.help_about"]} />
    </>
  );
}

function Bench() {
  const inLesson = place.value === "lessons" && lessonId.value !== null;
  return (
    <div class={`lab${drawer.value ? " drawn" : ""}${inLesson ? " in-lesson" : ""}`}>
      <aside class={projector.value && !drawer.value && !inLesson ? "rail away" : "rail"} aria-label={w(inLesson ? "lesson" : "controls")} tabIndex={-1}>
        {inLesson && <LessonPanel />}
        {inLesson ? <details class="lesson-controls"><summary>{w("controls")}</summary><Controls /></details> : <Controls />}
      </aside>
      <div class="bench">
        <Transport />
        <Says />
        <Flow />
        <Compare />
        <Differences />
        <ThroughTime />
        <Course />
        <LayerHistograms />
        <LayerCard />
        <More />
      </div>
    </div>
  );
}

/** A second network beside the first, on the same seed and data. */
function Compare() {
  const relation = lab.value?.relation;
  const spec = lab.value?.slots.a?.spec;
  if (!spec || relation === "remedy" || spec.lesson) return null;
  return (
    <p class="compare-row">
      {relation === "none" ? (
        <>
          <button type="button" class="second" onClick={() => void command("compare", { spec })}>{w("compare")}</button>
          <button type="button" class="second" onClick={() => void command("compare", { spec: { ...spec, activation: "relu", init: "he", scale: 1, activations: {}, remedies: [] } })}>{w("compare_classic")}</button>
          <span class="faint">{w("compare_about")}</span>
        </>
      ) : (
        <>
          <button type="button" class="second" onClick={() => void command("drop")}>{w("compare_end")}</button>
          <button type="button" class="second" onClick={() => void command("keep")}>{w("compare_keep")}</button>
        </>
      )}
    </p>
  );
}
