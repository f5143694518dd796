// Lessons over the same lab: a story in short steps, a question before the reveal, the experiment, the checked claim, a goal.

import { useEffect, useRef, useState } from "preact/hooks";
import { number, percent } from "../../numbers";
import { say, t } from "../../text";
import { language } from "../../text";
import { ask, numberOf, type Check, type Goal, type Guide, type Result, type Wire } from "../api";
import { built, command, open, playTo } from "../engine";
import { goal, guide, lessonId, page, progress, progressOf, remember, result } from "../lessons-state";
import { facts, lab, lastChange, place, trouble } from "../state";
import { wantedViews } from "../views";
import { w } from "../words";

/** Open a lesson where somebody left it, or with a state of the lab that the address named. */
export async function openLesson(id: string, state: string | null = null): Promise<void> {
  const found = await ask<Guide>(`/api/lab/lessons/${encodeURIComponent(id)}`);
  lessonId.value = id;
  guide.value = found;
  result.value = null;
  goal.value = null;
  page.value = Math.min(progressOf(id).page, lastPage(found));
  place.value = "lessons";
  if (state !== null) await open(state);
  else await arrange();
}

export function closeLesson(): void {
  lessonId.value = null;
  guide.value = null;
  wantedViews.value = [];
}

// Pages of a lesson: its story, then these four.
const pagesOf = (found: Guide): string[] => [...found.story.map(() => "story"), "question", "experiment", "check", "goal"];
const lastPage = (found: Guide): number => pagesOf(found).length - 1;

/** Set the lab as this page of the lesson wants it. */
async function arrange(): Promise<void> {
  const found = guide.value;
  if (!found) return;
  const kind = pagesOf(found)[page.value];
  lastChange.value = null;
  wantedViews.value = [];
  if (kind === "story") {
    const story = found.story[page.value];
    // A step that sets nothing shows what the step before it has set.
    const set = found.story.slice(0, page.value + 1).findLast((one) => one.state !== null);
    wantedViews.value = story.views;
    if (story.state !== null || page.value === 0 || !lab.value) {
      if (!(await open(set?.state ?? found.state, set?.compare_state ?? null))) return; // somebody has turned the page
    }
    if (story.steps) await playTo(story.steps);
  } else if (kind === "goal") {
    const begun = progressOf(found.id).state;
    await open(begun || found.goal.state).catch(() => open(found.goal.state));
  } else if (!lab.value) await open(found.state);
}

// Where on the page each view is drawn, and under which head.
const WHERE: Record<string, [card: string, head: string]> = {
  histograms: ["histograms", "histograms_head"], inputs: ["layer", "phi_head"], weights: ["layer", "weights_head"], units: ["layer", "units_head"], mask: ["layer", "mask_head"],
  boundary: ["plane-a", "plane_head"],
};

/** Links to the pictures that a story speaks of. */
function LookAt({ views }: { views: string[] }) {
  const known = views.filter((view) => WHERE[view]);
  if (!known.length) return null;
  const go = (card: string) => {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    document.getElementById(card)?.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  };
  return <ul class="look-at">{known.map((view) => <li key={view}><button type="button" class="link" onClick={() => go(WHERE[view][0])}>↓ {w(WHERE[view][1])}</button></li>)}</ul>;
}

async function turn(to: number): Promise<void> {
  const found = guide.value;
  if (!found) return;
  page.value = Math.min(Math.max(to, 0), lastPage(found));
  remember(found.id, { page: page.value });
  document.getElementById("lesson-title")?.focus({ preventScroll: true });
  try {
    await arrange();
  } catch (error) {
    trouble.value = (error as { said?: { en: string; ko: string } }).said ?? t("view.no_server");
  }
}

export function LessonPanel() {
  const found = guide.value;
  if (!found) return null;
  const kinds = pagesOf(found);
  const kind = kinds[page.value];
  const at = guided().findIndex((one) => one.id === found.id) + 1;
  const answered = progressOf(found.id).choice !== null;
  return (
    <article class="lesson" aria-labelledby="lesson-title">
      <p class="eyebrow">{w("lesson_number", { number: at, count: guided().length })}</p>
      <h2 id="lesson-title" tabIndex={-1}>{say(found.title)}</h2>
      <ol class="dots" aria-label={w("lesson_pages")}>
        {kinds.map((one, i) => (
          <li key={i}><button type="button" aria-current={i === page.value ? "step" : undefined} class={i < page.value ? "past" : ""} disabled={one !== "story" && one !== "question" && !answered} onClick={() => void turn(i)} aria-label={w(`page_${one}`, { number: i + 1 })} /></li>
        ))}
      </ol>
      <div class="lesson-page" key={`${found.id}${page.value}`}>
        {kind === "story" && <><p class="story">{say(found.story[page.value].said)}</p><LookAt views={found.story[page.value].views} /></>}
        {kind === "question" && <Question found={found} />}
        {kind === "experiment" && <Experiment found={found} />}
        {kind === "check" && <Checked found={found} />}
        {kind === "goal" && <GoalPage found={found} />}
      </div>
      <div class="turns">
        <button type="button" class="second" disabled={page.value === 0} onClick={() => void turn(page.value - 1)}>{w("back")}</button>
        {page.value < lastPage(found)
          ? <button type="button" class="primary" disabled={kind === "question" && !answered} onClick={() => void turn(page.value + 1)}>{w("next")}</button>
          : found.next && <button type="button" class="primary" onClick={() => void openLesson(found.next!)}>{w("next_lesson")}</button>}
      </div>
      <button type="button" class="link" onClick={closeLesson}>{w("all_lessons")}</button>
    </article>
  );
}

function Question({ found }: { found: Guide }) {
  const chosen = progressOf(found.id).choice;
  return (
    <fieldset class="question">
      <legend>{w("predict")}</legend>
      <p class="story">{say(found.question.said)}</p>
      {found.question.choices.map((choice, i) => (
        <label key={i} class={chosen === i ? "choice chosen" : "choice"}>
          <input type="radio" name="choice" checked={chosen === i} onChange={() => remember(found.id, { choice: i })} />
          <span>{say(choice)}</span>
        </label>
      ))}
      <p class="faint" role="status">{w(chosen === null ? "choose_first" : "chosen_now_see")}</p>
    </fieldset>
  );
}

function Experiment({ found }: { found: Guide }) {
  const chosen = progressOf(found.id).choice;
  const right = chosen === found.question.answer;
  const [ran, setRan] = useState(false);
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      if (!(await open(found.experiment.state ?? found.state, found.experiment.compare_state))) return;
      wantedViews.value = found.experiment.views;
      await (found.experiment.steps ? playTo(found.experiment.steps) : built());
      setRan(true);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div>
      <p class="story">{found.experiment.steps ? w("experiment_about", { steps: found.experiment.steps }) : w("experiment_look")}</p>
      <p><button type="button" class="primary" disabled={busy} onClick={() => void run()}>{w(busy ? "running" : "run_it")}</button></p>
      <LookAt views={found.experiment.views} />
      {ran && (
        <div class={right ? "reveal healthy" : "reveal warning"} role="status">
          <p><b>{w(right ? "was_right" : "was_wrong")}</b></p>
          {!right && <p>{w("right_answer")} {say(found.question.choices[found.question.answer])}</p>}
          <p>{say(found.question.because)}</p>
        </div>
      )}
    </div>
  );
}

function Checked({ found }: { found: Guide }) {
  const now = result.value;
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    if (!asking) return;
    let stop = false;
    const poll = async () => {
      while (!stop) {
        try {
          result.value = await ask<Result>(`/api/lab/lessons/${found.id}/result`);
        } catch {
          result.value = null;
          setAsking(false);
        }
        if (!result.value || result.value.state === "done") break;
        await new Promise((go) => setTimeout(go, 1000));
      }
    };
    void poll();
    return () => { stop = true; };
  }, [asking, found.id]);
  return (
    <div>
      <p class="story">{say(found.check.claim)}</p>
      {!now && !asking && <p><button type="button" class="primary" onClick={() => setAsking(true)}>{w("check_it", { seconds: number(found.check.seconds) })}</button></p>}
      {asking && now?.state !== "done" && <p role="status" class="faint">{w("checking", { seconds: number(now?.seconds ?? found.check.seconds) })}</p>}
      {now?.state === "done" && (
        <>
          <p>{say(now.said.seen)}</p>
          <ul class="checks">{now.checks.map((check, i) => <Held key={i} holds={check.holds} said={say(check.said)} numbers={boundsOf(check)} />)}</ul>
          {now.pictures_svg.map((svg, i) => <Picture key={i} svg={say(svg)} />)}
          <p>{say(now.said.why)}</p>
          {now.said.caveat && <p class="faint"><b>{w("caveat")}</b> {say(now.said.caveat)}</p>}
        </>
      )}
    </div>
  );
}

/** A picture of the lesson's own, drawn by the same code as in its report; it is parsed as a picture, and no script in it could run. */
function Picture({ svg }: { svg: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const drawn = new DOMParser().parseFromString(svg, "text/html").querySelector("svg.narrow, svg"); // beside the story there is a narrow screen's room
    if (drawn) box.current?.replaceChildren(document.importNode(drawn, true));
  }, [svg]);
  return <div class="lesson-picture" ref={box} />;
}

function Held({ holds, said, numbers }: { holds: boolean; said: string; numbers: string }) {
  return (
    <li class={holds ? "healthy" : "warning"}>
      <span class={`glyph ${holds ? "healthy" : "warning"}`} aria-hidden="true">{holds ? "✓" : "·"}</span>
      <span><span class="unseen">{w(holds ? "holds" : "not_yet")}</span>{said} {numbers && <b>{numbers}</b>}</span>
    </li>
  );
}

function boundsOf(check: { value: Wire | string; low: Wire; high: Wire; share?: boolean; interval?: Check["interval"] }): string {
  if (check.value === null && !check.interval) return "";
  if (typeof check.value === "string" && !["nan", "inf", "-inf"].includes(check.value)) return check.value; // a choice and no number
  const written = (value: Wire) => (check.share ? percent : number)(numberOf(value));
  const shown = written(check.value as Wire);
  const interval = check.interval ? ` [${check.interval.map(written).join(", ")}]` : "";
  const bounds = [check.low !== null ? `≥ ${written(check.low)}` : "", check.high !== null ? `≤ ${written(check.high)}` : ""].filter(Boolean).join(", ");
  return `${shown}${interval}${bounds ? ` (${bounds})` : ""}`;
}

const EVERY_MS = 1000;

function GoalPage({ found }: { found: Guide }) {
  const now = goal.value;
  const reached = progressOf(found.id).reached;
  useEffect(() => {
    const look = async () => {
      if (!lab.value || document.hidden) return;
      const seen = await command<Goal>("goal", { slot: "a" });
      if (!seen) return;
      goal.value = seen;
      if (seen.reached && !progressOf(found.id).reached) remember(found.id, { reached: true, state: lab.value.slots.a?.state ?? "" });
    };
    void look();
    const timer = window.setInterval(() => void look(), EVERY_MS);
    return () => window.clearInterval(timer);
  }, [found.id]);
  return (
    <div>
      <p class="story">{say(found.goal.said)}</p>
      <ul class="checks">
        {now ? now.conditions.map((one, i) => <Held key={i} holds={one.holds} said={say(one.said)} numbers={boundsOf(one)} />) : found.goal.conditions.map((one, i) => <Held key={i} holds={false} said={say(one)} numbers="" />)}
      </ul>
      {(now?.reached || reached) && <p class="reveal healthy" role="status"><b>{w("goal_reached")}</b></p>}
      <details><summary>{w("hint")}</summary><p>{say(found.goal.hint)}</p></details>
      <p><button type="button" class="quiet" onClick={() => { remember(found.id, { state: "" }); void open(found.goal.state); }}>{w("goal_again")}</button></p>
      <label class="own-words">{w("own_words")}<textarea rows={3} maxLength={2000} defaultValue={progressOf(found.id).text} onInput={(event) => remember(found.id, { text: event.currentTarget.value })} /></label>
    </div>
  );
}

/** The lessons that have a guided page. */
const guided = () => (facts.value?.lessons ?? []).filter((one) => one.guide);

export function LessonList() {
  const lessons = guided();
  return (
    <section class="lesson-list" aria-labelledby="lessons-title">
      <h1 id="lessons-title">{w("lessons_head")}</h1>
      <p class="lead">{w("lessons_about")}</p>
      <ol>
        {lessons.map((one, i) => {
          const known = progress.value[one.id];
          const state = known?.reached ? "done" : known ? "begun" : "new";
          return (
            <li key={one.id}>
              <button type="button" class="card lesson-card" onClick={() => void openLesson(one.id)}>
                <span class="lesson-index">{i + 1}</span>
                <span class="lesson-name">{say(one.title)}</span>
                {state !== "new" && <span class={`pill ${state === "done" ? "healthy" : "info"}`}>{state === "done" ? "✓ " : ""}{w(`lesson_${state}`)}</span>}
              </button>
            </li>
          );
        })}
      </ol>
      <Answers />
    </section>
  );
}

/** What somebody has answered, as one file for the teacher. */
function Answers() {
  const [name, setName] = useState("");
  const known = Object.entries(progress.value).filter(([id]) => facts.value?.lessons.some((one) => one.id === id));
  if (!known.length) return null;
  const save = async () => {
    const answers = known.map(([lesson, one]) => ({ lesson, choice: one.choice, reached: one.reached, state: one.state, text: one.text }));
    const answer = await fetch("/api/lab/answers", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name, answers, language: language.value }) });
    if (!answer.ok) {
      trouble.value = t("view.no_server");
      return;
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = "headwater-answers.html";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return (
    <section class="card answers" aria-labelledby="answers-title">
      <h2 id="answers-title">{w("answers_head")}</h2>
      <p class="caption">{w("answers_about")}</p>
      <p class="copy-row"><input value={name} maxLength={100} placeholder={w("your_name")} aria-label={w("your_name")} onInput={(event) => setName(event.currentTarget.value)} /><button type="button" class="second" onClick={() => void save()}>{w("answers_save")}</button></p>
    </section>
  );
}
