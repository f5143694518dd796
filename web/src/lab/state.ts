// What the lab knows at the moment, as signals: what the engine said last, and what is looked at.

import { computed, effect, signal, type Signal } from "@preact/signals";
import type { Said } from "../data";
import { SLOTS, levelOf, numberOf, type Backward, type Details, type Diagnosis, type Facts, type Frame, type Lab, type Landscape, type Network, type Prediction, type Slot, type Spec, type Trials } from "./api";

type PerSlot<T> = Partial<Record<Slot, T>>;

export const facts = signal<Facts | null>(null);
export const lab = signal<Lab | null>(null);
export const networks = signal<PerSlot<Network>>({});
export const frames = signal<PerSlot<Frame>>({});
export const diagnoses = signal<PerSlot<Diagnosis>>({});
export const predictions = signal<PerSlot<Prediction>>({});
export const trials = signal<PerSlot<Trials>>({});
export const details = signal<PerSlot<Details>>({});
export const differences = signal<Said[]>([]);
/** Whether a lab is there to be told something, also while its network is not built yet. */
export const opened = signal(false);
export const torchReady = signal(false);
export const contact = signal<"none" | "live" | "lost">("none");
export const trouble = signal<Said | string | null>(null);
export const lastChange = signal<Said | null>(null);
/** Where controls were changed while weights were kept, by slot, in steps. */
export const changedAt = signal<PerSlot<number[]>>({});

export interface Track { x: number[]; loss: number[]; at: number[]; trainLoss: number[]; testLoss: number[]; train: number[]; test: number[] }
export const tracks = signal<PerSlot<Track>>({});

const CALM_MS = 120;

/** What a signal holds, but only so often: of pictures below the first one nobody reads every update. Another network is shown at once. */
function calmed<T extends PerSlot<object>>(source: Signal<T>, isOther: (before: T, now: T) => boolean): Signal<T> {
  const calm = signal(source.value);
  let due = 0;
  effect(() => {
    const now = source.value;
    if (isOther(calm.peek(), now)) calm.value = now;
    else due ||= window.setTimeout(() => { due = 0; calm.value = source.peek(); }, CALM_MS);
  });
  return calm;
}

export const calmFrames = calmed(frames, (before, now) => SLOTS.some((slot) => before[slot]?.version !== now[slot]?.version));
export const calmTracks = calmed(tracks, (before, now) => SLOTS.some((slot) => !before[slot] !== !now[slot] || (before[slot]?.x.length ?? 0) > (now[slot]?.x.length ?? 0)));

/** The lab, a list of lessons, or one lesson. */
export const place = signal<"lab" | "lessons">("lab");
export const editing = signal<Slot>("a");
export const layer = signal(1);
export const hoveredLayer = signal<number | null>(null);
export const projector = signal(false);
export const fitted = signal(false);
export const drawer = signal(false);
export const backward = signal<{ slot: Slot; pass: Backward; at: number } | null>(null);
export const landscape = signal<Landscape | null>(null);
/** Gradient levels of the network that stood here before the last change, to compare with. */
export const ghost = signal<number[] | null>(null);
export const pace = signal(0);
export const draft = signal<Record<string, unknown>>({});

export const shownSlots = computed<Slot[]>(() => SLOTS.filter((slot) => lab.value?.slots[slot]));
export const playing = computed(() => lab.value?.playing ?? false);
export const paired = computed(() => shownSlots.value.length > 1);
export const shownLayer = computed(() => hoveredLayer.value ?? layer.value);
export const layerCount = computed(() => Math.max(1, ...shownSlots.value.map((slot) => networks.value[slot]?.layers ?? 0)));

/** The spec of a slot as its controls show it: what was just set stands before the engine has answered. */
export const spec = computed<Spec | null>(() => {
  const known = lab.value?.slots[editing.value]?.spec ?? lab.value?.slots.a?.spec ?? facts.value?.defaults;
  return known ? { ...known, ...draft.value } : null;
});

/** Of each layer the site that stands for it: its activation, or where it has none its last operation. */
export function sitesOf(network: Network): number[] {
  return Array.from({ length: network.layers }, (_, index) => {
    const own = network.sites.map((site, at) => ({ site, at })).filter(({ site }) => site.layer === index + 1);
    return (own.find(({ site }) => site.kind === "activation") ?? own.at(-1))?.at ?? -1;
  });
}

export interface Levels { signal: number[]; gradient: number[]; theorySignal: number[]; theoryGradient: number[] }

/** The sizes of a slot's layers as they are drawn. */
export const levels = computed<PerSlot<Levels>>(() => {
  const found: PerSlot<Levels> = {};
  for (const slot of shownSlots.value) {
    const network = networks.value[slot];
    const frame = frames.value[slot];
    if (!network || !frame || frame.version !== network.version) continue;
    const sites = sitesOf(network);
    const theory = predictions.value[slot];
    const of = (values: Parameters<typeof levelOf>[0][] | undefined) => sites.map((site) => (site < 0 ? NaN : levelOf(values?.[site])));
    const expected = theory?.version === network.version ? theory.sites : undefined;
    found[slot] = {
      signal: of(frame.sites.activation), gradient: of(frame.sites.gradient), theorySignal: of(expected?.activation), theoryGradient: of(expected?.gradient),
    };
  }
  return found;
});

export function shareAt(slot: Slot, what: "dead" | "saturated" | "derivative", index: number): number {
  const network = networks.value[slot];
  const frame = frames.value[slot];
  if (!network || !frame) return NaN;
  return numberOf(frame.sites[what][sitesOf(network)[index]]);
}
