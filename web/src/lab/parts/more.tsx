// What stands below the picture: the budget of the gradient, and a slice of the loss landscape.

import { useEffect, useRef, useState } from "preact/hooks";
import { PALETTES, SHADES } from "../../colours";
import { decades, integer, number } from "../../numbers";
import { Figure } from "../../parts/figure";
import { useWidth } from "../../parts/size";
import { say } from "../../text";
import { numberOf, type Landscape, type Slot } from "../api";
import { drawLandscape } from "../engine";
import { diagnoses, landscape, paired, shownSlots } from "../state";
import { w } from "../words";
import { slotName } from "./controls";

const KNOWN = ["activation", "weights", "alignment", "normalization", "pooling", "shortcut"];

export function More() {
  const slots = shownSlots.value.filter((slot) => diagnoses.value[slot]?.waterfall);
  return (
    <div class="pair">
      {slots.length > 0 && <Budget slots={slots} />}
      <LandscapeCard />
    </div>
  );
}

function Budget({ slots }: { slots: Slot[] }) {
  const rows = slots.flatMap((slot) => diagnoses.value[slot]!.waterfall!.totals.map((one) => ({ ...one, slot })));
  const longest = Math.max(...rows.map((row) => Math.abs(row.decades)), 1e-9);
  return (
    <Figure id="budget" title={w("budget_head")} caption={w("budget_about")} table={() => ({ head: [w("taken_by"), w("decades")], rows: rows.map((row) => [say(row.name), decades(row.decades)]) })}>
      {slots.map((slot) => (
        <div key={slot}>
          {paired.value && <p class="eyebrow">{slotName(slot)}</p>}
          <ul class="budget-bars">
            {rows.filter((row) => row.slot === slot).map((row) => (
              <li key={row.category}>
                <span>{say(row.name)}</span>
                <svg width="100%" height="14" viewBox="-100 0 200 14" preserveAspectRatio="none" aria-hidden="true">
                  <line class="ground" x1="0" x2="0" y1="0" y2="14" />
                  <rect class={KNOWN.includes(row.category) ? `cat-${row.category}` : "cat-other"} x={row.decades < 0 ? (100 * row.decades) / longest : 0} width={Math.max((100 * Math.abs(row.decades)) / longest, 0.6)} y="2" height="10" />
                </svg>
                <b>{decades(row.decades)}</b>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </Figure>
  );
}

function LandscapeCard() {
  const found = landscape.value;
  const slot = shownSlots.value[0];
  const [busy, setBusy] = useState(false);
  if (!slot) return null;
  const draw = async () => {
    setBusy(true);
    await drawLandscape(slot).finally(() => setBusy(false));
  };
  return (
    <Figure
      id="landscape" title={w("landscape_head")} caption={found ? say(found.said) : w("landscape_about")} tools={<button type="button" class="quiet" disabled={busy} onClick={() => void draw()}>{w(busy ? "trace_busy" : "landscape_do")}</button>}
      table={() => ({ head: ["", ...(found?.x ?? []).map(number)], rows: (found?.losses ?? []).map((row, i) => [number(found!.y[i]), ...row.map((loss) => number(numberOf(loss)))]) })}
    >
      {found && <Contours found={found} />}
    </Figure>
  );
}

function Contours({ found }: { found: Landscape }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const losses = found.losses.map((row) => row.map(numberOf));
  const finite = losses.flat().filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const side = Math.min(width, 320);
  useEffect(() => {
    const element = canvas.current;
    if (!element || !side) return;
    const size = losses.length;
    element.width = element.height = size;
    const context = element.getContext("2d")!;
    const image = context.createImageData(size, size);
    const pixels = new Uint32Array(image.data.buffer);
    losses.forEach((row, i) => row.forEach((loss, j) => {
      const share = Number.isFinite(loss) ? (loss - low) / (high - low || 1) : NaN;
      pixels[(size - 1 - i) * size + j] = Number.isNaN(share) ? 0xff000000 : PALETTES.size[Math.round(share * (SHADES - 1))];
    }));
    context.putImageData(image, 0, 0);
  }, [found, side]);
  return (
    <div ref={box} class="contours">
      <canvas ref={canvas} role="img" class="boundary" style={{ width: `${side}px`, height: `${side}px` }} aria-label={w("landscape_sentence", { low: number(low), high: number(high), step: integer(found.step) })} />
      <p class="caption">{w("landscape_key", { low: number(low), high: number(high) })}</p>
    </div>
  );
}
