// A recurrent network is deep in time: the gradient at every time step, from the last one back to the first.

import { fromLog10 } from "../../numbers";
import { Figure } from "../../parts/figure";
import { useWidth } from "../../parts/size";
import { levelOf, type Slot } from "../api";
import { fitted, calmFrames, paired, shownSlots } from "../state";
import { floorOf, frameOf } from "../scale";
import { w } from "../words";
import { LogAxis, type Line } from "./axis";
import { slotColour, slotName } from "./controls";

const SHADES = ["var(--run-0)", "var(--green)", "var(--purple)", "var(--orange)"];

/** Of each recurrent layer the levels by time step. */
function coursesOf(slot: Slot): number[][] {
  return Object.values(calmFrames.value[slot]?.sites.time ?? {}).flatMap((layers) => layers.map((layer) => layer.map(levelOf)));
}

export function ThroughTime() {
  const slots = shownSlots.value.filter((slot) => coursesOf(slot).length);
  return slots.length ? <Courses slots={slots} /> : null;
}

function Courses({ slots }: { slots: Slot[] }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const lines: Line[] = slots.flatMap((slot) => coursesOf(slot).map((levels, layer): Line => ({
    name: paired.value ? `${slotName(slot)} · ${w("layer", { layer: layer + 1 })}` : w("layer", { layer: layer + 1 }),
    kind: "gradient", colour: paired.value ? slotColour(slot) : SHADES[layer % SHADES.length], levels,
  })));
  const count = Math.max(...lines.map((line) => line.levels.length));
  const all = lines.flatMap((line) => line.levels);
  const summary = lines.map((line) => w("time_sentence", { name: line.name, first: fromLog10(line.levels[0]), last: fromLog10(line.levels[line.levels.length - 1]), count: line.levels.length })).join(" ");
  return (
    <Figure
      id="time" title={w("time_head")} caption={w("time_about")}
      table={() => ({ head: [w("time_step"), ...lines.map((line) => line.name)], rows: Array.from({ length: count }, (_, at) => [at + 1, ...lines.map((line) => fromLog10(line.levels[at] ?? NaN))]) })}
    >
      <div ref={box}>
        {width > 0 && <LogAxis frame={frameOf(width, count)} height={200} floor={floorOf(all, fitted.value || !all.some((level) => level < -30))} lines={lines} selected={-1} label={summary} onHover={() => undefined} onPick={() => undefined} />}
      </div>
      <ul class="flow-key">{lines.map((line) => <li key={line.name}><svg viewBox="0 0 26 8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4" stroke={line.colour} stroke-width="2.4" /></svg>{line.name}</li>)}</ul>
    </Figure>
  );
}
