// One layer: its activation and its derivative with the inputs it really gets, its weights, its units.

import { fromLog10, number, percent } from "../../numbers";
import { Figure, type Table } from "../../parts/figure";
import { useWidth } from "../../parts/size";
import { levelOf, numberOf, textOf, type Activation, type Network, type Slot, type Wire } from "../api";
import { change } from "../engine";
import { details, editing, facts, calmFrames, layer, layerCount, networks, paired, shownSlots, sitesOf, spec } from "../state";
import { choiceName, controlName, flatName, w } from "../words";
import { bars, Histogram } from "./histogram";
import { slotColour, slotName } from "./controls";
import { Trace } from "./trace";

export function LayerCard() {
  const slot = shownSlots.value.includes(editing.value) ? editing.value : shownSlots.value[0];
  const network = slot && networks.value[slot];
  if (!slot || !network) return null;
  const index = Math.min(layer.value, network.layers) - 1;
  const at = sitesOf(network)[index];
  const site = network.sites[at];
  if (!site) return null;
  const activation = facts.value?.activations.find((one) => one.id === site.activation);
  const move = (by: number) => { layer.value = Math.min(Math.max(layer.value + by, 1), layerCount.value); };
  return (
    <Figure
      id="layer" title={`${paired.value ? `${slotName(slot)} · ` : ""}${w("layer_head", { layer: index + 1, count: network.layers })}`}
      caption={[...new Set(network.sites.filter((one) => one.layer === index + 1).map((one) => one.op))].join(" → ")}
      tools={
        <>
          <button type="button" class="quiet" disabled={index === 0} onClick={() => move(-1)} aria-label={w("layer_before")}>←</button>
          <button type="button" class="quiet" disabled={index === network.layers - 1} onClick={() => move(1)} aria-label={w("layer_after")}>→</button>
        </>
      }
      table={() => tableOf(slot, network)}
    >
      {activation && index < network.layers - 1 && <OwnActivation layerNumber={index + 1} />}
      <div class="layer-parts">
        {activation && <Shape slot={slot} at={at} activation={activation} />}
        <Units slot={slot} network={network} index={index} at={at} />
        <Weights key={`${slot}${index}`} slot={slot} network={network} index={index} />
        <Mask slot={slot} network={network} index={index} />
      </div>
      <Trace slot={slot} network={network} layerNumber={index + 1} />
    </Figure>
  );
}

/** The activation of this layer alone. */
function OwnActivation({ layerNumber }: { layerNumber: number }) {
  const now = spec.value;
  const control = facts.value?.controls.find((one) => one.id === "activations");
  if (!now || !control || now.hidden.includes("activations")) return null;
  const set = (value: string) => {
    const { [layerNumber]: _, ...others } = now.activations;
    change({ activations: value ? { ...others, [layerNumber]: value } : others });
  };
  return (
    <p class="own">
      <label for="own-activation">{w("own_activation", { name: controlName("activation") })}</label>{" "}
      <select id="own-activation" value={now.activations[layerNumber] ?? ""} disabled={now.locked.includes("activations")} onChange={(event) => set(event.currentTarget.value)}>
        <option value="">{w("as_all", { name: choiceName("activation", now.activation) })}</option>
        {facts.value!.activations.map((one) => <option key={one.id} value={one.id}>{choiceName("activation", one.id)}</option>)}
      </select>
    </p>
  );
}

const [TALL, FOOT, SIDE] = [170, 20, 34];

/** φ and φ′, and behind them where this layer's inputs lie. */
function Shape({ slot, at, activation }: { slot: Slot; at: number; activation: Activation }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const inputs = details.value[slot]?.inputs;
  const place = inputs?.sites.indexOf(at) ?? -1;
  const [low, high] = place >= 0 ? [numberOf(inputs!.low[place]), numberOf(inputs!.high[place])] : [NaN, NaN];
  const reach = Math.max(6, Number.isFinite(low) ? Math.min(Math.max(-low, high), 6) : 6);
  const x = (value: number) => SIDE + ((value + reach) / (2 * reach)) * (width - SIDE - 6);
  const inside = activation.x.map((value, i) => ({ value, phi: activation.phi[i], slope: activation.slope[i] })).filter(({ value }) => Math.abs(value) <= reach);
  const top = Math.max(1.2, Math.min(2.5, Math.max(...inside.map(({ phi }) => phi))));
  const bottom = Math.min(-0.2, Math.max(-1.2, Math.min(...inside.map(({ phi }) => phi))));
  const y = (value: number) => 4 + ((top - Math.min(Math.max(value, bottom - 1), top + 1)) / (top - bottom)) * (TALL - FOOT - 4);
  const path = (of: "phi" | "slope") => `M${inside.map((one) => `${x(one.value).toFixed(1)} ${y(one[of]).toFixed(1)}`).join("L")}`;
  const counts = place >= 0 ? inputs!.counts[place] : [];
  const most = Math.max(...counts, 1);
  const wide = (high - low) / Math.max(counts.length, 1);
  const derivative = numberOf(calmFrames.value[slot]?.sites.derivative[at]);
  return (
    <div class="layer-part" ref={box}>
      <h3>{w("phi_head")}</h3>
      {width > 0 && (
        <svg class="shape" width={width} height={TALL} role="img" aria-label={w("phi_sentence", { name: choiceName("activation", activation.id), max: number(activation.max_slope), low: number(low), high: number(high), derivative: number(derivative) })}>
          <defs><clipPath id={`clip-${slot}`}><rect x={SIDE} y={2} width={width - SIDE - 4} height={TALL - FOOT} /></clipPath></defs>
          {[...new Set([0, 1])].map((mark) => (
            <g key={mark}>
              <line class="grid" x1={SIDE} x2={width - 6} y1={y(mark)} y2={y(mark)} />
              <text x={SIDE - 6} y={y(mark) + 4} text-anchor="end">{mark}</text>
            </g>
          ))}
          {[-6, -3, 0, 3, 6].map((mark) => <text key={mark} x={x(mark)} y={TALL - 4} text-anchor="middle">{mark}</text>)}
          <g clip-path={`url(#clip-${slot})`}>
            {counts.length > 0 && <path class="input-bar" d={bars(counts, x(low), Math.max(x(low + wide) - x(low), 1), TALL - FOOT, (TALL - FOOT - 10) / most)} />}
            <path class="phi" d={path("phi")} />
            <path class="slope" d={path("slope")} />
          </g>
        </svg>
      )}
      <ul class="flow-key">
        <li><svg viewBox="0 0 26 8" aria-hidden="true"><line class="phi" x1="1" x2="25" y1="4" y2="4" /></svg>φ {choiceName("activation", activation.id)}</li>
        <li><svg viewBox="0 0 26 8" aria-hidden="true"><line class="slope" x1="1" x2="25" y1="4" y2="4" /></svg>φ′ {w("at_most", { max: number(activation.max_slope) })}</li>
        {counts.length > 0 && <li><i class="swatch input-swatch" aria-hidden="true" />{w("inputs", { low: number(low), high: number(high) })}</li>}
        {Number.isFinite(derivative) && <li>√E[φ′²] <b>{number(derivative)}</b></li>}
      </ul>
    </div>
  );
}

/** Each unit a cell: dead ones hatched, saturated ones the darker the more often. */
function Units({ slot, network, index, at }: { slot: Slot; network: Network; index: number; at: number }) {
  const found = details.value[slot]?.units;
  const place = found?.sites.indexOf(at) ?? -1;
  const frame = calmFrames.value[slot];
  const dead = numberOf(frame?.sites.dead[at]);
  const saturated = numberOf(frame?.sites.saturated[at]);
  if (place < 0 || network.sites[at].activation === null) return null;
  const flat = flatName(network.sites[at].activation);
  const label = w(`units_sentence_${flat}`, { layer: index + 1, dead: share(dead), share: share(saturated) });
  return (
    <div class="layer-part">
      <h3>{w("units_head")}</h3>
      <div class="units" role="img" aria-label={label}>
        {found!.dead[place].map((isDead, unit) => {
          const part = numberOf(found!.saturated[place][unit]);
          return <i key={unit} class={isDead ? "unit dead" : "unit"} ref={(element) => element?.style.setProperty("--part", String(Number.isFinite(part) ? part : 0))} />;
        })}
      </div>
      <ul class="flow-key">
        <li><i class="key-zero" aria-hidden="true" />{w("dead")} <b>{share(dead)}</b></li>
        <li><i class="swatch saturated-swatch" aria-hidden="true" />{w(flat)} <b>{share(saturated)}</b></li>
      </ul>
    </div>
  );
}

const share = (value: number): string => (Number.isNaN(value) ? "–" : percent(value));

function Weights({ slot, network, index }: { slot: Slot; network: Network; index: number }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const at = network.weights.findIndex((one) => one.layer === index + 1);
  const found = details.value[slot]?.weights;
  const frame = calmFrames.value[slot];
  if (at < 0) return null;
  return (
    <div class="layer-part" ref={box}>
      <h3>{w("weights_head")}</h3>
      {found?.counts[at] && width > 0 && (
        <Histogram low={eachOr(found.low, at)} high={eachOr(found.high, at)} counts={found.counts[at]} width={width} height={110} colour={slotColour(slot)} label={w("histogram_sentence", { name: w("weights_head"), low: number(numberOf(eachOr(found.low, at))), high: number(numberOf(eachOr(found.high, at))) })} />
      )}
      <dl class="numbers">
        <div><dt>{w("weight_rms")}</dt><dd>{fromLog10(levelOf(frame?.weights.rms[at]))}</dd></div>
        <div><dt>{w("weight_gradient")}</dt><dd>{fromLog10(levelOf(frame?.weights.gradient[at]))}</dd></div>
        <div><dt>{w("weight_update")}</dt><dd>{textOf(frame?.weights.update[at])}</dd></div>
        <div><dt>{w("weight_unchanged")}</dt><dd>{share(numberOf(frame?.weights.unchanged[at]))}</dd></div>
        {found && <div><dt>{w("weight_small")}</dt><dd>{share(numberOf(found.small[at]))}</dd></div>}
      </dl>
    </div>
  );
}

/** Ends of the bins, one pair for all weights or one for each. */
const eachOr = (ends: Wire | Wire[], at: number): Wire => (Array.isArray(ends) ? ends[at] : ends);

/** Which units dropout left out of the last step. */
function Mask({ slot, network, index }: { slot: Slot; network: Network; index: number }) {
  const found = details.value[slot]?.mask;
  const place = found?.sites.findIndex((site) => network.sites[site]?.layer === index + 1) ?? -1;
  if (!found || place < 0) return null;
  const units = found.units[place];
  const on = units.filter(Boolean).length;
  return (
    <div class="layer-part">
      <h3>{w("mask_head")}</h3>
      <div class="units" role="img" aria-label={w("mask_sentence", { on, count: units.length })}>
        {units.map((unit, i) => <i key={i} class={unit ? "unit on" : "unit off"} />)}
      </div>
      <p class="caption">{w("mask_sentence", { on, count: units.length })}</p>
    </div>
  );
}

function tableOf(slot: Slot, network: Network): Table {
  const frame = calmFrames.value[slot];
  return {
    head: [w("site"), w("signal"), w("gradient"), w("derivative"), w(flatName(network.sites[sitesOf(network)[layer.value - 1]]?.activation ?? null)), w("dead")],
    rows: network.sites.map((site, at) => ({ site, at })).filter(({ site }) => site.layer === layer.value).map(({ site, at }) => [
      `${site.name} ${site.op}`, fromLog10(levelOf(frame?.sites.activation[at])), fromLog10(levelOf(frame?.sites.gradient[at])), textOf(frame?.sites.derivative[at]),
      share(numberOf(frame?.sites.saturated[at])), share(numberOf(frame?.sites.dead[at])),
    ]),
  };
}
