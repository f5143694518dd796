// One layer: what it is, what was measured there at the cursor's step, and how that went over time.

import { useMemo } from "preact/hooks";
import { RUN_COLOURS } from "../colours";
import { integer, percent, power } from "../numbers";
import { at, pinned, reading, rows, runs, selectRow, statistic } from "../state";
import { language, t } from "../text";
import { announce } from "../keyboard";
import { Figure } from "./figure";
import { rangeText } from "./flow-map";
import { Plot, type Series } from "./plot";
import { statisticName } from "./verdict";

const SIZES = ["activation_grad_rms", "activation_rms", "grad_rms", "update_ratio"];
const SHARES = ["dead_fraction", "saturated_fraction", "abs_cosine"];
const COLOURS: Record<string, string> = {
  activation_grad_rms: "var(--run-0)", activation_rms: "var(--orange)", grad_rms: "var(--green)", update_ratio: "var(--purple)",
  dead_fraction: "var(--grey)", saturated_fraction: "var(--run-1)", abs_cosine: "var(--purple)",
};
const DASHES: Record<string, number[] | undefined> = { activation_rms: [6, 3], grad_rms: [2, 3], update_ratio: [8, 3, 2, 3], saturated_fraction: [6, 3], abs_cosine: [2, 3] };

export function LayerDetail() {
  const { row } = pinned.value;
  const layer = rows.value[row];
  if (!layer) return null;
  const known = [...SIZES, ...SHARES].filter((name) => runs.value.some((_, run) => hasNumbers(run, name, row)));
  const drawn = runs.value.length > 1 ? known.filter((name) => name === statistic.value) : known; // two lines can be told apart, eight cannot
  const site = layer.site;
  const go = (by: number) => { selectRow(row + by); announce(); };
  return (
    <Figure
      id="layer" title={t("view.layer_head", { layer: layer.name || "(model)" })}
      caption={[site.op, site.shape.length ? `[${site.shape.join(" × ")}]` : "", site.dtype, t("view.place", { place: row + 1, count: rows.value.length })].filter(Boolean).join(" · ")}
      tools={
        <>
          <button type="button" class="quiet" disabled={row === 0} onClick={() => go(-1)} aria-label={t("view.layer_before")}>↑</button>
          <button type="button" class="quiet" disabled={row === rows.value.length - 1} onClick={() => go(1)} aria-label={t("view.layer_after")}>↓</button>
        </>
      }
      table={() => ({
        head: [t("view.statistic"), ...runs.value.map((run) => `${runs.value.length > 1 ? `${run.view.name} · ` : ""}${t("view.at_step", { step: integer(at.value.step) })}`)],
        rows: known.map((name) => [statisticName(name), ...runs.value.map((_, run) => textAt(run, name))]),
      })}
    >
      <dl class="numbers">
        {known.map((name) => (
          <div key={name}>
            <dt>{statisticName(name)}</dt>
            {runs.value.map((_, run) => (
              <dd key={run}>
                {runs.value.length > 1 && <i class="run-dot" style={{ background: RUN_COLOURS[run] }} aria-hidden="true" />}
                {textAt(run, name)}
              </dd>
            ))}
          </div>
        ))}
      </dl>
      <Course names={drawn.filter((name) => SIZES.includes(name))} row={row} share={false} />
      <Course names={drawn.filter((name) => SHARES.includes(name))} row={row} share />
    </Figure>
  );
}

function hasNumbers(run: number, name: string, row: number): boolean {
  const levels = runs.value[run].levels.get(name);
  const site = rows.value[row]?.at[run] ?? -1;
  if (!levels || site < 0) return false;
  const { columns } = runs.value[run];
  for (let column = 0; column < columns; column++) if (!Number.isNaN(levels.low[site * columns + column])) return true;
  return false;
}

function textAt(run: number, name: string): string {
  const { low, high } = reading(run, name, pinned.value.row, at.value.step);
  return Number.isNaN(low) ? t("view.not_measured") : rangeText(name, low, high);
}

/** Lines of one row over the steps; sizes as log₁₀, so that 1e-40 has a place and zero and NaN are gaps with a mark. */
function Course({ names, row, share }: { names: string[]; row: number; share: boolean }) {
  const series = useMemo<Series[]>(
    () => names.flatMap((name) => runs.value.flatMap((run, index) => {
      const levels = run.levels.get(name);
      const site = rows.value[row]?.at[index] ?? -1;
      if (!levels || site < 0) return [];
      const x: number[] = [];
      const y: number[] = [];
      for (let column = 0; column < run.columns; column++) {
        const [low, high] = [levels.low[site * run.columns + column], levels.high[site * run.columns + column]];
        if (Number.isNaN(low)) continue;
        for (const level of low === high ? [low] : [low, high]) {
          x.push(level === low ? run.first[column] : run.last[column]);
          y.push(share ? (level === -Infinity ? 0 : 10 ** level) : level === Infinity ? NaN : level);
        }
      }
      const many = runs.value.length > 1;
      return [{ label: many ? `${run.view.name} · ${statisticName(name)}` : statisticName(name), x, y, colour: many ? RUN_COLOURS[index] : COLOURS[name], dash: DASHES[name] }];
    })),
    [runs.value, row, names.join(), language.value],
  );
  if (!series.length) return null;
  const summary = t("view.course_sentence", { layer: rows.value[row].name || "(model)", names: series.map((one) => one.label).join(", ") });
  return (
    <div class="plot-block">
      <ul class="plot-key">
        {series.map((one) => (
          <li key={one.label}>
            <svg viewBox="0 0 24 4" aria-hidden="true"><line x1="0" x2="24" y1="2" y2="2" stroke={one.colour} stroke-width="2.4" stroke-dasharray={one.dash?.join(" ")} /></svg>
            {one.label}
          </li>
        ))}
      </ul>
      <Plot series={series} height={share ? 110 : 180} log={false} summary={summary} format={(value) => (share ? percent(value) : Number.isInteger(value) ? power(value) : "")} />
    </div>
  );
}
