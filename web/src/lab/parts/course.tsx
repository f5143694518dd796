// How the training goes: loss, accuracies with the gap between them, and for 2-D data what the network answers where.

import { useMemo } from "preact/hooks";
import { integer, number, percent } from "../../numbers";
import { Figure, type Table } from "../../parts/figure";
import { language } from "../../text";
import type { Slot } from "../api";
import { changedAt, details, networks, paired, shownSlots, calmTracks, type Track } from "../state";
import { w } from "../words";
import { Boundary } from "./boundary";
import { slotColour, slotName } from "./controls";
import { Curves, type Curve } from "./curves";

const EMPTY: Track = { x: [], loss: [], at: [], trainLoss: [], testLoss: [], train: [], test: [] };
const MOST_POINTS = 1500;

export function Course() {
  const slots = shownSlots.value;
  const classes = slots.every((slot) => networks.value[slot]?.task !== "curve");
  return (
    <div class="pair">
      <Loss slots={slots} />
      {classes && <Accuracy slots={slots} />}
      {slots.map((slot) => <Plane slot={slot} key={slot} />)}
    </div>
  );
}

const trackOf = (slot: Slot): Track => calmTracks.value[slot] ?? EMPTY;

/** So few points that a browser draws them at once; the last one is always among them. */
function thinned(x: number[], y: number[]): { x: number[]; y: number[] } {
  const every = Math.ceil(x.length / MOST_POINTS);
  if (every <= 1) return { x, y };
  const keep = (_: number, i: number) => i % every === 0 || i === x.length - 1;
  return { x: x.filter(keep), y: y.filter(keep) };
}

function Loss({ slots }: { slots: Slot[] }) {
  const curves = useMemo<Curve[]>(() => slots.flatMap((slot) => {
    const track = trackOf(slot);
    const own = (id: string) => (paired.value ? `${slotName(slot)} · ${w(id)}` : w(id));
    return [
      { label: own("loss_batch"), ...thinned(track.x, track.loss), colour: slotColour(slot) },
      { label: own("loss_test"), x: track.at, y: track.testLoss, colour: paired.value ? slotColour(slot) : "var(--run-1)", dash: [6, 3] },
    ];
  }), [calmTracks.value, slots.join(), language.value]);
  const log = spansDecades(curves);
  return (
    <Figure id="loss" title={w("loss_head")} table={() => tableOf(curves)}>
      <Curves curves={curves} height={170} log={log} summary={sentence(curves)} format={number} marks={slots.flatMap((slot) => changedAt.value[slot] ?? [])} names={{ under: w("step_word") }} />
      <Key curves={curves} format={number} note={log ? w("log_axis") : ""} />
    </Figure>
  );
}

const SHARE: [number, number] = [0, 1];

function Accuracy({ slots }: { slots: Slot[] }) {
  const curves = useMemo<Curve[]>(() => slots.flatMap((slot) => {
    const track = trackOf(slot);
    const own = (id: string) => (paired.value ? `${slotName(slot)} · ${w(id)}` : w(id));
    return [
      { label: own("train"), x: track.at, y: track.train, colour: slotColour(slot) },
      { label: own("test"), x: track.at, y: track.test, colour: paired.value ? slotColour(slot) : "var(--run-1)", dash: [6, 3] },
    ];
  }), [calmTracks.value, slots.join(), language.value]);
  const gap = slots.length === 1 ? (trackOf(slots[0]).train.at(-1) ?? NaN) - (trackOf(slots[0]).test.at(-1) ?? NaN) : NaN;
  return (
    <Figure id="accuracy" title={w("accuracy_head")} table={() => tableOf(curves)}>
      <Curves
        curves={curves} height={170} range={SHARE} summary={sentence(curves)} format={percent} names={{ under: w("step_word") }}
        shaded={slots.map((_, i) => [2 * i, 2 * i + 1] as [number, number])}
      />
      <Key curves={curves} format={percent} note={Number.isFinite(gap) ? w("gap", { points: number(100 * gap) }) : ""} />
    </Figure>
  );
}

function Key({ curves, format, note }: { curves: Curve[]; format: (value: number) => string; note: string }) {
  return (
    <ul class="plot-key">
      {curves.map((one) => (
        <li key={one.label}>
          <svg viewBox="0 0 24 4" aria-hidden="true"><line x1="0" x2="24" y1="2" y2="2" stroke={one.colour} stroke-width="2.4" stroke-dasharray={one.dash?.join(" ")} /></svg>
          {one.label} <b>{one.y.length ? format(one.y[one.y.length - 1] ?? NaN) : "–"}</b>
        </li>
      ))}
      {note && <li class="faint">{note}</li>}
    </ul>
  );
}

function Plane({ slot }: { slot: Slot }) {
  const found = details.value[slot]?.boundary;
  if (!found) return null;
  const title = paired.value ? `${slotName(slot)} · ${w("plane_head")}` : w("plane_head");
  if ("line" in found)
    return (
      <Figure id={`plane-${slot}`} title={title} table={() => ({ head: ["x", "y"], rows: found.line.filter((_, i) => i % 5 === 0).map((one) => one.map(number)) })}>
        <Fitted found={found} colour={slotColour(slot)} />
      </Figure>
    );
  return (
    <Figure id={`plane-${slot}`} title={title} caption={w(found.values ? "plane_numbers" : "plane_about")} table={() => ({ head: ["x", "y", w(found.values ? "value" : "class")], rows: found.points.slice(0, 60).map(([x, y, label]) => [number(x), number(y), found.values ? number(label) : label]) })}>
      <Boundary plane={found} label={w("plane_sentence", { points: found.points.length })} />
    </Figure>
  );
}

function Fitted({ found, colour }: { found: { line: [number, number][]; points: [number, number][] }; colour: string }) {
  const every = [...found.line, ...found.points];
  const [x0, x1] = [Math.min(...every.map(([x]) => x)), Math.max(...every.map(([x]) => x))];
  const [y0, y1] = [Math.min(...every.map(([, y]) => y)), Math.max(...every.map(([, y]) => y))];
  const at = ([x, y]: [number, number]) => `${(300 * (x - x0)) / (x1 - x0 || 1)} ${180 - (180 * (y - y0)) / (y1 - y0 || 1)}`;
  return (
    <svg class="fitted" viewBox="-4 -4 308 188" role="img" aria-label={w("fitted_sentence", { points: found.points.length })}>
      {found.points.map((point, i) => <circle key={i} r={2} cx={at(point).split(" ")[0]} cy={at(point).split(" ")[1]} />)}
      <path d={`M${found.line.map(at).join("L")}`} style={{ stroke: colour }} />
    </svg>
  );
}

function spansDecades(curves: Curve[]): boolean {
  const values = curves.flatMap((one) => one.y).filter((value): value is number => value !== null && Number.isFinite(value) && value > 0);
  let low = Infinity;
  let high = 0;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return high / low > 100;
}

function sentence(curves: Curve[]): string {
  return curves.map((one) => w("line_sentence", { name: one.label, first: number(one.y[0] ?? NaN), last: number(one.y[one.y.length - 1] ?? NaN), step: integer(one.x[one.x.length - 1] ?? 0) })).join(" ");
}

function tableOf(curves: Curve[]): Table {
  const steps = [...new Set(curves.flatMap((one) => one.x))].sort((a, b) => a - b);
  const every = Math.max(Math.ceil(steps.length / 60), 1);
  const tables = curves.map((one) => new Map(one.x.map((step, i) => [step, one.y[i]])));
  return {
    head: [w("step_word"), ...curves.map((one) => one.label)],
    rows: steps.filter((_, i) => i % every === 0 || i === steps.length - 1).map((step) => [integer(step), ...tables.map((table) => (table.has(step) ? number(table.get(step)) : "–"))]),
  };
}
