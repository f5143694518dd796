// The way to the engine and back: one session, its events, and commands in turn.

import { batch, effect } from "@preact/signals";
import { announcement } from "../state";
import { say, t } from "../text";
import { Refused, ask, numberOf, type Backward, type Details, type Diagnosis, type Facts, type Frame, type Lab, type Landscape, type Network, type Prediction, type Slot, type Trials } from "./api";
import {
  backward, changedAt, contact, details, diagnoses, differences, draft, editing, facts, frames, ghost, lab, landscape, levels, lastChange, layer, layerCount, networks, predictions, opened, pace, shownSlots, torchReady,
  tracks, trials, trouble, type Track,
} from "./state";
import type { Said } from "../data";

let session = "";
let begunWith: string | null = null;
let source: EventSource | null = null;

/** Trade the token for a cookie that no script can read, and take it out of the address. */
export async function admitted(): Promise<void> {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token");
  if (!token) return;
  given.delete("token");
  history.replaceState(null, "", location.pathname + location.search + (given.size ? `#${given}` : ""));
  await fetch("/api/session", { method: "POST", headers: { "X-Headwater-Token": token } });
}

export async function loadFacts(): Promise<void> {
  facts.value = await ask<Facts>("/api/lab/facts");
  torchReady.value = facts.value.torch === "ready";
}

let opening: Promise<unknown> | null = null; // what is asked for meanwhile is meant for the lab that is to come

/** Begin a lab of one's own, or begin anew with another state; says whether it came to that before yet another was asked for. */
export async function open(state: string | null, compared: string | null = null): Promise<boolean> {
  queued = {};
  const own = (opening = ask<{ id: string }>("/api/lab/sessions", state ? { state } : {}));
  let begun: { id: string };
  try {
    begun = await own;
    if (opening !== own) {
      end(begun.id);
      return false;
    }
  } finally {
    if (opening === own) opening = null;
  }
  leave();
  session = begun.id;
  begunWith = state;
  opened.value = true;
  forget();
  listen();
  if (compared) await command("compare", { state: compared });
  return session === begun.id;
}

/** A lab that nobody looks at need not be kept. */
export function leave(): void {
  source?.close();
  if (session) end(session);
  session = "";
  opened.value = false;
}

const end = (id: string): void => { void fetch(`/api/lab/sessions/${id}`, { method: "DELETE", keepalive: true }).catch(() => undefined); };

function forget(): void {
  delete coming.a;
  delete coming.b;
  batch(() => {
    lab.value = null;
    networks.value = {};
    frames.value = {};
    diagnoses.value = {};
    predictions.value = {};
    trials.value = {};
    details.value = {};
    tracks.value = {};
    differences.value = [];
    backward.value = null;
    landscape.value = null;
    lastChange.value = null;
    ghost.value = null;
    draft.value = { ...queued };
    editing.value = "a";
  });
}

function listen(): void {
  const events = (source = new EventSource(`/api/lab/sessions/${session}/events`));
  const on = <T>(name: string, take: (data: T) => void) =>
    events.addEventListener(name, (event) => { if (events === source) due(() => take(JSON.parse((event as MessageEvent<string>).data) as T)); });
  on<Lab>("lab", (data) => { lab.value = data; if (!data.slots.b) onlyA(); });
  on<{ state: string }>("torch", (data) => {
    torchReady.value = data.state === "ready";
    if (!torchReady.value && lab.value) lab.value = { ...lab.value, playing: false }; // whoever played has gone, and the next begins at rest
  });
  on<Network>("network", (data) => { coming[data.slot] = data; });
  on<Frame>("frame", measured);
  on<Diagnosis>("diagnosis", judged);
  on<Prediction>("prediction", (data) => { predictions.value = { ...predictions.value, [data.slot]: data }; });
  on<Trials>("trials", (data) => { trials.value = { ...trials.value, [data.slot]: data }; });
  on<Details>("details", (data) => { details.value = { ...details.value, [data.slot]: { ...details.value[data.slot], ...data } }; });
  on<{ said: Said[] }>("difference", (data) => { differences.value = data.said; });
  on<{ said: Said; fatal: boolean }>("trouble", (data) => {
    trouble.value = data.said;
    if (data.fatal && begunWith) void open(null).catch(() => undefined); // a state that cannot be built leaves a lab to work in
  });
  events.onopen = () => { contact.value = "live"; };
  events.onerror = () => {
    if (contact.value !== "lost") announcement.value = t("view.state_lost");
    contact.value = "lost";
    if (lab.value) lab.value = { ...lab.value, playing: false }; // of which nobody knows until there is word again
  };
}

// Many events may come between two pictures: they are taken together, before the next.
const waiting: (() => void)[] = [];

function due(take: () => void): void {
  waiting.push(take);
  if (waiting.length > 1) return;
  const flush = () => batch(() => { for (const one of waiting.splice(0)) one(); });
  if (document.hidden) setTimeout(flush, 200);
  else requestAnimationFrame(flush);
}

/** Another verdict is told to those who do not see it; the same one with newer numbers is not. */
function judged(diagnosis: Diagnosis): void {
  const before = diagnoses.value[diagnosis.slot];
  const finding = diagnosis.findings[0];
  if (!before || before.findings[0]?.symptom !== finding?.symptom || before.verdict !== diagnosis.verdict)
    announcement.value = say(finding ? finding.plain : diagnosis.headline);
  diagnoses.value = { ...diagnoses.value, [diagnosis.slot]: diagnosis };
}

function onlyA(): void {
  if (editing.value === "b") editing.value = "a";
  for (const kept of [networks, frames, diagnoses, predictions, details, tracks] as { value: Partial<Record<Slot, unknown>> }[])
    if (kept.value.b) kept.value = { a: kept.value.a };
  differences.value = [];
}

// A network is shown from its first frame on: what stood there before stays until then, and nothing flickers.
const coming: Partial<Record<Slot, Network>> = {};

const SETTLED_MS = 1500; // a slider on its way is one change
let rebuilt = 0;
let ghosted: string | null = null; // the state the ghost is not to be of: a reset builds the same again

function shown(network: Network): void {
  const { slot } = network;
  const before = levels.value[slot]?.gradient;
  const anew = lab.value?.slots[slot]?.state !== ghosted;
  if (slot === "a" && before && anew && !lab.value?.slots.b && performance.now() - rebuilt > SETTLED_MS) ghost.value = before;
  if (slot === "a") {
    rebuilt = performance.now();
    ghosted = lab.value?.slots.a?.state ?? null;
  }
  networks.value = { ...networks.value, [slot]: network };
  tracks.value = { ...tracks.value, [slot]: emptyTrack() };
  changedAt.value = { ...changedAt.value, [slot]: [] };
  const { [slot]: _, ...others } = details.value;
  details.value = others;
  backward.value = null;
  landscape.value = null;
  layer.value = Math.min(layer.value, layerCount.value);
}

const emptyTrack = (): Track => ({ x: [], loss: [], at: [], trainLoss: [], testLoss: [], train: [], test: [] });

function measured(frame: Frame): void {
  const next = coming[frame.slot];
  if (next?.version === frame.version) {
    delete coming[frame.slot];
    shown(next);
  } else if (networks.value[frame.slot]?.version !== frame.version) return;
  const before = tracks.value[frame.slot] ?? emptyTrack();
  const anew = frame.step === 0 || (frame.course.length > 0 && before.x.length > 0 && frame.course[0][0] <= before.x[before.x.length - 1]);
  const track = anew ? emptyTrack() : before;
  const scores = anew ? frame.scores : frame.scores.filter(([step]) => !track.at.includes(step));
  const known = frames.value[frame.slot];
  // The way through time is measured more rarely than the rest: its last numbers stay.
  if (known?.version === frame.version && !Object.keys(frame.sites.time ?? {}).length) frame.sites.time = known.sites.time;
  frames.value = { ...frames.value, [frame.slot]: frame };
  tracks.value = {
    ...tracks.value,
    [frame.slot]: {
      x: track.x.concat(frame.course.map(([step]) => step)), loss: track.loss.concat(frame.course.map(([, loss]) => numberOf(loss))),
      at: track.at.concat(scores.map(([step]) => step)),
      trainLoss: track.trainLoss.concat(scores.map((one) => numberOf(one[1]))), testLoss: track.testLoss.concat(scores.map((one) => numberOf(one[2]))),
      train: track.train.concat(scores.map((one) => numberOf(one[3]))), test: track.test.concat(scores.map((one) => numberOf(one[4]))),
    },
  };
}

const UNASKED = ["view", "goal"]; // by the page itself: what somebody has been told stays

/** Tell the engine to do something; what it refuses is shown, and the lab stays as it is. */
export async function command<T = null>(what: string, fields: Record<string, unknown> = {}): Promise<T | null> {
  while (opening) await opening.catch(() => undefined);
  if (!session) return null;
  const asked = session;
  try {
    const answer = await ask<{ lab: Lab; result: T | null }>(`/api/lab/sessions/${session}/commands`, { do: what, ...fields });
    if (asked !== session || opening) return null; // of a lab that has been left
    lab.value = answer.lab;
    if (!answer.lab.slots.b) onlyA();
    if (!UNASKED.includes(what)) trouble.value = null;
    return answer.result;
  } catch (error) {
    if (asked !== session || opening) return null;
    trouble.value = error instanceof Refused && error.said ? error.said : t(!(error instanceof Refused) ? "view.no_server" : error.status === 403 ? "view.not_admitted" : "lab.page.refused");
    return null;
  }
}

/** Put a network beside the first as an address describes it; throws what is refused. */
export async function compare(state: string): Promise<void> {
  const answer = await ask<{ lab: Lab }>(`/api/lab/sessions/${session}/commands`, { do: "compare", state });
  lab.value = answer.lab;
}

let changing: Promise<void> | null = null;
let queued: Record<string, unknown> = {};

/** Change controls; while one change is on its way the next ones gather, and the last of each counts. */
export function change(controls: Record<string, unknown>): void {
  draft.value = { ...draft.value, ...controls };
  queued = { ...queued, ...controls };
  changing ??= work().finally(() => { changing = null; });
}

async function work(): Promise<void> {
  while (Object.keys(queued).length) {
    while (opening) await opening.catch(() => undefined);
    const [sent, slot] = [queued, editing.value];
    queued = {};
    const done = await command<{ kept: boolean; said: Said }>("change", { slot, controls: sent });
    batch(() => {
      if (done) {
        lastChange.value = done.said;
        announcement.value = say(done.said);
        const step = lab.value?.slots[slot]?.step ?? 0;
        if (done.kept && step) changedAt.value = { ...changedAt.value, [slot]: [...(changedAt.value[slot] ?? []), step] };
      }
      if (!Object.keys(queued).length) draft.value = {};
    });
  }
}

export const toggle = (): void => { if (lab.value?.playing) void command("pause"); else void command("play", { pace: pace.value }); };

export function setPace(updates: number): void {
  pace.value = updates;
  if (lab.value?.playing) void command("play", { pace: updates });
}

export const stepOnce = (): void => { void command("step", { steps: 1 }); };
export const reset = (): void => { backward.value = null; void command("reset"); };

export async function backwardPass(slot: Slot): Promise<void> {
  const pass = await command<Backward>("backward", { slot });
  if (pass) backward.value = { slot, pass, at: 0 };
}

export async function drawLandscape(slot: Slot): Promise<void> {
  const found = await command<Landscape>("landscape", { slot, size: 25 });
  if (found) landscape.value = found;
}

/** Wait until every network is built and measured. */
export async function built(): Promise<void> {
  const own = session;
  await new Promise<void>((done) => {
    const stop = effect(() => {
      const slots = shownSlots.value;
      if (own !== session || (slots.length > 0 && slots.every((slot) => frames.value[slot]))) setTimeout(() => { stop(); done(); });
    });
  });
}

/** Play until every network has taken so many steps or has stopped by itself, then pause. */
export async function playTo(steps: number): Promise<void> {
  const own = session;
  await command("play");
  await new Promise<void>((done) => {
    const stop = effect(() => {
      const slots = shownSlots.value;
      const far = slots.length > 0 && slots.every((slot) => (frames.value[slot]?.step ?? 0) >= steps || Boolean(frames.value[slot]?.broke));
      if (far || own !== session || (lab.value && !lab.value.playing)) setTimeout(() => { stop(); done(); });
    });
  });
  if (own === session && lab.value?.playing) await command("pause");
}
