// The picture of the lab: the rivers of signal and gradient over the layers, and below them their sizes on one log axis.

import { useEffect } from "preact/hooks";
import { fromLog10, integer, percent } from "../../numbers";
import { Figure, type Table } from "../../parts/figure";
import { useWidth } from "../../parts/size";
import { say } from "../../text";
import { levelOf, type Slot } from "../api";
import { backward, fitted, frames, ghost, hoveredLayer, layer, layerCount, levels, networks, paired, predictions, projector, shareAt, shownLayer, shownSlots, sitesOf } from "../state";
import { floorOf, frameOf } from "../scale";
import { flatName, w } from "../words";
import { LogAxis, type Line } from "./axis";
import { BackwardPass } from "./backward";
import { slotColour, slotName } from "./controls";
import { River } from "./river";

export function Flow() {
  const [box, width] = useWidth<HTMLDivElement>();
  const frame = frameOf(width, layerCount.value);
  const slots = shownSlots.value.filter((slot) => levels.value[slot]);
  const all = slots.flatMap((slot) => [...levels.value[slot]!.signal, ...levels.value[slot]!.gradient]);
  const floor = floorOf(all, fitted.value);
  const height = projector.value ? Math.min(Math.max(innerHeight - (paired.value ? 810 : 680), 180), 460) : width < 560 ? 300 : Math.min(Math.max(innerHeight - (paired.value ? 725 : 610), paired.value ? 175 : 260), 420); // the whole picture on one screen
  const pick = (chosen: number) => { layer.value = chosen + 1; };
  return (
    <Figure
      id="flow" class="flow-card" title={w("flow_head")} caption={w("flow_about")} table={() => tableOf(slots)}
      tools={
        <div class="switch" role="group" aria-label={w("axis")}>
          <button type="button" aria-pressed={!fitted.value} onClick={() => (fitted.value = false)}>{w("axis_whole")}</button>
          <button type="button" aria-pressed={fitted.value} onClick={() => (fitted.value = true)}>{w("axis_fit")}</button>
        </div>
      }
    >
      <div ref={box} class="flow-box">
        {width > 0 && slots.length > 0 && (
          <>
            <p class="flow-ends" aria-hidden="true" style={{ paddingLeft: `${frame.left}px` }}><span>{w("input_end")}</span><span>{w("loss_end")}</span></p>
            {slots.map((slot) => (
              <div key={slot}>
                {paired.value && <p class="eyebrow river-eyebrow"><i class="run-dot" style={{ background: slotColour(slot) }} aria-hidden="true" />{slotName(slot)}</p>}
                <River
                  frame={frame} signal={levels.value[slot]!.signal} gradient={levels.value[slot]!.gradient} colour={slotColour(slot)} selected={shownLayer.value - 1}
                  step={frames.value[slot]?.step ?? 0} slim={slots.length > 1} reached={backward.value?.slot === slot ? reachedLayer() : null} onPick={pick} label={sentence(slot)}
                />
              </div>
            ))}
            {backward.value && <BackwardPass />}
            <LogAxis
              frame={frame} height={height} floor={floor} lines={linesOf(slots)} selected={shownLayer.value - 1} label={slots.map(sentence).join(" ")}
              onHover={(found) => { hoveredLayer.value = found === null ? null : found + 1; }} onPick={pick}
            />
          </>
        )}
        {!slots.length && <p class="waiting" role="status">{w("measuring")}</p>}
      </div>
      <Key slots={slots} />
      <FlowTheory />
    </Figure>
  );
}

/** Which layers the backward pass has come through already: those from here to the loss. */
function reachedLayer(): number | null {
  const now = backward.value;
  if (!now) return null;
  const row = now.pass.rows[Math.min(now.at, now.pass.rows.length - 1)];
  return now.at >= now.pass.rows.length ? null : row.layer - 1;
}

function linesOf(slots: Slot[]): Line[] {
  const before: Line[] = ghost.value && !paired.value ? [{ name: "before", kind: "before", colour: "var(--grey)", levels: ghost.value }] : [];
  return before.concat(slots.flatMap((slot): Line[] => {
    const found = levels.value[slot]!;
    const colour = slotColour(slot);
    const signal = paired.value ? colour : "var(--orange)";
    return [
      { name: "signal", kind: "signal", colour: signal, levels: found.signal },
      { name: "gradient", kind: "gradient", colour, levels: withReached(slot, found.gradient) },
      { name: "theory", kind: "theory", colour: "var(--ink)", levels: found.theorySignal },
      { name: "theory", kind: "theory", colour: "var(--ink)", levels: found.theoryGradient },
    ];
  }));
}

function withReached(slot: Slot, gradient: number[]): number[] {
  const reached = backward.value?.slot === slot ? reachedLayer() : null;
  return reached === null ? gradient : gradient.map((level, index) => (index >= reached ? level : NaN));
}

function Key({ slots }: { slots: Slot[] }) {
  const index = shownLayer.value - 1;
  const many = slots.length > 1;
  return (
    <ul class="flow-key">
      <li class="key-layer"><b>{w("layer", { layer: shownLayer.value })}</b>{nameOf(index)}</li>
      {slots.map((slot) => {
        const found = levels.value[slot]!;
        const dead = shareAt(slot, "dead", index);
        const saturated = shareAt(slot, "saturated", index);
        const label = (id: string) => (many ? `${slotName(slot)} · ${w(id)}` : w(id));
        return [
          <li key={`${slot}g`}><Swatch colour={slotColour(slot)} />{label("gradient")} <b>{fromLog10(found.gradient[index] ?? NaN)}</b></li>,
          <li key={`${slot}s`}><Swatch colour={many ? slotColour(slot) : "var(--orange)"} dash="7 3" />{label("signal")} <b>{fromLog10(found.signal[index] ?? NaN)}</b></li>,
          Number.isFinite(found.theoryGradient[index]) && <li key={`${slot}t`}><Swatch colour="var(--ink)" dash={DOTTED} />{label("theory")} <b>{fromLog10(found.theoryGradient[index])}</b></li>,
          Number.isFinite(saturated) && <li key={`${slot}x`}>{label(flatName(activationAt(slot, index)))} <b>{percent(saturated)}</b></li>,
          Number.isFinite(dead) && <li key={`${slot}d`}>{label("dead")} <b>{percent(dead)}</b></li>,
        ];
      })}
      {ghost.value && !many && <li><Swatch colour="var(--grey)" />{w("ghost")} <b>{fromLog10(ghost.value[index] ?? NaN)}</b></li>}
    </ul>
  );
}

const DOTTED = "0.1 5";

function Swatch({ colour, dash }: { colour: string; dash?: string }) {
  return <svg viewBox="0 0 26 8" aria-hidden="true"><line x1="1" x2="25" y1="4" y2="4" stroke={colour} stroke-width="2.4" stroke-dasharray={dash} stroke-linecap={dash === DOTTED ? "round" : undefined} /></svg>;
}

function activationAt(slot: Slot, index: number): string | null {
  const network = networks.value[slot];
  return network?.sites[sitesOf(network)[index]]?.activation ?? null;
}

function nameOf(index: number): string {
  const network = networks.value[shownSlots.value[0] ?? "a"];
  return [...new Set(network?.sites.filter((site) => site.layer === index + 1 && site.kind !== "other").map((site) => site.op))].join(" → ");
}

function FlowTheory() {
  const told = shownSlots.value.flatMap((slot) => {
    const said = predictions.value[slot]?.said;
    return said ? [{ slot, said }] : [];
  });
  return <>{told.map(({ slot, said }) => <p class="caption theory-said" key={slot}>{paired.value && <b>{slotName(slot)} · </b>}{say(said)}</p>)}</>;
}

/** What a picture shows, for those who do not see it. */
function sentence(slot: Slot): string {
  const found = levels.value[slot];
  if (!found) return w("measuring");
  const last = found.gradient.length - 1;
  return w("flow_sentence", {
    name: paired.value ? slotName(slot) : w("the_network"), step: integer(frames.value[slot]?.step ?? 0), layers: found.gradient.length,
    gradient_last: fromLog10(found.gradient[last]), gradient_first: fromLog10(found.gradient[0]), signal_first: fromLog10(found.signal[0]), signal_last: fromLog10(found.signal[last]),
  });
}

function tableOf(slots: Slot[]): Table {
  const many = slots.length > 1;
  const head = slots.flatMap((slot) => ["signal", "gradient", "theory", "weight_gradient"].map((id) => (many ? `${slotName(slot)} · ${w(id)}` : w(id))));
  return {
    head: [w("layer_word"), ...head],
    rows: Array.from({ length: layerCount.value }, (_, index) => [
      index + 1,
      ...slots.flatMap((slot) => {
        const found = levels.value[slot]!;
        const weight = networks.value[slot]!.weights.findIndex((one) => one.layer === index + 1);
        return [found.signal[index], found.gradient[index], found.theoryGradient[index], levelOf(frames.value[slot]?.weights.gradient[weight])].map((level) => fromLog10(level ?? NaN));
      }),
    ]),
  };
}

/** The cursor is told to those who do not see it. */
export function useTold(tell: (said: string) => void): void {
  const [now] = shownSlots.value;
  useEffect(() => {
    const found = now ? levels.value[now] : undefined;
    if (found) tell(`${w("layer", { layer: layer.value })}: ${w("gradient")} ${fromLog10(found.gradient[layer.value - 1] ?? NaN)}, ${w("signal")} ${fromLog10(found.signal[layer.value - 1] ?? NaN)}`);
  }, [layer.value]);
}
