// A plot over steps (uPlot) whose cursor and zoom are those of the whole page.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { columnAt } from "../data";
import { hovered, at, printing, selectStep, setSteps, shownSteps, stepWindow, theme } from "../state";
import { integer } from "../numbers";
import { language } from "../text";
import { cssValue, useWidth } from "./size";

export interface Series { label: string; x: number[]; y: number[]; colour: string; dash?: number[]; width?: number }

interface Props { series: Series[]; height: number; log: boolean; summary: string; format: (value: number) => string }

/** The series on one table of steps, holes where one has no point. */
function aligned(series: Series[], log: boolean): uPlot.AlignedData {
  const tables = series.map(
    (one) => [one.x, one.y.map((value) => (Number.isFinite(value) && (!log || value > 0) ? value : null))] as uPlot.AlignedData,
  );
  return tables.length > 1 ? uPlot.join(tables, tables.map(() => [0, 2])) : tables[0];
}

export function Plot({ series, height, log, summary, format }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const shown = useRef(series);
  shown.current = series;
  const shade = `${theme.value} ${printing.value}`;
  const key = series.map((one) => `${one.label}|${one.colour}`).join();
  const tongue = language.value;

  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !width || !series.length) return;
    const colour = (name: string) => cssValue(name);
    const gutter = parseFloat(getComputedStyle(element).getPropertyValue("--gutter")) || 64;
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const made = new uPlot(
      {
        width, height, legend: { show: false }, pxAlign: 1,
        padding: [8, 22, 0, 0],
        cursor: {
          drag: { x: true, y: false, setScale: false }, points: { size: 6 }, y: false,
          bind: { dblclick: () => () => { setSteps(null); return null; } },
        },
        scales: {
          x: { time: false, range: () => stepsOf(shown.current) },
          y: log ? { distr: 3, log: 10 } : {},
        },
        axes: [
          { ...axis, size: 26, gap: 4, space: 70, values: (_, marks) => marks.map((mark) => (Number.isInteger(mark) ? integer(mark) : "")) },
          { ...axis, size: gutter, gap: 6, space: 26, ...(log ? { splits: powers, filter: (_, marks) => marks } as uPlot.Axis : {}), values: (_, marks) => marks.map((mark) => (mark === null ? "" : format(mark))) },
        ],
        series: [
          {},
          ...series.map((one) => ({
            label: one.label, stroke: colourOf(one.colour), width: one.width ?? 1.6, dash: one.dash, spanGaps: true,
            points: { show: one.x.length < 40, size: 5 },
          })),
        ],
        hooks: {
          setCursor: [(u) => {
            if (!u.root.matches(":hover") || u.cursor.left === undefined || u.cursor.left < 0) return;
            const step = u.posToVal(u.cursor.left, "x");
            const nearest = u.data[0][Math.max(columnAt(u.data[0] as number[], step), 0)];
            hovered.value = { row: at.peek().row, step: nearest };
          }],
          setSelect: [(u) => {
            if (u.select.width > 6) setSteps([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          }],
          draw: [(u) => crosses(u, brokenSteps(shown.current)), (u) => zeros(u, zeroSteps(shown.current))],
        },
      },
      aligned(series, log), element,
    );
    made.over.addEventListener("click", () => { if (hovered.value) selectStep(hovered.value.step); });
    made.over.addEventListener("mouseleave", () => { hovered.value = null; });
    plot.current = made;
    const stop = effect(() => {
      const [min, max] = stepsOf(shown.current);
      made.setScale("x", { min, max });
    });
    const follow = effect(() => {
      const { step } = at.value;
      if (!made.root.matches(":hover")) made.setCursor({ left: made.valToPos(step, "x"), top: 0 }, false);
    });
    return () => {
      stop();
      follow();
      made.destroy();
      plot.current = null;
    };
  }, [width, height, log, key, shade, tongue]);

  useEffect(() => {
    plot.current?.setData(aligned(series, log));
  }, [series]);

  return <div class="plot" role="img" aria-label={summary}><div ref={box} style={{ minHeight: `${height}px` }} /></div>;
}

/** The page's steps; as long as nobody has zoomed also those that were logged after the last measured one. */
function stepsOf(series: Series[]): [number, number] {
  const [from, to] = shownSteps.value;
  if (stepWindow.value) return [from, to];
  const ends = series.filter((one) => one.x.length).map((one) => one.x[one.x.length - 1] + 1);
  return [from, Math.max(to, ...ends)];
}

const MOST_POWERS = 6;

/** Marks of a logarithmic axis: powers of ten, as many as there is room for; within a decade 1, 2 and 5 as well. */
function powers(_u: uPlot, _axis: number, low: number, high: number): number[] {
  const [from, to] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  if (to - from < 1)
    return [from - 1, from, from + 1].flatMap((power) => [1, 2, 5].map((part) => part * 10 ** power)).filter((mark) => mark >= low && mark <= high);
  const stride = Math.ceil((to - from + 1) / MOST_POWERS);
  return Array.from({ length: Math.floor((to - from) / stride) + 1 }, (_, i) => 10 ** (from + i * stride));
}

function colourOf(value: string): string {
  return value.startsWith("var(") ? cssValue(value.slice(4, -1)) : value;
}

function brokenSteps(series: Series[]): number[] {
  return series.flatMap((one) => one.x.filter((_, i) => Number.isNaN(one.y[i]) || one.y[i] === Infinity));
}

function zeroSteps(series: Series[]): number[] {
  return series.flatMap((one) => one.x.filter((_, i) => one.y[i] === -Infinity));
}

/** An exact zero has no logarithm: a grey mark stands at the axis's foot. */
function zeros(u: uPlot, steps: number[]): void {
  const ratio = devicePixelRatio || 1;
  u.ctx.fillStyle = cssValue("--grey");
  for (const step of steps) {
    const x = u.valToPos(step, "x", true);
    if (x >= u.bbox.left && x <= u.bbox.left + u.bbox.width) u.ctx.fillRect(x - ratio, u.bbox.top + u.bbox.height - 5 * ratio, 2 * ratio, 5 * ratio);
  }
}

/** NaN and Inf have no place on the axis: a black box with a cross stands at its top. */
function crosses(u: uPlot, steps: number[]): void {
  const { ctx } = u;
  const ratio = devicePixelRatio || 1;
  const size = 10 * ratio;
  let reached = -Infinity;
  for (const step of steps) {
    const x = u.valToPos(step, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width || x - reached < size) continue;
    reached = x;
    const [left, top] = [x - size / 2, u.bbox.top + 2 * ratio];
    ctx.fillStyle = "#000";
    ctx.fillRect(left, top, size, size);
    ctx.strokeStyle = "#fff";
    ctx.lineWidth = 1.4 * ratio;
    ctx.beginPath();
    ctx.moveTo(left + 0.25 * size, top + 0.25 * size);
    ctx.lineTo(left + 0.75 * size, top + 0.75 * size);
    ctx.moveTo(left + 0.75 * size, top + 0.25 * size);
    ctx.lineTo(left + 0.25 * size, top + 0.75 * size);
    ctx.stroke();
  }
}
