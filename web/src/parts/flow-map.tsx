// The flow map: layers down, steps across, colour for size; beside it the profile at the cursor's step.

import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { paint, type Ground } from "../charts/heat";
import { PALETTES, RUN_COLOURS, cssOf, rgba, SHADES } from "../colours";
import { columnAt, type Run } from "../data";
import { fromLog10, integer, percent, power, shorten, ticks } from "../numbers";
import {
  MAPS, at, hovered, pinned, printing, reading, rowWindow, rows, runs, scaleOf, selectRow, selectStep, setRows, setSteps,
  shownRows, shownSteps, statistic, stepBy, stepWindow, theme, zoomBy, type Scale,
} from "../state";
import { language, t } from "../text";
import { announce } from "../keyboard";
import { Figure, type Table } from "./figure";
import { Profile } from "./profile";
import { LayerSearch } from "./search";
import { statisticName } from "./verdict";
import { cssValue, useWidth } from "./size";
import { Playback } from "./playback";

export function FlowMaps() {
  const known = MAPS.filter((name) => runs.value.some((run) => run.levels.has(name)));
  if (!known.length)
    return <section class="card"><p class="caption">{t("view.nothing_measured")}</p></section>;
  const name = known.includes(statistic.value) ? statistic.value : known[0];
  return (
    <Figure
      id="map" title={t("view.map_head")} caption={t(`view.about_${name}`)} table={() => tableOf(name)} class="wide"
      tools={<><LayerSearch /><Playback /></>}
    >
      <div class="map-tools">
        <div class="switch" role="group" aria-label={t("view.shown")}>
          {known.map((one) => (
            <button type="button" aria-pressed={one === name} onClick={() => (statistic.value = one)} key={one}>
              {t(`view.short_${one}`)}
            </button>
          ))}
        </div>
        <Legend name={name} />
        <div class="zoom" role="group" aria-label={t("view.zoom")}>
          <button type="button" class="quiet" onClick={() => zoomBy(0.5)} aria-label={t("view.zoom_in")}>+</button>
          <button type="button" class="quiet" onClick={() => zoomBy(2)} aria-label={t("view.zoom_out")}>−</button>
          <button type="button" class="quiet" disabled={!stepWindow.value && !rowWindow.value} onClick={resetZoom}>
            {t("view.zoom_reset")}
          </button>
        </div>
      </div>
      {runs.value.map((run, index) => <FlowMap run={run} index={index} name={name} key={index} />)}
      <Cursor name={name} />
    </Figure>
  );
}

export function resetZoom(): void {
  setSteps(null);
  setRows(null);
}

export function shownValue(name: string, level: number): string {
  if (Number.isFinite(level) && scaleOf(name).kind === "fraction") return percent(10 ** level);
  return level === -Infinity && scaleOf(name).kind === "fraction" ? percent(0) : fromLog10(level);
}

export function rangeText(name: string, low: number, high: number): string {
  const [a, b] = [shownValue(name, low), shownValue(name, high)];
  return a === b || Number.isNaN(high) ? a : `${a} … ${b}`;
}

function FlowMap({ run, index, name }: { run: Run; index: number; name: string }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const drag = useRef<{ x: number; y: number; moved: boolean } | null>(null);
  const rubber = useRef<HTMLDivElement>(null);
  const scale = scaleOf(name);
  const levels = run.levels.get(name);
  const steps = shownSteps.value;
  const [top, bottom] = shownRows.value;
  const compared = runs.value.length > 1;
  const height = mapHeight(bottom - top, compared);
  const sites = useMemo(() => rows.value.slice(top, bottom).map((row) => row.at[index]), [rows.value, top, bottom, index]);
  const shade = `${theme.value} ${printing.value}`;

  useLayoutEffect(() => {
    const element = canvas.current;
    if (!element || !width) return;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    element.width = Math.round(width * ratio);
    element.height = Math.round(height * ratio);
    const draw = element.getContext("2d");
    if (!draw || !levels) return;
    const started = performance.now();
    const heat = { levels, columns: run.columns, first: run.first, last: run.last, sites };
    draw.putImageData(paint(heat, scale, steps, element.width, element.height, groundNow()), 0, 0);
    element.dataset.drawnMs = (performance.now() - started).toFixed(2);
  }, [run, levels, width, height, steps, sites, scale, shade]);

  const place = (event: PointerEvent | MouseEvent) => {
    const bounds = box.current!.getBoundingClientRect();
    const x = Math.min(Math.max((event.clientX - bounds.left) / bounds.width, 0), 1);
    const y = Math.min(Math.max((event.clientY - bounds.top) / bounds.height, 0), 0.9999);
    return { x, y, step: steps[0] + x * (steps[1] - steps[0]), row: top + Math.floor(y * (bottom - top)) };
  };
  const onDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    const { x, y } = place(event);
    drag.current = { x, y, moved: false };
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
  };
  const onMove = (event: PointerEvent) => {
    const here = place(event);
    if (drag.current && event.buttons) {
      drag.current.moved ||= Math.abs(here.x - drag.current.x) * width > 5 || Math.abs(here.y - drag.current.y) * height > 12;
      if (drag.current.moved && event.pointerType === "mouse") showRubber(rubber.current, drag.current, here);
    }
    hovered.value = { row: here.row, step: snapped(run, here.step) };
  };
  const onUp = (event: PointerEvent) => {
    const begun = drag.current;
    drag.current = null;
    hideRubber(rubber.current);
    if (!begun) return;
    const here = place(event);
    if (begun.moved && event.pointerType === "mouse") {
      const [left, right] = [Math.min(begun.x, here.x), Math.max(begun.x, here.x)];
      if ((right - left) * width > 8) setSteps([steps[0] + left * (steps[1] - steps[0]), steps[0] + right * (steps[1] - steps[0])]);
      const [up, down] = [Math.min(begun.y, here.y), Math.max(begun.y, here.y)];
      const high = (down - up) * height;
      if (high > 40 && high < 0.75 * height && bottom - top > 12) setRows([top + Math.floor(up * (bottom - top)), top + Math.ceil(down * (bottom - top))]);
      return;
    }
    selectRow(here.row);
    selectStep(snapped(run, here.step));
  };
  const onWheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return; // a page scrolls where nobody asked for zoom
    event.preventDefault();
    zoomBy(event.deltaY > 0 ? 1.25 : 0.8, place(event).step);
  };

  const summary = sentence(run, index, name);
  return (
    <div class="map-block">
      {compared && <p class="eyebrow"><i class="run-dot" style={{ background: RUN_COLOURS[index] }} aria-hidden="true" />{run.view.name}</p>}
      <div class="map-grid">
        <RowLabels height={height} />
        <div
          class="map-box" ref={box} style={{ height: `${height}px` }} tabIndex={0} role="group" id={index ? undefined : "map-grid"}
          aria-label={t("view.map_keys")} onKeyDown={onMapKey}
          onPointerDown={onDown} onPointerMove={onMove} onPointerUp={onUp}
          onPointerLeave={() => { if (!drag.current) hovered.value = null; }}
          onDblClick={resetZoom} onWheel={onWheel}
        >
          <canvas ref={canvas} role="img" aria-label={summary} style={{ width: "100%", height: `${height}px` }} />
          <Crosshair height={height} />
          <div class="rubber" ref={rubber} hidden />
        </div>
        <Profile index={index} name={name} height={height} scale={scale} />
        <Alarms run={run} />
        <StepAxis />
      </div>
    </div>
  );
}

export function mapHeight(count: number, compared: boolean): number {
  const most = (compared ? 360 : 560) * (printing.value ? 0.7 : 1);
  return Math.round(Math.min(Math.max(count * 22, 88), most));
}

function onMapKey(event: KeyboardEvent): void {
  const far = event.shiftKey ? 10 : 1;
  const moves: Record<string, () => void> = {
    ArrowLeft: () => stepBy(-far), ArrowRight: () => stepBy(far),
    ArrowUp: () => selectRow(pinned.value.row - far), ArrowDown: () => selectRow(pinned.value.row + far),
    Home: () => selectStep(shownSteps.value[0]), End: () => selectStep(shownSteps.value[1] - 1),
    "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2),
  };
  const move = moves[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  hovered.value = null;
  move();
  announce();
}

/** A step that was measured, at or before the pointer. */
function snapped(run: Run, step: number): number {
  const column = Math.max(columnAt(run.first, step), 0);
  return run.first[column] ?? 0;
}

function showRubber(element: HTMLDivElement | null, from: { x: number; y: number }, to: { x: number; y: number }): void {
  if (!element) return;
  element.hidden = false;
  Object.assign(element.style, {
    left: `${100 * Math.min(from.x, to.x)}%`, width: `${100 * Math.abs(from.x - to.x)}%`, top: "0", height: "100%",
  });
}

function hideRubber(element: HTMLDivElement | null): void {
  if (element) element.hidden = true;
}

function groundNow(): Ground {
  const parse = (name: string) => {
    const hex = cssValue(name).replace("#", "");
    return rgba(parseInt(hex.slice(0, 2), 16), parseInt(hex.slice(2, 4), 16), parseInt(hex.slice(4, 6), 16));
  };
  return { zero: parse("--zero"), hatch: parse("--hatch"), missing: parse("--missing"), gapFrom: 13 * Math.min(window.devicePixelRatio || 1, 2) };
}

const LETTER = 6.8; // pixels, of the labels' type

/** Names beside the rows: as many as there is room for, and always the one under the cursor. */
export function RowLabels({ height }: { height: number }) {
  const [top, bottom] = shownRows.value;
  const count = Math.max(bottom - top, 1);
  const every = Math.max(Math.ceil((15 * count) / height), 1);
  const here = at.value.row;
  const [box, width] = useWidth<HTMLDivElement>();
  const cells = Math.min(Math.max(Math.floor((width - 16) / LETTER), 6), 22);
  const labels: number[] = [];
  for (let row = top; row < bottom; row++) {
    const index = row - top;
    const near = Math.abs(row - here) * (height / count);
    if (row === here || (index % every === 0 && near >= 15)) labels.push(row);
  }
  return (
    <div class="row-labels" ref={box} style={{ height: `${height}px` }} aria-hidden="true">
      {labels.map((row) => (
        <button
          type="button" tabIndex={-1} key={row} class={row === here ? "here" : ""} title={rows.value[row]?.name}
          style={{ top: `${((row - top + 0.5) * height) / count}px` }} onClick={() => selectRow(row)}
        >
          {shorten(rows.value[row]?.name || "(model)", cells)}
        </button>
      ))}
    </div>
  );
}

function Crosshair({ height }: { height: number }) {
  const [from, to] = shownSteps.value;
  const [top, bottom] = shownRows.value;
  const { row, step } = at.value;
  const x = (100 * (step + 0.5 - from)) / (to - from);
  const tall = height / Math.max(bottom - top, 1);
  return (
    <>
      {x >= 0 && x <= 100 && <i class="cross-step" style={{ left: `${x}%` }} />}
      {row >= top && row < bottom && <i class="cross-row" style={{ top: `${(row - top) * tall}px`, height: `${Math.max(tall, 2)}px` }} />}
    </>
  );
}

export function StepAxis() {
  const [from, to] = shownSteps.value;
  return (
    <div class="step-axis" aria-hidden="true">
      {ticks(from, to, 7).map((step) => (
        <span key={step} class={step > to - 0.03 * (to - from) ? "end" : ""} style={{ left: `${(100 * (step - from)) / (to - from)}%` }}>{integer(step)}</span>
      ))}
      <b>{t("view.steps")}</b>
    </div>
  );
}

/** Events on the steps' axis; a press goes to the step. */
export function Alarms({ run }: { run: Run }) {
  const [from, to] = shownSteps.value;
  const shown = run.view.events.filter((event) => event.step >= from && event.step < to);
  if (!run.view.events.length) return null;
  const seen = new Set<number>();
  const marks = shown.filter((event) => {
    const cell = Math.round((100 * (event.step - from)) / (to - from));
    if (seen.has(cell)) return false;
    seen.add(cell);
    return true;
  });
  return (
    <div class="alarm-strip" aria-hidden="true">
      {marks.map((event, i) => (
        <button
          type="button" tabIndex={-1} key={i} class={event.id.replace(/\W/g, "-")} title={`${integer(event.step)}: ${event.said[language.value]}`}
          style={{ left: `${(100 * (event.step + 0.5 - from)) / (to - from)}%` }} onClick={() => selectStep(event.step)}
        />
      ))}
    </div>
  );
}

function Legend({ name }: { name: string }) {
  const scale = scaleOf(name);
  const palette = PALETTES[scale.kind];
  const stops = Array.from({ length: 9 }, (_, i) => cssOf(palette[Math.round((i * (SHADES - 1)) / 8)])).join(", ");
  const marks = scale.kind === "fraction" ? [0, 0.5, 1] : [scale.low, Math.round((scale.low + scale.high) / 2), scale.high];
  return (
    <div class="legend" role="group" aria-label={t("view.legend", { low: markText(scale, marks[0]), high: markText(scale, marks[2]) })}>
      <div class="ramp-box">
        <i class="ramp" style={{ background: `linear-gradient(to right, ${stops})` }} />
        <span class="ramp-marks">{[...new Set(marks)].map((mark) => <span key={mark}>{markText(scale, mark)}</span>)}</span>
      </div>
      {scale.kind === "size" && <span><i class="key-zero" />{t("view.key_zero")}</span>}
      <span><i class="key-broken">×</i>{t("view.key_nonfinite")}</span>
      <span><i class="key-missing" />{t("view.key_missing")}</span>
    </div>
  );
}

function markText(scale: Scale, mark: number): string {
  return scale.kind === "fraction" ? percent(mark) : power(mark);
}

/** What stands under the cursor, in words; announced when the keyboard moves it. */
function Cursor({ name }: { name: string }) {
  return <p class="cursor-line" id="cursor-line">{runs.value.map((_, i) => (
    <span key={i}>
      {runs.value.length > 1 && <i class="run-dot" style={{ background: RUN_COLOURS[i] }} aria-hidden="true" />}
      {cursorText(i, name)}
    </span>
  ))}</p>;
}

export function cursorText(run: number, name: string): string {
  const { row, step } = at.value;
  const { low, high } = reading(run, name, row, step);
  return t("view.cursor", {
    layer: rows.value[row]?.name || "(model)", step: integer(step), statistic: statisticName(name),
    value: Number.isNaN(low) ? t("view.not_measured") : rangeText(name, low, high),
  });
}

/** What the picture shows, in one sentence: where the numbers begin and end, and how far apart they lie. */
function sentence(run: Run, index: number, name: string): string {
  const count = rows.value.length;
  const last = run.columns ? run.first[run.columns - 1] : 0;
  const first = firstKnown(index, name, last, count, 1);
  const end = firstKnown(index, name, last, count, -1);
  return t("view.map_sentence", {
    statistic: statisticName(name), sites: integer(count), from: integer(run.first[0] ?? 0), to: integer(last),
    first: first.name, first_value: first.value, last: end.name, last_value: end.value,
  });
}

function firstKnown(run: number, name: string, step: number, count: number, direction: 1 | -1) {
  for (let i = 0; i < count; i++) {
    const row = direction > 0 ? i : count - 1 - i;
    const { low, high } = reading(run, name, row, step);
    if (!Number.isNaN(low)) return { name: rows.value[row].name || "(model)", value: rangeText(name, low, high) };
  }
  return { name: "–", value: "–" };
}

const TABLE_STEPS = 10;

/** Numbers of the shown part: every row, at steps spread evenly over it. */
function tableOf(name: string): Table {
  const [from, to] = shownSteps.value;
  const [top, bottom] = shownRows.value;
  const some = Array.from({ length: TABLE_STEPS }, (_, i) => Math.round(from + ((to - 1 - from) * i) / (TABLE_STEPS - 1)));
  const steps = [...new Set(some)];
  const many = runs.value.length > 1;
  const head = [t("view.layer"), ...runs.value.flatMap((run) => steps.map((step) => `${many ? `${run.view.name} · ` : ""}${integer(step)}`))];
  const body = rows.value.slice(top, bottom).map((row, i) => [
    row.name || "(model)",
    ...runs.value.flatMap((_, run) => steps.map((step) => {
      const { low, high } = reading(run, name, top + i, step);
      return rangeText(name, low, high);
    })),
  ]);
  return { head, rows: body };
}
