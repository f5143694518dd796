// Lines over steps (uPlot). Between the training and the test accuracy the gap is shaded: that is where overfitting shows.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { integer } from "../../numbers";
import { theme } from "../../state";
import { language } from "../../text";
import { cssValue, useWidth } from "../../parts/size";
import { projector } from "../state";

export interface Curve { label: string; x: number[]; y: (number | null)[]; colour: string; dash?: number[] }

interface Props {
  curves: Curve[]; height: number; summary: string; log?: boolean; range?: [number, number]; marks?: number[];
  shaded?: [number, number][]; format: (value: number) => string; names: { under: string };
}

function aligned(curves: Curve[], log: boolean): uPlot.AlignedData {
  const tables = curves.map((one) => [one.x, one.y.map((value) => (value !== null && Number.isFinite(value) && (!log || value > 0) ? value : null))] as uPlot.AlignedData);
  return tables.length > 1 ? uPlot.join(tables, tables.map(() => [0, 2])) : tables[0];
}

export function Curves({ curves, height, summary, log = false, range, marks = [], shaded = [], format, names }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const marked = useRef(marks);
  marked.current = marks;
  const key = curves.map((one) => `${one.label}|${one.colour}`).join();
  const shade = theme.value;
  const tongue = language.value;
  const large = projector.value;

  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !width || !curves.length) return;
    const size = projector.value ? 24 : 11; // text on a canvas grows with the projector as the rest of the page does
    const axis = { stroke: cssValue("--muted"), grid: { stroke: cssValue("--grid"), width: 1 }, ticks: { show: false }, font: `${size}px system-ui` };
    const colourOf = (value: string) => (value.startsWith("var(") ? cssValue(value.slice(4, -1)) : value);
    const made = new uPlot(
      {
        width, height, legend: { show: false }, padding: [8, 12, 0, 0], cursor: { show: false },
        scales: { x: { time: false }, y: { ...(log ? { distr: 3, log: 10 } : {}), ...(range ? { range } : {}) } },
        axes: [
          { ...axis, size: 15 + size, gap: 4, space: 6 * size, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? integer(tick) : "")) },
          { ...axis, size: 4.6 * size, gap: 6, space: 2.4 * size, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : format(tick))) },
        ],
        bands: shaded.map((pair) => ({ series: [pair[0] + 1, pair[1] + 1], fill: withAlpha(cssValue("--vermillion"), 0.16) })),
        series: [{}, ...curves.map((one) => ({ stroke: colourOf(one.colour), width: 1.8, dash: one.dash, spanGaps: true, points: { show: false } }))],
        hooks: { draw: [(u) => changes(u, marked.current)] },
      },
      aligned(curves, log), element,
    );
    plot.current = made;
    return () => { made.destroy(); plot.current = null; };
  }, [width, height, log, key, shade, tongue, large, range?.join(), shaded.join()]);

  useEffect(() => { plot.current?.setData(aligned(curves, log)); }, [curves]);

  return (
    <div class="plot" role="img" aria-label={summary}>
      <div ref={box} style={{ minHeight: `${height}px` }} />
      <p class="axis-name">{names.under}</p>
    </div>
  );
}

function withAlpha(colour: string, alpha: number): string {
  const hex = /^#([0-9a-f]{6})$/i.exec(colour)?.[1];
  return hex ? `rgb(${[0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(" ")} / ${alpha})` : colour;
}

/** Where something was changed while it trained, a thin line down. */
function changes(u: uPlot, steps: number[]): void {
  u.ctx.save();
  u.ctx.strokeStyle = cssValue("--grey");
  u.ctx.setLineDash([2, 3]);
  for (const step of steps) {
    const x = Math.round(u.valToPos(step, "x", true));
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    u.ctx.beginPath();
    u.ctx.moveTo(x, u.bbox.top);
    u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
    u.ctx.stroke();
  }
  u.ctx.restore();
}
