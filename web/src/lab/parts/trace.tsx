// The chain rule of one weight, factor by factor, with what autograd says of the product beside it.

import { useState } from "preact/hooks";
import { fromLog10, number } from "../../numbers";
import { levelOf, type Network, type Slot, type Wire } from "../api";
import { command } from "../engine";
import { w } from "../words";

interface Signed { value: Wire; sign: number; log10: Wire }
interface Traced {
  kind: "chain" | "network" | "layers"; parameter: string; index: number[]; gradient: Signed;
  factors: { kind: string; index: number; site: string; op: string; value: Wire; log10: Wire; at: Wire }[];
  paths: { units: number[]; factors: Traced["factors"]; product: Wire }[]; path_count: number;
  layers: { name: string; op: string; part: string; log10_gradient: Wire; log10_ratio: Wire; gain: Wire }[];
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
  const factors = found.kind === "chain" ? found.factors : (found.paths[0]?.factors ?? []);
  const sign = found.gradient.sign < 0 ? "−" : "";
  const check = found.checks[0];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={w("trace_head")}>
      <p class="product">∂L/∂{found.parameter}[{found.index.join(",")}] = <b>{sign}{fromLog10(levelOf(found.gradient.log10))}</b>
        {check && <span class="faint"> · {w(check.status === "holds" ? "trace_holds" : "trace_differs", { difference: number(typeof check.difference === "number" ? check.difference : NaN) })}</span>}
      </p>
      {factors.length > 0 ? (
        <table>
          <thead><tr><th scope="col">{w("factor")}</th><th scope="col" class="num">{w("value")}</th><th scope="col" class="num">{w("so_far")}</th></tr></thead>
          <tbody>{factors.toReversed().map((factor, i, all) => (
            <tr key={i}><th scope="row">{symbol(factor)}</th><td class="num">{number(typeof factor.value === "number" ? factor.value : NaN)}</td><td class="num">{fromLog10(all.slice(0, i + 1).reduce((sum, one) => sum + levelOf(one.log10), 0))}</td></tr>
          ))}</tbody>
        </table>
      ) : (
        <table>
          <thead><tr><th scope="col">{w("operation")}</th><th scope="col" class="num">{w("factor_norm")}</th><th scope="col" class="num">{w("gradient_there")}</th></tr></thead>
          <tbody>{found.layers.map((one, i) => (
            <tr key={i}><th scope="row">{one.name || one.op} {one.name ? one.op : ""}</th><td class="num">{one.log10_ratio === null ? "–" : `× ${fromLog10(levelOf(one.log10_ratio))}`}</td><td class="num">{fromLog10(levelOf(one.log10_gradient))}</td></tr>
          ))}</tbody>
        </table>
      )}
    </div>
  );
}

/** As the formula has it: ∂p_n/∂w_1 = Π ∂a_i/∂p_{i−1} · Π w_i · x. */
function symbol(factor: Traced["factors"][number]): string {
  if (factor.kind === "activation") return `∂a${factor.index}/∂p${factor.index - 1} = φ′(${number(typeof factor.at === "number" ? factor.at : NaN)})`;
  if (factor.kind === "weight") return `w${factor.index}`;
  if (factor.kind === "loss") return "∂L/∂p";
  return factor.index === 1 ? "x" : `a${factor.index}`;
}
