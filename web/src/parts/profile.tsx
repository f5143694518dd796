// The profile at the cursor's step: layers down as in the map beside it, the number across; theory's expectation dashed.

import { RUN_COLOURS } from "../colours";
import { integer, percent, power, ticks } from "../numbers";
import { at, hovered, reading, rows, runs, selectRow, shownRows, type Scale } from "../state";
import { t } from "../text";
import { cursorText, rangeText } from "./flow-map";
import { statisticName } from "./verdict";

const WIDTH = 240;
const PAD = 10;

export function Profile({ index, name, height, scale }: { index: number; name: string; height: number; scale: Scale }) {
  const [top, bottom] = shownRows.value;
  const count = Math.max(bottom - top, 1);
  const tall = height / count;
  const x = (level: number): number => {
    const share = scale.kind === "fraction" ? (level === -Infinity ? 0 : 10 ** level) : (level - scale.low) / (scale.high - scale.low);
    return PAD + Math.min(Math.max(share, 0), 1) * (WIDTH - 2 * PAD);
  };
  const y = (row: number): number => (row - top + 0.5) * tall;
  const marks = scale.kind === "fraction" ? [0, 0.5, 1] : ticks(scale.low, scale.high, 4).filter(Number.isInteger);
  const here = at.value.row;
  const expectation = expected(index, name);
  return (
    <div class="profile-box">
      <svg
        class="profile" viewBox={`0 0 ${WIDTH} ${height}`} preserveAspectRatio="none" style={{ height: `${height}px` }} role="img" aria-label={sentence(index, name)}
        onPointerMove={(event) => { hovered.value = { row: rowUnder(event, top, bottom), step: at.value.step }; }}
        onPointerLeave={() => { hovered.value = null; }}
        onClick={(event) => selectRow(rowUnder(event, top, bottom))}
      >
        {marks.map((mark) => <line key={mark} class="grid" x1={tickX(scale, mark, x)} x2={tickX(scale, mark, x)} y1={0} y2={height} />)}
        {here >= top && here < bottom && <rect class="row-here" x={0} width={WIDTH} y={(here - top) * tall} height={Math.max(tall, 2)} />}
        {expectation && <path class="theory" d={path(expectation, top, bottom, x, y)} />}
        {runs.value.map((_, run) => <Levels key={run} run={run} own={run === index} name={name} x={x} y={y} tall={tall} />)}
      </svg>
      <p class="profile-head">
        {t("view.at_step", { step: integer(at.value.step) })}
        {expectation && <span class="theory-key"><i />{t("view.theory")}</span>}
      </p>
      <div class="profile-axis" aria-hidden="true">
        {marks.map((mark) => (
          <span key={mark} style={{ left: `${(100 * tickX(scale, mark, x)) / WIDTH}%` }}>
            {scale.kind === "fraction" ? percent(mark) : power(mark)}
          </span>
        ))}
      </div>
    </div>
  );
}

function tickX(scale: Scale, mark: number, x: (level: number) => number): number {
  return x(scale.kind === "fraction" ? Math.log10(mark) : mark);
}

function rowUnder(event: MouseEvent, top: number, bottom: number): number {
  const bounds = (event.currentTarget as Element).getBoundingClientRect();
  return top + Math.min(Math.max(Math.floor(((event.clientY - bounds.top) / bounds.height) * (bottom - top)), 0), bottom - top - 1);
}

interface LevelsProps { run: number; own: boolean; name: string; x: (level: number) => number; y: (row: number) => number; tall: number }

function Levels({ run, own, name, x, y, tall }: LevelsProps) {
  const [top, bottom] = shownRows.value;
  const { step } = at.value;
  const points: { row: number; low: number; high: number }[] = [];
  for (let row = top; row < bottom; row++) {
    const { low, high } = reading(run, name, row, step);
    if (!Number.isNaN(low)) points.push({ row, low, high });
  }
  const finite = points.filter((point) => Number.isFinite(point.low) || (point.low === -Infinity && name.endsWith("fraction")));
  const shape = finite.map((point, i) => `${i ? "L" : "M"}${x((point.low + point.high) / 2 || point.low).toFixed(1)} ${y(point.row).toFixed(1)}`).join("");
  const style = { "--run": RUN_COLOURS[run] } as Record<string, string>;
  return (
    <g class={own ? "levels" : "levels other"} style={style}>
      <path class="level-line" d={shape} />
      {tall >= 7 && finite.map((point) => <circle key={point.row} class="level-dot" cx={x((point.low + point.high) / 2 || point.low)} cy={y(point.row)} r={tall >= 14 ? 3 : 2} />)}
      {points.filter((point) => point.high === Infinity).map((point) => (
        <g key={point.row}>
          <rect class="broken" x={WIDTH - 14} y={y(point.row) - Math.min(tall / 2, 6)} width={12} height={Math.min(tall, 12)} />
          <path class="broken-cross" d={`M${WIDTH - 11} ${y(point.row) - 3}l6 6m0-6l-6 6`} />
        </g>
      ))}
      {!name.endsWith("fraction") && points.filter((point) => point.low === -Infinity).map((point) => (
        <rect key={point.row} class="zero-mark" x={1} y={y(point.row) - Math.min(tall / 2, 5)} width={9} height={Math.max(Math.min(tall - 1, 10), 1)} />
      ))}
    </g>
  );
}

/** What theory expects at each row, moved to the measured number nearest the loss at this step. */
export function expected(run: number, name: string): number[] | null {
  if (name !== "activation_grad_rms" || !runs.value[run]) return null;
  const sites = runs.value[run].view.sites;
  const levels = rows.value.map((row) => (row.at[run] < 0 ? NaN : (sites[row.at[run]].expected ?? NaN)));
  if (!levels.some(Number.isFinite)) return null;
  for (let row = levels.length - 1; row >= 0; row--) {
    const measured = reading(run, name, row, at.value.step).low;
    if (Number.isFinite(levels[row]) && Number.isFinite(measured)) return levels.map((level) => level + measured - levels[row]);
  }
  return null;
}

function path(levels: number[], top: number, bottom: number, x: (level: number) => number, y: (row: number) => number): string {
  const known = levels.map((level, row) => ({ level, row })).filter(({ level, row }) => Number.isFinite(level) && row >= top && row < bottom);
  return known.map(({ level, row }, i) => `${i ? "L" : "M"}${x(level).toFixed(1)} ${y(row).toFixed(1)}`).join("");
}

function sentence(run: number, name: string): string {
  const found = rows.value.map((row, i) => ({ name: row.name, ...reading(run, name, i, at.value.step) })).filter((one) => Number.isFinite(one.low));
  if (!found.length) return cursorText(run, name);
  const lowest = found.reduce((a, b) => (b.low < a.low ? b : a));
  const highest = found.reduce((a, b) => (b.high > a.high ? b : a));
  return t("view.profile_sentence", {
    step: integer(at.value.step), statistic: statisticName(name), sites: integer(found.length),
    low: rangeText(name, lowest.low, lowest.low), low_site: lowest.name || "(model)", high: rangeText(name, highest.high, highest.high), high_site: highest.name || "(model)",
  });
}
