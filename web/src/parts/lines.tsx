// Losses and scalars: the loss first, scores beside it, everything else on demand. Never a wall of charts.

import { useMemo, useState } from "preact/hooks";
import { RUN_COLOURS } from "../colours";
import { columnAt } from "../data";
import { integer, number } from "../numbers";
import { at, runs } from "../state";
import { language, named, t } from "../text";
import { Figure, type Table } from "./figure";
import { Plot, type Series } from "./plot";

const LOSSES = ["loss", "val_loss"];
const SCORES = ["metric", "val_metric"];
const SERIES = ["var(--run-0)", "var(--run-1)", "var(--green)", "var(--purple)", "var(--orange)", "var(--ink)"];
const DASHES: (number[] | undefined)[] = [undefined, [6, 3], [2, 3], [8, 3, 2, 3]];

export function Lines() {
  const names = [...new Set(runs.value.flatMap((run) => run.lines.map((line) => line.name)))];
  const others = names.filter((name) => !LOSSES.includes(name) && !SCORES.includes(name));
  const [added, setAdded] = useState<string[]>([]);
  if (!names.length) return null;
  const groups = [LOSSES, SCORES, ...added.map((name) => [name])]
    .map((group) => group.filter((name) => names.includes(name)))
    .filter((group) => group.length);
  const toggle = (name: string) => setAdded(added.includes(name) ? added.filter((one) => one !== name) : [...added, name].slice(-3));
  return (
    <Figure id="lines" title={t("view.lines_head")} table={() => tableOf(names)} class="wide">
      {groups.map((group) => <Group names={group} key={group.join()} />)}
      {others.length > 0 && (
        <div class="chips" role="group" aria-label={t("view.more_lines")}>
          <span class="faint">{t("view.more_lines")}</span>
          {others.map((name) => (
            <button type="button" class="chip" aria-pressed={added.includes(name)} onClick={() => toggle(name)} key={name}>{lineName(name)}</button>
          ))}
        </div>
      )}
    </Figure>
  );
}

export function lineName(name: string): string {
  return named("view.line_", name) === name ? named("statistic.", name) : named("view.line_", name);
}

function Group({ names }: { names: string[] }) {
  const many = runs.value.length > 1;
  const series = useMemo<Series[]>(
    () => runs.value.flatMap((run, r) => names.flatMap((name, i) => {
      const line = run.lines.find((one) => one.name === name);
      if (!line) return [];
      // The same colour is the same run everywhere; with one run a colour is a line.
      return [{ label: many ? `${run.view.name} · ${lineName(name)}` : lineName(name), x: line.x, y: line.y, colour: many ? RUN_COLOURS[r] : SERIES[i], dash: many || i ? DASHES[i] : undefined }];
    })),
    [runs.value, names.join(), language.value],
  );
  const log = spansDecades(series);
  return (
    <div class="time-row">
      <Plot series={series} height={150} log={log} summary={sentence(series)} format={number} />
      <ul class="plot-key">
        {series.map((one) => (
          <li key={one.label}>
            <svg viewBox="0 0 24 4" aria-hidden="true"><line x1="0" x2="24" y1="2" y2="2" stroke={one.colour} stroke-width="2.4" stroke-dasharray={one.dash?.join(" ")} /></svg>
            {one.label} <b>{number(valueAt(one, at.value.step))}</b>
          </li>
        ))}
        {log && <li class="faint">{t("view.log_axis")}</li>}
      </ul>
    </div>
  );
}

/** Whether a line says more on a logarithmic axis: positive numbers over two decades and more. */
function spansDecades(series: Series[]): boolean {
  let low = Infinity;
  let high = 0;
  for (const one of series) for (const value of one.y) if (Number.isFinite(value)) {
    if (value <= 0) return false;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return high / low > 100;
}

function valueAt(series: Series, step: number): number | null {
  const place = columnAt(series.x, step);
  return place < 0 ? null : series.y[place];
}

function sentence(series: Series[]): string {
  return series
    .map((one) => {
      const finite = one.y.filter(Number.isFinite);
      return t("view.line_sentence", {
        name: one.label, from: integer(one.x[0]), to: integer(one.x[one.x.length - 1]), first: number(one.y[0]), last: number(one.y[one.y.length - 1]),
        low: number(finite.length ? Math.min(...finite) : null), high: number(finite.length ? Math.max(...finite) : null),
      });
    })
    .join(" ");
}

const MOST_ROWS = 60;

function tableOf(names: string[]): Table {
  const columns = runs.value.flatMap((run) => names.flatMap((name) => {
    const line = run.lines.find((one) => one.name === name);
    return line ? [{ label: runs.value.length > 1 ? `${run.view.name} · ${lineName(name)}` : lineName(name), line }] : [];
  }));
  const steps = [...new Set(columns.flatMap(({ line }) => line.x))].sort((a, b) => a - b);
  const every = Math.max(Math.ceil(steps.length / MOST_ROWS), 1);
  return {
    head: [t("view.step"), ...columns.map(({ label }) => label)],
    rows: steps.filter((_, i) => i % every === 0 || i === steps.length - 1).map((step) => [
      integer(step), ...columns.map(({ line }) => number(valueAt({ ...line, label: "", colour: "" }, step))),
    ]),
  };
}
