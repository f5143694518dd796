// What happened on the way, oldest first; a press goes to the step.

import { RUN_COLOURS } from "../colours";
import { integer } from "../numbers";
import { runs, selectStep } from "../state";
import { say, t } from "../text";

const MOST = 12;

export function Events() {
  const shown = runs.value.map((run, index) => ({ run, index })).filter(({ run }) => run.view.events.length);
  if (!shown.length) return null;
  return (
    <section class="card" id="events" aria-labelledby="events-title">
      <header class="card-head"><h2 id="events-title">{t("view.events_head")}</h2></header>
      {shown.map(({ run, index }) => {
        const left = run.view.events.length - MOST;
        return (
          <div key={index}>
            {runs.value.length > 1 && <p class="eyebrow"><i class="run-dot" style={{ background: RUN_COLOURS[index] }} aria-hidden="true" />{run.view.name}</p>}
            <List events={run.view.events.slice(0, MOST)} />
            {left > 0 && <details><summary>{t("view.more_events", { count: left + run.view.events_left_out })}</summary><List events={run.view.events.slice(MOST)} /></details>}
          </div>
        );
      })}
    </section>
  );
}

function List({ events }: { events: import("../data").Happening[] }) {
  return (
    <ol class="events">
      {events.map((event, i) => (
        <li key={i}>
          <button type="button" class="link" onClick={() => selectStep(event.step)}>{t("view.at_step", { step: integer(event.step) })}</button>
          <span>{say(event.said)}</span>
        </li>
      ))}
    </ol>
  );
}

export function Facts() {
  return (
    <section class="card facts" id="facts" aria-labelledby="facts-title">
      <header class="card-head"><h2 id="facts-title">{t("view.facts_head")}</h2></header>
      {runs.value.map((run, index) => (
        <dl class="fact-list" key={index}>
          {runs.value.length > 1 && <div><dt>{t("view.run")}</dt><dd><i class="run-dot" style={{ background: RUN_COLOURS[index] }} aria-hidden="true" />{run.view.name}</dd></div>}
          {run.view.facts.map((fact, i) => <div key={i}><dt>{say(fact.name)}</dt><dd>{say(fact.value)}</dd></div>)}
        </dl>
      ))}
    </section>
  );
}
