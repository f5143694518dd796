// Sizes per layer on one log axis down to 1e-40, an exact zero in a lane below it, what theory expects beside what was measured.

import { fromLog10, power, ticks } from "../../numbers";
import { projector } from "../state";
import { w } from "../words";
import { TOP, dotsOf, frameOf, layerAt, pathOf, verticalOf, type Frame, type Vertical } from "../scale";
import { Broken } from "./river";

/** One line over the layers. `kind` says how it is drawn. */
export interface Line { name: string; kind: "gradient" | "signal" | "theory" | "before"; colour: string; levels: number[] }

interface Props {
  frame: Frame; height: number; floor: number; lines: Line[]; selected: number; label: string;
  onHover: (layer: number | null) => void; onPick: (layer: number) => void;
}

export function LogAxis({ frame, height, floor, lines, selected, label, onHover, onPick }: Props) {
  const vertical = verticalOf(height, floor);
  const marks = ticks(floor, 0, height > 300 ? 8 : 5).filter(Number.isInteger);
  const under = (event: MouseEvent) => layerAt(frame, event.clientX - (event.currentTarget as Element).getBoundingClientRect().left);
  return (
    <svg
      class="log-axis" width={frame.width} height={height + (projector.value ? 34 : 20)} role="img" aria-label={label}
      onPointerMove={(event) => onHover(under(event))} onPointerLeave={() => onHover(null)} onClick={(event) => onPick(under(event))}
    >
      <ZeroLane frame={frame} vertical={vertical} />
      {marks.map((mark) => (
        <g key={mark}>
          <line class="grid" x1={frame.left} x2={frame.right} y1={vertical.y(mark)} y2={vertical.y(mark)} />
          <text x={frame.left - 8} y={vertical.y(mark) + 4} text-anchor="end">{power(mark)}</text>
        </g>
      ))}
      {selected >= 0 && <rect class="row-here" x={frame.x(selected) - frame.slot / 2} width={frame.slot} y={0} height={height} />}
      {lines.map((line, i) => line.kind === "gradient" && <Arrives key={i} line={line} frame={frame} vertical={vertical} />)}
      {lines.map((line, i) => <Drawn key={`${i}${line.kind}`} line={line} frame={line.kind === "before" ? frameOf(frame.width, line.levels.length) : frame} vertical={vertical} />)}
      <LayerNumbers frame={frame} y={height + (projector.value ? 27 : 14)} />
    </svg>
  );
}

function Drawn({ line, frame, vertical }: { line: Line; frame: Frame; vertical: Vertical }) {
  const size = Math.min(Math.max(frame.slot * 0.7, 3), 11);
  const style = { "--line": line.colour } as Record<string, string>;
  return (
    <g class={`drawn ${line.kind}`} style={style}>
      <path class="drawn-line" d={pathOf(line.levels, frame, vertical)} />
      {line.kind !== "theory" && <path class="drawn-dots" d={dotsOf(line.levels, frame, vertical)} />}
      {line.kind !== "theory" && line.levels.map((level, layer) => {
        if (level === Infinity) return <Broken key={layer} x={frame.x(layer)} y={vertical.broken + 6} size={size} />;
        if (level === -Infinity) return <rect key={layer} class="zero-dot" x={frame.x(layer) - size / 2} y={vertical.zero - 4} width={size} height={8} />;
        if (level > TOP) return <path key={layer} class="beyond" d={`M${frame.x(layer) - 4} 9l4 -7l4 7z`} />;
        if (level < vertical.floor) return <path key={layer} class="beyond" d={`M${frame.x(layer) - 4} ${vertical.y(vertical.floor) - 3}l4 7l4 -7z`} />;
        return null;
      })}
    </g>
  );
}

/** What arrives at the first layer, in figures where one looks for it. */
function Arrives({ line, frame, vertical }: { line: Line; frame: Frame; vertical: Vertical }) {
  const level = line.levels[0] ?? NaN;
  if (Number.isNaN(level)) return null;
  const at = level === -Infinity ? vertical.zero - 10 : level === Infinity ? vertical.broken + 24 : vertical.y(level) + 22;
  return <text class="arrives" data-log10={String(level)} x={frame.left + 6} y={Math.min(at, vertical.zero - 12)} style={{ fill: line.colour }}>{fromLog10(level)}</text>;
}

function ZeroLane({ frame, vertical }: { frame: Frame; vertical: Vertical }) {
  return (
    <g class="zero-lane">
      <rect x={frame.left} width={frame.right - frame.left} y={vertical.zero - 8} height={16} />
      <text x={frame.left - 8} y={vertical.zero + 4} text-anchor="end">0</text>
      <text class="zero-word" x={frame.right - 6} y={vertical.zero + 4} text-anchor="end">{w("exactly_zero")}</text>
    </g>
  );
}

/** Every so many layers a number, so that they do not touch. */
function LayerNumbers({ frame, y }: { frame: Frame; y: number }) {
  const every = [1, 2, 5, 10, 20, 25, 50].find((stride) => stride * frame.slot >= 24) ?? 100;
  const shown = Array.from({ length: frame.count }, (_, layer) => layer + 1).filter((layer) => layer === 1 || layer % every === 0 || layer === frame.count);
  const apart = shown.filter((layer, i) => i === shown.length - 1 || layer === 1 || (shown[shown.length - 1] - layer) * frame.slot >= 22);
  return <g>{apart.map((layer) => <text key={layer} x={frame.x(layer - 1)} y={y} text-anchor="middle">{layer}</text>)}</g>;
}
