// The sentence: what is wrong, why, what to change; a button that does it, and what came of it.

import { useState } from "preact/hooks";
import { fromLog10, number, percent } from "../../numbers";
import { say } from "../../text";
import { Glyph } from "../../parts/verdict";
import { numberOf, type Cure, type Diagnosis, type Finding, type Slot, type Trials } from "../api";
import { command } from "../engine";
import { diagnoses, differences, frames, lab, levels, networks, shownSlots, torchReady, tracks, trials } from "../state";
import { w } from "../words";
import { slotColour, slotName } from "./controls";

export function Says() {
  const relation = lab.value?.relation ?? "none";
  if (!lab.value) return <section class="says waiting-says"><h1>{w("opening")}</h1></section>;
  if (relation === "remedy" && lab.value.slots.b) return <Outcome />;
  const slot: Slot = "a";
  return (
    <>
      <Broken />
      <div class={shownSlots.value.length > 1 ? "sayings" : undefined}>
        {shownSlots.value.map((one) => <Sentence key={one} slot={one} alone={relation === "none"} first={one === slot} />)}
      </div>
    </>
  );
}

function statusOf(diagnosis: Diagnosis | undefined): string {
  if (!diagnosis) return "cannot_tell";
  return diagnosis.findings[0]?.severity ?? (diagnosis.verdict === "healthy" ? "healthy" : "cannot_tell");
}

function Sentence({ slot, alone, first }: { slot: Slot; alone: boolean; first: boolean }) {
  const diagnosis = diagnoses.value[slot];
  const finding = diagnosis?.findings[0];
  const status = statusOf(diagnosis);
  const Heading = first ? "h1" : "h2";
  const asked = Boolean(lab.value?.slots[slot]?.spec.lesson); // a lesson leaves the finding of a remedy to the student
  return (
    <section class={`says ${status}`}>
      <div>
        {!alone && <p class="eyebrow"><i class="run-dot" style={{ background: slotColour(slot) }} aria-hidden="true" />{slotName(slot)}</p>}
        <Heading>{diagnosis && <Glyph status={status} />}<span>{diagnosis ? (finding ? say(finding.plain) : say(diagnosis.headline)) : w(torchReady.value ? "measuring" : "torch_loading")}</span></Heading>
        {finding && <Why finding={finding} />}
        {finding && say(finding.sentence) !== say(finding.plain) && <details class="expert"><summary>{w("exactly")}</summary><p>{say(finding.sentence)}</p></details>}
        {diagnosis && diagnosis.findings.length > 1 && <More diagnosis={diagnosis} />}
      </div>
      {finding && finding.remedies.length > 0 && alone && !asked && <Cures cures={finding.remedies} slot={slot} />}
    </section>
  );
}

function Why({ finding }: { finding: Finding }) {
  const cause = finding.causes[0];
  if (!cause) return null;
  return <p class="why"><b>{w("because")}</b> {say(cause.name)}{cause.share !== null ? ` (${percent(cause.share)})` : ""}. {say(cause.why)}</p>;
}

function More({ diagnosis }: { diagnosis: Diagnosis }) {
  return (
    <details>
      <summary>{w("also", { count: diagnosis.findings.length - 1 })}</summary>
      <ul class="plain">{diagnosis.findings.slice(1).map((one, i) => <li key={i} title={say(one.sentence)}>{say(one.plain)}</li>)}</ul>
    </details>
  );
}

function Cures({ cures, slot }: { cures: Cure[]; slot: Slot }) {
  const [all, setAll] = useState(false);
  const found = trials.value[slot];
  const tried = found?.version === networks.value[slot]?.version ? found!.tried : [];
  const trialOf = (cure: Cure) => tried.find((one) => one.remedies.join() === cure.remedies.join());
  const place = (cure: Cure) => { const trial = trialOf(cure); return trial ? tried.indexOf(trial) : tried.length; };
  const shown = cures.toSorted((a, b) => place(a) - place(b)); // as long as none was tried, in the order of the diagnosis
  return (
    <div class="cure">
      <p class="faint">{w("what_to_change")}</p>
      {(all ? shown : shown.slice(0, 1)).map((cure, i) => (
        <div key={cure.remedies.join()}>
          {cure.remedies.length > 0
            ? <button type="button" class={i ? "second" : "primary do-it"} title={say(cure.why)} onClick={() => void apply(cure)}>{w("do_it", { name: say(cure.name) })}</button>
            : <p class="advice">{say(cure.why)}</p>}
          <Tried trial={trialOf(cure)} />
        </div>
      ))}
      {cures.length > 1 && <button type="button" class="link" aria-expanded={all} onClick={() => setAll(!all)}>{w(all ? "fewer_cures" : "more_cures", { count: cures.length - 1 })}</button>}
    </div>
  );
}

/** What a remedy has done to this very network, when it was tried beside it. */
function Tried({ trial }: { trial: Trials["tried"][number] | undefined }) {
  if (!trial || trial.loss === null) return null;
  const [accuracy, loss] = [numberOf(trial.accuracy), numberOf(trial.loss)];
  const outcome = Number.isFinite(accuracy) ? w("tried_accuracy", { share: percent(accuracy), steps: trial.steps }) : w(Number.isFinite(loss) ? "tried_loss" : "tried_broke", { loss: number(loss), steps: trial.steps });
  return <p class="tried">{outcome}</p>;
}

let applied: Cure | null = null;

async function apply(cure: Cure): Promise<void> {
  applied = cure;
  await command("apply", { remedies: cure.remedies });
  if (lab.value?.relation === "remedy" && !lab.value.playing) await command("play");
}

/** Before and after, on the same seed and the same batches. */
function Outcome() {
  const before = lastOf("a");
  const after = lastOf("b");
  const headline = diagnoses.value.b;
  const status = statusOf(headline);
  return (
    <section class={`says ${status}`}>
      <div>
        <h1>{headline && <Glyph status={status} />}<span>{headline ? say(headline.findings[0]?.plain ?? headline.headline) : w("measuring")}</span></h1>
        <p class="why">{w("same_start", { name: applied ? say(applied.name) : lab.value!.slots.b!.spec.remedies.join(" + ") })}</p>
        <dl class="outcome">
          <Turned name={w("first_gradient")} before={before.gradient} after={after.gradient} />
          <Turned name={w("test_accuracy")} before={before.test} after={after.test} />
        </dl>
      </div>
      <div class="cure">
        <button type="button" class="primary" onClick={() => void command("keep")}>{w("keep")}</button>
        <button type="button" class="second" onClick={() => void command("drop")}>{w("undo")}</button>
      </div>
    </section>
  );
}

function Turned({ name, before, after }: { name: string; before: string; after: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd><span class="unseen">{w("before")} </span><span class="was">{before}</span> <span aria-hidden="true">→</span> <span class="unseen">{w("after")} </span><b>{after}</b></dd>
    </div>
  );
}

function lastOf(slot: Slot): { gradient: string; test: string } {
  const level = levels.value[slot]?.gradient[0] ?? NaN;
  const test = tracks.value[slot]?.test.at(-1) ?? NaN;
  return { gradient: fromLog10(level), test: Number.isFinite(test) ? percent(test) : "–" };
}

/** What tells the two networks apart, in words, largest first. */
export function Differences() {
  if (differences.value.length === 0) return null;
  return <section class="card differences"><h2>{w("differences")}</h2><ol class="plain">{differences.value.map((one, i) => <li key={i}>{say(one)}</li>)}</ol></section>;
}

/** NaN at step 37, layer 9, because …: said by the engine, and the lab stays usable. */
function Broken() {
  const found = shownSlots.value.flatMap((slot) => frames.value[slot]?.broke ?? []);
  const limit = lab.value?.limit;
  if (!found.length && !limit) return null;
  return (
    <div class="problem" role="alert">
      {found.map((one, i) => <p key={i}>{say(one.said)}</p>)}
      {limit && <p>{say(limit)}</p>}
    </div>
  );
}
