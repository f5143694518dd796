// The chain rule of one weight, factor by factor, with what autograd says of the product beside it.

import { useState } from "preact/hooks";
import { fromLog10, number } from "../../numbers";
import { levelOf, numberOf, type Network, type Slot, type Wire } from "../api";
import { command } from "../engine";
import { w } from "../words";

interface Signed { value: Wire; sign: number; log10: Wire }
interface Traced {
  kind: "chain" | "network" | "layers"; parameter: string; index: number[]; gradient: Signed;
  factors: { kind: string; index: number; site: string; op: string; value: Wire; log10: Wire; at: Wire }[];
  paths: { units: number[]; factors: Traced["factors"]; product: Wire }[]; path_count: number;
  stages: { name: string; op: string; kind: "input" | "affine" | "activation"; values: Wire[]; gradients: Wire[]; slopes: Wire[] }[];
  weights: { parameter: string; index: number[]; use: number; error: Wire; activation: Wire; gradient: Wire }[];
  layers: { name: string; op: string; part: string; log10_gradient: Wire; log10_ratio: Wire; gain: Wire }[];
  arrival: { name: string; op: string; passed: number; unit: number; log10_error: Wire; error: Signed; activation: Wire; alignment: Wire; count: number } | null;
  checks: { id: string; difference: Wire; status: string }[];
}

export function Trace({ slot, network, layerNumber }: { slot: Slot; network: Network; layerNumber: number }) {
  const [found, setFound] = useState<Traced | null>(null);
  const [busy, setBusy] = useState(false);
  const [place, setPlace] = useState<[number, number]>([0, 0]);
  const weight = network.weights.find((one) => one.layer === layerNumber);
  if (!weight) return null;
  const [rows, columns] = [weight.shape[0] ?? 1, weight.shape[1] ?? 1];
  const index = [Math.min(place[0], rows - 1), Math.min(place[1], columns - 1), ...weight.shape.slice(2).map(() => 0)].slice(0, weight.shape.length);
  const name = `${weight.name}[${index.join(",")}]`;
  const derive = async () => {
    setBusy(true);
    setFound(await command<Traced>("trace", { slot, parameter: name }));
    setBusy(false);
  };
  const at = (which: 0 | 1, most: number) => (
    <input
      type="number" min={0} max={most - 1} value={index[which]} aria-label={w(which ? "weight_from" : "weight_to")}
      onChange={(event) => {
        const next = Math.min(Math.max(Math.round(Number(event.currentTarget.value)) || 0, 0), most - 1);
        setPlace(which ? [place[0], next] : [next, place[1]]);
      }}
    />
  );
  return (
    <section class="trace" aria-labelledby="trace-title">
      <h3 id="trace-title">{w("trace_head")}</h3>
      <p class="trace-choice">
        <code>{weight.name}</code> [{at(0, rows)}, {at(1, columns)}]
        <button type="button" class="quiet" disabled={busy} onClick={() => void derive()}>{w(busy ? "trace_busy" : "trace_do")}</button>
      </p>
      {found && <Derived found={found} />}
    </section>
  );
}

function Derived({ found }: { found: Traced }) {
  const sign = found.gradient.sign < 0 ? "−" : "";
  const check = found.checks.find((one) => one.id === "own") ?? found.checks[0];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={w("trace_head")}>
      <p class="product">∂L/∂{found.parameter}[{found.index.join(",")}] = <b>{sign}{fromLog10(levelOf(found.gradient.log10))}</b>
        {check && <span class="faint"> · {w(check.status === "holds" ? "trace_holds" : "trace_differs", { difference: number(numberOf(check.difference)) })}</span>}
      </p>
      {found.kind === "chain" && <Factors factors={found.factors} />}
      {found.kind === "network" && <SmallNetwork found={found} />}
      {found.kind === "layers" && <Way found={found} />}
    </div>
  );
}

function productOf(factors: Traced["factors"]): string {
  const isNegative = factors.filter((one) => numberOf(one.value) < 0).length % 2 === 1;
  return `${isNegative ? "−" : ""}${fromLog10(factors.reduce((sum, one) => sum + levelOf(one.log10), 0))}`;
}

/** Numbers one behind the other, and what they come to by and by. */
function Factors({ factors }: { factors: Traced["factors"] }) {
  return (
    <table>
      <thead><tr><th scope="col">{w("factor")}</th><th scope="col" class="num">{w("value")}</th><th scope="col" class="num">{w("so_far")}</th></tr></thead>
      <tbody>{factors.toReversed().map((factor, i, all) => (
        <tr key={i}><th scope="row">{symbol(factor)}</th><td class="num">{number(numberOf(factor.value))}</td><td class="num">{productOf(all.slice(0, i + 1))}</td></tr>
      ))}</tbody>
    </table>
  );
}

/** Every unit of a small network, forward and backward; the weight's gradient as error × activation; and its longest way to the loss. */
function SmallNetwork({ found }: { found: Traced }) {
  const own = found.weights.filter((one) => one.parameter === found.parameter && one.index.join() === found.index.join());
  const each = (values: Wire[]) => values.length ? values.map((value, i) => <span key={i}>{i > 0 && " · "}<span class="whole">{number(numberOf(value))}</span></span>) : "–";
  let [p, a] = [0, 1];
  const names = found.stages.map(({ kind }) => (kind === "input" ? "x" : kind === "affine" ? `p${++p}` : `a${++a}`));
  return (
    <>
      <p class="caption">{w("trace_units")}</p>
      <table class="units-table">
        <thead><tr><th scope="col">{w("operation")}</th><th scope="col" class="num">{w("trace_forward")}</th><th scope="col" class="num">φ′</th><th scope="col" class="num">{w("trace_back")}</th></tr></thead>
        <tbody>{found.stages.map((stage, i) => (
          <tr key={i}><th scope="row">{names[i]} {stage.name === "x" ? "" : stage.name}</th><td class="num">{each(stage.values)}</td><td class="num">{each(stage.slopes)}</td><td class="num">{each(stage.gradients)}</td></tr>
        ))}</tbody>
      </table>
      {own.map((one) => (
        <p key={one.use} class="product">{w("trace_own", { error: number(numberOf(one.error)), activation: number(numberOf(one.activation)), gradient: number(numberOf(one.gradient)) })}</p>
      ))}
      {found.paths.length > 0 && (
        <>
          <p class="caption">{w(found.path_count > 1 ? "trace_ways" : "trace_one_way", { count: found.path_count })}</p>
          <Factors factors={found.paths[0].factors} />
        </>
      )}
    </>
  );
}

/** The norm of the gradient from the loss to the weight's own layer; there the unit it feeds, and what it multiplies. */
function Way({ found }: { found: Traced }) {
  const end = found.arrival;
  const rows = (end ? found.layers.slice(0, end.passed) : found.layers).map((one) => ({
    name: `${one.name || one.op} ${one.name && one.name !== one.op ? one.op : ""}`, factor: one.log10_ratio === null ? NaN : levelOf(one.log10_ratio), reached: levelOf(one.log10_gradient),
  }));
  if (end) {
    const norm = levelOf(end.log10_error);
    const before = rows.at(-1)?.reached ?? 0;
    if (Math.abs(norm - before) > 1e-9) rows.push({ name: w("trace_branch", { name: end.name }), factor: norm - before, reached: norm });
    const unit = levelOf(end.error.log10);
    const activation = Math.log10(Math.abs(numberOf(end.activation)));
    rows.push({ name: w("trace_unit", { unit: end.unit }), factor: unit - norm, reached: unit });
    rows.push({ name: w(end.count > 1 ? "trace_activations" : "trace_activation"), factor: activation, reached: unit + activation });
    if (end.count > 1) rows.push({ name: w("trace_alignment"), factor: Math.log10(Math.abs(numberOf(end.alignment))), reached: levelOf(found.gradient.log10) });
  }
  return (
    <>
      {end && <p class="caption">{w("trace_layers")}</p>}
      <table>
        <thead><tr><th scope="col">{w("operation")}</th><th scope="col" class="num">{w("factor_norm")}</th><th scope="col" class="num">{w("gradient_there")}</th></tr></thead>
        <tbody>{rows.map((one, i) => (
          <tr key={i}><th scope="row">{one.name}</th><td class="num">{Number.isNaN(one.factor) ? "–" : `× ${fromLog10(one.factor)}`}</td><td class="num">{fromLog10(one.reached)}</td></tr>
        ))}</tbody>
      </table>
    </>
  );
}

/** As the formula has it: ∂p_n/∂w_1 = Π ∂a_i/∂p_{i−1} · Π w_i · x. */
function symbol(factor: Traced["factors"][number]): string {
  if (factor.kind === "activation") return `∂a${factor.index}/∂p${factor.index - 1} = φ′(${number(numberOf(factor.at))})`;
  if (factor.kind === "weight") return `w${factor.index}`;
  if (factor.kind === "loss") return "∂L/∂p";
  return factor.index === 1 ? "x" : `a${factor.index}`;
}
