// What the page shows at the moment, as signals; the address bar follows them.

import { computed, signal, effect } from "@preact/signals";
import { columnAt, rowsOf, type Difference, type Levels, type Run } from "./data";
import { language, type Language } from "./text";

export interface Place { row: number; step: number }
export type Range = [number, number];
export type Theme = "auto" | "light" | "dark";

export const MAPS = [
  "activation_grad_rms", "activation_rms", "dead_fraction", "saturated_fraction", "abs_cosine", "update_ratio",
];

export const runs = signal<Run[]>([]);
export const difference = signal<Difference | null>(null);
export const rows = computed(() => rowsOf(runs.value, difference.value));
export const statistic = signal(MAPS[0]);
export const pinned = signal<Place>({ row: 0, step: 0 });
export const hovered = signal<Place | null>(null);
export const at = computed(() => hovered.value ?? pinned.value);
export const stepWindow = signal<Range | null>(null);
export const rowWindow = signal<Range | null>(null);
export const theme = signal<Theme>("auto");
export const printing = signal(false);
export const playing = signal(false);
export const helping = signal(false);
export const announcement = signal("");
export const problem = signal("");
export const listed = signal<{ id: string; name: string }[]>([]);
export const followed = signal("");
export const contact = signal<"none" | "live" | "lost">("none");

/** All steps there are, to the end of the last measured one. */
export const wholeWindow = computed<Range>(() => {
  const ends = runs.value.filter((run) => run.columns > 0);
  if (!ends.length) return [0, 1];
  const low = Math.min(...ends.map((run) => run.first[0]));
  const high = Math.max(...ends.map((run) => run.last[run.columns - 1] + 1));
  return [low, Math.max(high, low + 1)];
});
export const shownSteps = computed<Range>(() => stepWindow.value ?? wholeWindow.value);
/** Room for names beside the pictures, in pixels of their type: as wide as they need, up to a limit. */
export const gutter = computed(() => {
  const longest = Math.max(4, ...rows.value.map((row) => (row.name || "(model)").length));
  return Math.min(Math.max(Math.min(longest, 22) * 6.8 + 24, 64), 176);
});
export const shownRows = computed<Range>(() => rowWindow.value ?? [0, Math.max(rows.value.length, 1)]);

export interface Scale { kind: "size" | "fraction"; low: number; high: number }

/** From where to where a statistic goes, over all runs; whole decades for sizes. What lies outside takes the end's colour. */
export function scaleOf(name: string): Scale {
  return scales.value.get(name) ?? { kind: "size", low: -1, high: 0 };
}

const RARE = 0.002; // share of the numbers that the outermost decades may hold without being drawn to scale

const scales = computed(() => {
  const found = new Map<string, Scale>();
  const names = new Set(runs.value.flatMap((run) => [...run.levels.keys()]));
  for (const name of names) {
    const parts = runs.value.flatMap((run) => run.levels.get(name) ?? []);
    if (parts[0].kind === "fraction") {
      found.set(name, { kind: "fraction", low: 0, high: 1 });
      continue;
    }
    const decades = new Map<number, number>();
    let total = 0;
    for (const levels of parts) for (const part of [levels.low, levels.high]) for (const level of part)
      if (Number.isFinite(level)) {
        const decade = Math.floor(level);
        decades.set(decade, (decades.get(decade) ?? 0) + 1);
        total++;
      }
    if (!total) continue;
    const sorted = [...decades].sort((a, b) => a[0] - b[0]);
    const inside = (order: [number, number][]): number => {
      let seen = 0;
      for (const [decade, count] of order) if ((seen += count) > RARE * total) return decade;
      return order[0][0];
    };
    found.set(name, { kind: "size", low: inside(sorted), high: inside(sorted.toReversed()) + 1 });
  }
  return found;
});

export interface Reading { low: number; high: number }

/** What a run showed of a statistic at a row and a step; NaN where nothing was measured. */
export function reading(run: number, name: string, row: number, step: number): Reading {
  const levels = runs.value[run]?.levels.get(name);
  const site = rows.value[row]?.at[run] ?? -1;
  const column = runs.value[run] && step < endOf(runs.value[run]) ? columnAt(runs.value[run].first, step) : -1;
  if (!levels || site < 0 || column < 0) return { low: NaN, high: NaN };
  return readingAt(levels, runs.value[run].columns, site, column);
}

/** Where a run's last measurement gives out: a step of another run beyond it was not measured here. */
function endOf(run: Run): number {
  if (!run.columns) return 0;
  const stride = run.columns > 1 ? (run.first[run.columns - 1] - run.first[0]) / (run.columns - 1) : 1;
  return run.last[run.columns - 1] + Math.max(stride, 1);
}

/** The same by column: the latest one with a number, since some statistics are measured more rarely than others. */
export function readingAt(levels: Levels, columns: number, site: number, column: number): Reading {
  for (let back = column; back >= 0; back--) {
    const low = levels.low[site * columns + back];
    if (!Number.isNaN(low)) return { low, high: levels.high[site * columns + back] };
  }
  return { low: NaN, high: NaN };
}

export function selectRow(row: number): void {
  const last = Math.max(rows.value.length - 1, 0);
  pinned.value = { ...pinned.value, row: Math.min(Math.max(row, 0), last) };
  keepInView();
}

export function selectStep(step: number): void {
  const [low, high] = wholeWindow.value;
  pinned.value = { ...pinned.value, step: Math.min(Math.max(step, low), high - 1) };
  keepInView();
}

/** To the measured step before or after. */
export function stepBy(columns: number): void {
  const run = runs.value.find((one) => one.columns > 0);
  if (!run) return;
  const column = Math.min(Math.max(columnAt(run.first, pinned.value.step) + columns, 0), run.columns - 1);
  selectStep(run.first[column]);
}

function keepInView(): void {
  const { row, step } = pinned.value;
  const [from, to] = shownSteps.value;
  if (stepWindow.value && (step < from || step >= to)) {
    const half = (to - from) / 2;
    setSteps([step - half, step + half]);
  }
  const [top, bottom] = shownRows.value;
  if (rowWindow.value && (row < top || row >= bottom)) {
    const half = Math.ceil((bottom - top) / 2);
    setRows([row - half, row + half]);
  }
}

/** Zoom to a range of steps, kept inside what there is; the whole of it is no zoom. */
export function setSteps(range: Range | null): void {
  const [low, high] = wholeWindow.value;
  if (!range) {
    stepWindow.value = null;
    return;
  }
  const width = Math.min(Math.max(range[1] - range[0], 4), high - low);
  const from = Math.min(Math.max(range[0], low), high - width);
  stepWindow.value = width >= high - low ? null : [from, from + width];
}

export function setRows(range: Range | null): void {
  const count = rows.value.length;
  if (!range) {
    rowWindow.value = null;
    return;
  }
  const width = Math.min(Math.max(Math.round(range[1] - range[0]), 4), count);
  const from = Math.min(Math.max(Math.round(range[0]), 0), count - width);
  rowWindow.value = width >= count ? null : [from, from + width];
}

export function zoomBy(factor: number, around?: number): void {
  const [from, to] = shownSteps.value;
  const center = around ?? Math.min(Math.max(pinned.value.step, from), to);
  setSteps([center - (center - from) * factor, center + (to - center) * factor]);
}

// The address: #layer=blocks.3&step=340&map=dead_fraction&steps=100-400&lang=ko

export function rowNamed(text: string): number {
  const byName = rows.value.findIndex((row) => row.name === text);
  if (byName >= 0) return byName;
  return /^\d+$/.test(text) && Number(text) < rows.value.length ? Number(text) : -1;
}

export function readAddress(): void {
  const given = new URLSearchParams(location.hash.slice(1));
  const asked = given.get("lang") ?? new URLSearchParams(location.search).get("lang");
  if (asked === "en" || asked === "ko") language.value = asked as Language;
  const map = given.get("map");
  if (map && MAPS.includes(map)) statistic.value = map;
  stepWindow.value = null; // or the cursor would be kept inside the part that is shown now
  const row = rowNamed(given.get("layer") ?? "");
  if (row >= 0) selectRow(row);
  const step = given.get("step");
  if (step && /^\d+$/.test(step)) selectStep(Number(step));
  const zoom = /^(\d+)-(\d+)$/.exec(given.get("steps") ?? "");
  setSteps(zoom ? [Number(zoom[1]), Number(zoom[2])] : null);
}

/** Keep the address in step with what is shown; a link copied from there opens the same view. */
export function writeAddress(): () => void {
  let due = 0;
  let first = true;
  return effect(() => {
    const { row, step } = pinned.value;
    const parts = new URLSearchParams();
    parts.set("layer", rows.value[row]?.name ?? "");
    parts.set("step", String(Math.round(step)));
    if (statistic.value !== MAPS[0]) parts.set("map", statistic.value);
    if (stepWindow.value) parts.set("steps", stepWindow.value.map(Math.round).join("-"));
    parts.set("lang", language.value);
    if (first) {
      first = false;
      return;
    }
    window.clearTimeout(due);
    due = window.setTimeout(() => history.replaceState(null, "", `#${parts}`), 150);
  });
}
