// What the lab's engine says and takes (src/headwater/lab/), and how it is asked.

import type { Said } from "../data";
import { number } from "../numbers";

export type Slot = "a" | "b";
export const SLOTS: Slot[] = ["a", "b"];
export type Wire = number | "nan" | "inf" | "-inf" | null;

export interface Spec {
  preset: string; residual: boolean; depth: number; width: number; activation: string; activations: Record<string, string>;
  init: string; scale: number; normalisation: string; dropout: number; l1: number; l2: number; optimizer: string; learning_rate: number;
  batch_size: number; data: string; csv: string; seed: number; remedies: string[]; locked: string[]; hidden: string[]; lesson: string;
  [control: string]: unknown;
}
export interface Control {
  id: string; kind: "integer" | "number" | "choice" | "per_layer" | "flag" | "text"; low: number | null; high: number | null; log: boolean;
  choices: { id: string; name: Said }[] | null; name: Said; live: boolean;
}
export interface Activation { id: string; family: string; max_slope: number; x: number[]; phi: number[]; slope: number[] }
export interface Data { id: string; task: "classes" | "curve"; inputs: number; outputs: number; plane: boolean; name: Said }
export interface Classroom { url: string; qr: string }
export interface Facts {
  defaults: Spec; controls: Control[]; activations: Activation[]; lessons: { id: string; title: Said; guide: boolean }[];
  presets: Record<string, Partial<Spec>>; data: Data[]; torch: "loading" | "ready"; classroom: Classroom | null;
}
export interface SlotState { spec: Spec; state: string; step: number; version: number }
export interface Lab {
  playing: boolean; pace: number; slots: Partial<Record<Slot, SlotState>>; relation: "none" | "compare" | "remedy"; torch: "loading" | "ready"; limit: Said | null;
}
export interface Site { name: string; op: string; kind: string; layer: number; activation: string | null; shape: number[]; parameters: string[] }
export interface Network {
  slot: Slot; version: number; layers: number; parameters: number; task: "classes" | "curve"; inputs: number; outputs: number;
  sites: Site[]; weights: { name: string; shape: number[]; layer: number }[]; said: Said;
}
export interface Frame {
  slot: Slot; version: number; step: number; kind: "start" | "step"; loss: Wire; log10_loss: Wire;
  sites: { activation: Wire[]; gradient: Wire[]; mean: Wire[]; std: Wire[]; dead: Wire[]; saturated: Wire[]; zero: Wire[]; nonfinite: Wire[]; derivative: Wire[]; time?: Record<string, Wire[][]> };
  weights: { rms: Wire[]; gradient: Wire[]; update: Wire[]; unchanged: Wire[] };
  course: [number, Wire][]; scores: [number, Wire, Wire, Wire, Wire][]; rate: number; broke: { step: number; layer: number; said: Said } | null;
}
export interface Cure { remedies: string[]; name: Said; why: Said; wrong_when: Said; code: string }
export interface Finding {
  symptom: string; severity: "critical" | "warning" | "info"; plain: Said; sentence: Said; causes: { name: Said; share: number | null; why: Said }[]; remedies: Cure[]; layers: number[];
}
export interface Diagnosis {
  slot: Slot; step: number; verdict: string; headline: Said; findings: Finding[];
  waterfall: { totals: { category: string; name: Said; decades: number }[]; decades: number } | null;
}
export interface Prediction { slot: Slot; version: number; sites: { activation: Wire[]; gradient: Wire[] }; factor: Wire; trainable_depth: Wire; said: Said }
/** What became of the network with each remedy that is offered, tried for a moment: best first. */
export interface Trials { slot: Slot; version: number; tried: { remedies: string[]; steps: number; accuracy: Wire; loss: Wire }[] }
interface Many { sites: number[]; low: Wire[]; high: Wire[]; counts: number[][] }
export interface Details {
  slot: Slot; version: number; step: number; histograms?: Many | null; inputs?: Many | null;
  weights?: { low: Wire | Wire[]; high: Wire | Wire[]; counts: number[][]; small: Wire[] } | null; mask?: { sites: number[]; units: number[][] } | null;
  boundary?: { x: [number, number]; y: [number, number]; size: number; classes?: number[]; sure?: number[]; values?: Wire[]; points: [number, number, number][] } | { line: [number, number][]; points: [number, number][] } | null;
  units?: { sites: number[]; dead: number[][]; saturated: number[][] } | null;
}
export interface BackwardRow {
  site: string; op: string; layer: number; kind: string; log10_before: Wire; log10_after: Wire; decades: Wire; parts: { category: string; name: Said; decades: Wire }[]; slope: Wire; weight_gradient: Wire;
}
export interface Backward { loss: Wire; rows: BackwardRow[]; total: Wire }
export interface Landscape { x: number[]; y: number[]; losses: Wire[][]; step: number; said: Said }
export interface Goal { reached: boolean; conditions: { said: Said; value: Wire | string; low: Wire; high: Wire; share: boolean; holds: boolean }[] }
export interface Scene { state: string | null; compare_state: string | null; views: string[]; steps: number }
export interface Story extends Scene { said: Said }
export interface Guide {
  id: string; title: Said; claim: Said; state: string; story: Story[];
  question: { said: Said; choices: Said[]; answer: number; because: Said }; experiment: Scene;
  check: { claim: Said; seconds: number }; goal: { said: Said; hint: Said; conditions: Said[]; state: string }; previous: string | null; next: string | null;
}
export interface Check { said: Said; holds: boolean; value: Wire; low: Wire; high: Wire; interval: [Wire, Wire] | null }
export interface Result {
  state: "done" | "running" | "queued"; seconds?: number; said: { seen: Said; why: Said; caveat: Said | null }; checks: Check[]; pictures_svg: Said[];
}

/** A number as it came over the line; what was not measured is NaN. */
export function numberOf(value: Wire | undefined): number {
  if (value === null || value === undefined) return NaN;
  return typeof value === "number" ? value : { nan: NaN, inf: Infinity, "-inf": -Infinity }[value];
}

/** A number as people read it; a dash where nothing was measured, which is not the same as NaN. */
export function textOf(value: Wire | undefined): string {
  return value === null || value === undefined ? "–" : number(numberOf(value));
}

/** A level (log₁₀) as the pictures take it: NaN not measured, -Infinity zero, Infinity for NaN and Inf. */
export function levelOf(value: Wire | undefined): number {
  if (value === "nan" || value === "inf") return Infinity;
  return numberOf(value);
}

/** What the engine would not do, in its own words. */
export class Refused extends Error {
  constructor(readonly status: number, readonly said: Said | null, readonly control: string | null) {
    super(said?.en ?? `${status}`);
  }
}

export async function ask<T>(path: string, body?: unknown, method?: string): Promise<T> {
  const answer = await fetch(path, body === undefined ? { method: method ?? "GET" } : { method: method ?? "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  if (answer.status === 204) return undefined as T;
  if (answer.ok) return (await answer.json()) as T;
  const told = (await answer.json().catch(() => null)) as { error?: { text: Said; control: string | null } } | null;
  throw new Refused(answer.status, told?.error?.text ?? null, told?.error?.control ?? null);
}
