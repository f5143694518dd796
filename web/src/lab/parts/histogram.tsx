// A histogram: bars that touch, its ends written under it.

import type { ComponentChildren } from "preact";
import { number } from "../../numbers";
import { numberOf, type Wire } from "../api";

interface Props { low: Wire; high: Wire; counts: number[]; width: number; height: number; colour: string; label: string; titled?: ComponentChildren }

const FOOT = 18;

/** Bars of a histogram as one path, which a browser draws many times faster than as many rectangles. */
export function bars(counts: number[], left: number, slot: number, ground: number, scale: number): string {
  return counts.map((count, i) => (count > 0 ? `M${(left + i * slot).toFixed(1)} ${ground}v${(-Math.max(count * scale, 0.8)).toFixed(1)}h${(slot + 0.3).toFixed(1)}V${ground}z` : "")).join("");
}

export function Histogram({ low, high, counts, width, height, colour, label, titled }: Props) {
  const [from, to] = [numberOf(low), numberOf(high)];
  const most = Math.max(...counts, 1);
  const slot = width / Math.max(counts.length, 1);
  const zero = from < 0 && to > 0 ? (-from / (to - from)) * width : null;
  const tall = height - FOOT;
  return (
    <figure class="histogram">
      {titled && <figcaption>{titled}</figcaption>}
      <svg width={width} height={height} role="img" aria-label={label} style={{ "--bar": colour } as Record<string, string>}>
        <path class="bar" d={bars(counts, 0, slot, tall, tall / most)} />
        <line class="ground" x1={0} x2={width} y1={tall} y2={tall} />
        {zero !== null && <line class="ground zero" x1={zero} x2={zero} y1={0} y2={tall} />}
        <text x={0} y={height - 4}>{number(from)}</text>
        <text x={width} y={height - 4} text-anchor="end">{number(to)}</text>
      </svg>
    </figure>
  );
}
