// Where the gradient goes: decades from the last layer back to the first, charged to what took them.

import { RUN_COLOURS } from "../colours";
import type { Run, Waterfall as Budget } from "../data";
import { decades, fromLog10, percent, power, ticks } from "../numbers";
import { at, hovered, rows, runs, selectRow } from "../state";
import { named, t } from "../text";
import { Figure, type Table } from "./figure";
import { useWidth } from "./size";

const HEIGHT = 240;
const LEFT = 46;
const RIGHT = 8;
const KNOWN = ["activation", "weights", "alignment", "normalization", "pooling", "shortcut"];

export function Waterfalls() {
  const shown = runs.value.map((run, index) => ({ run, index })).filter(({ run }) => run.view.waterfall?.bars.length);
  if (!shown.length) return null;
  const first = shown[0].run.view.waterfall!;
  const whole = first.log10_first - first.log10_last;
  return (
    <Figure
      id="waterfall" title={t("view.waterfall_head")} table={() => tableOf(shown.map(({ run }) => run))}
      caption={t(whole > 0 ? "view.waterfall_gained" : "view.waterfall_lost", { last: first.last, first: first.first, decades: Math.abs(whole).toFixed(1) })}
    >
      {shown.map(({ run, index }) => <Waterfall budget={run.view.waterfall!} run={run} index={index} many={runs.value.length > 1} key={index} />)}
    </Figure>
  );
}

const style = (category: string): string => (KNOWN.includes(category) ? `cat-${category}` : "cat-other");

interface Drop { x: number; width: number; before: number; after: number; category: string; told: string; row: number }

function Waterfall({ budget, run, index, many }: { budget: Budget; run: Run; index: number; many: boolean }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const drops = width ? placed(budget, index, width) : [];
  const levels = [budget.log10_first, budget.log10_last, ...drops.map((drop) => drop.after)];
  const low = Math.floor(Math.min(...levels));
  const high = Math.max(Math.ceil(Math.max(...levels)), low + 1);
  const y = (level: number) => 8 + ((high - level) / (high - low)) * (HEIGHT - 16);
  const total = budget.log10_first - budget.log10_last;
  const summary = t("view.waterfall_sentence", {
    last: budget.last, first: budget.first, log10_last: fromLog10(budget.log10_last), log10_first: fromLog10(budget.log10_first),
    parts: Object.entries(budget.totals).map(([name, value]) => `${named("category.", name)} ${decades(value)}`).join(", "),
  });
  const here = drops.find((drop) => drop.row === at.value.row);
  return (
    <div class="waterfall">
      {many && <p class="eyebrow"><i class="run-dot" style={{ background: RUN_COLOURS[index] }} aria-hidden="true" />{run.view.name}</p>}
      <div ref={box}>
        {width > 0 && (
          <svg class="waterfall-picture" width={width} height={HEIGHT + 18} role="img" aria-label={summary} onPointerLeave={() => (hovered.value = null)}>
            {ticks(low, high, 5).filter(Number.isInteger).map((level) => (
              <g key={level}>
                <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(level)} y2={y(level)} />
                <text x={LEFT - 6} y={y(level) + 4} text-anchor="end">{power(level)}</text>
              </g>
            ))}
            {here && <rect class="row-here" x={here.x} width={here.width} y={0} height={HEIGHT} />}
            {drops.map((drop, i) => (
              <rect
                key={i} class={style(drop.category)} x={drop.x + 0.5} width={Math.max(drop.width - 1, 1)}
                y={Math.min(y(drop.before), y(drop.after))} height={Math.max(Math.abs(y(drop.before) - y(drop.after)), 1.2)}
                onPointerEnter={() => { if (drop.row >= 0) hovered.value = { row: drop.row, step: at.value.step }; }}
                onClick={() => { if (drop.row >= 0) selectRow(drop.row); }}
              >
                <title>{drop.told}</title>
              </rect>
            ))}
            <text x={LEFT} y={HEIGHT + 14}>{t("view.input_side")}</text>
            <text x={width - RIGHT} y={HEIGHT + 14} text-anchor="end">{t("view.loss_side")}</text>
          </svg>
        )}
      </div>
      <table class="budget">
        <thead><tr><th scope="col">{t("view.category")}</th><th scope="col" class="num">{t("view.decades")}</th><th scope="col" class="num">{t("view.share")}</th></tr></thead>
        <tbody>
          {Object.entries(budget.totals).map(([name, value]) => (
            <tr key={name}>
              <th scope="row"><i class={`swatch ${style(name)}`} />{named("category.", name)}</th>
              <td class="num">{decades(value)}</td>
              <td class="num">{total ? percent(value / total) : "–"}</td>
            </tr>
          ))}
        </tbody>
        <tfoot><tr><th scope="row">{t("view.total")}</th><td class="num">{decades(total)}</td><td class="num">{total ? percent(1) : "–"}</td></tr></tfoot>
      </table>
    </div>
  );
}

/** Bars where their layers stand, input on the left; those of layers that share a column are summed by category. */
function placed(budget: Budget, run: number, width: number): Drop[] {
  const count = Math.max(rows.value.length, 1);
  const room = width - LEFT - RIGHT;
  const grouped = Math.max(Math.ceil((12 * count) / room), 1);
  const columns: { column: number; row: number; parts: Map<string, number>; told: string[] }[] = [];
  let row = count - 1;
  for (const bar of budget.bars) {
    const place = bar.site === null ? -1 : rows.value.findIndex((one) => one.at[run] === bar.site);
    row = place >= 0 ? place : row;
    const column = Math.floor(row / grouped);
    let last = columns[columns.length - 1];
    if (!last || last.column !== column) columns.push((last = { column, row, parts: new Map(), told: [] }));
    last.parts.set(bar.category, (last.parts.get(bar.category) ?? 0) + bar.decades);
    last.told.push(rows.value[row]?.name ?? "");
  }
  const drops: Drop[] = [];
  let level = budget.log10_last;
  const wide = (room * grouped) / count;
  for (const { column, row: at, parts, told } of columns) {
    const slot = Math.min(wide, room - column * wide) / parts.size;
    let i = 0;
    const names = [...new Set([told[told.length - 1], told[0]])].join(" … ");
    for (const [category, value] of parts) {
      const x = LEFT + column * wide + (parts.size - 1 - i) * slot;
      drops.push({ x, width: slot, before: level, after: level + value, category, row: at, told: `${names}\n${named("category.", category)} ${decades(value)}` });
      level += value;
      i++;
    }
  }
  return drops;
}

function tableOf(shown: Run[]): Table {
  const many = shown.length > 1;
  return {
    head: [t("view.layer"), ...(many ? [t("view.run")] : []), t("view.operation"), t("view.category"), t("view.decades")],
    rows: shown.flatMap((run) => run.view.waterfall!.bars.map((bar) => [
      bar.site === null ? "–" : run.view.sites[bar.site].name || "(model)", ...(many ? [run.view.name] : []), bar.op, named("category.", bar.category), decades(bar.decades),
    ])),
  };
}
