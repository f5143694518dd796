// The network as two rivers on one bed of layers: the signal runs to the right, the gradient runs back to the left.

import { useRef } from "preact/hooks";
import { w } from "../words";
import { layerAt, widthsOf, type Frame } from "../scale";


interface Props { frame: Frame; signal: number[]; gradient: number[]; colour: string; selected: number; step: number; slim: boolean; reached: number | null; onPick: (layer: number) => void; label: string }

const WAVE = 36; // of a wave and the gap behind it, in pixels: `.waves` in lab.css
const MOVE = 5; // pixels at each update that is drawn
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Another `step` moves the waves on: they flow as fast as updates are drawn, and rest when none are. `reached` is how far a backward pass has come: what lies before it is not drawn yet. */
export function River({ frame, signal, gradient, colour, selected, step, slim, reached, onPick, label }: Props) {
  const [tall, gap] = slim ? [24, 10] : [40, 14]; // of one river at its widest, in pixels
  const height = 2 * tall + gap + 8;
  const back = reached === null ? gradient : gradient.map((level, layer) => (layer >= reached ? level : NaN));
  const waves = useRef({ step, moves: 0 });
  if (waves.current.step !== step) waves.current = { step, moves: waves.current.moves + 1 };
  const flowed = still.matches ? 0 : -((waves.current.moves * MOVE) % WAVE);
  return (
    <svg
      class="river" width={frame.width} height={height} role="img" aria-label={label}
      onClick={(event) => onPick(layerAt(frame, event.clientX - event.currentTarget.getBoundingClientRect().left))}
    >
      {selected >= 0 && <rect class="row-here" x={frame.x(selected) - frame.slot / 2} width={frame.slot} y={0} height={height} />}
      <Stream frame={frame} levels={signal} tall={tall} middle={4 + tall / 2} colour="var(--orange)" direction="forward" flowed={flowed} />
      <Stream frame={frame} levels={back} tall={tall} middle={4 + tall + gap + tall / 2} colour={colour} direction="backward" flowed={flowed} />
      <text class="river-name" x={frame.left - 8} y={4 + tall / 2 + 4} text-anchor="end" style={{ fill: "var(--orange-ink)" }}>{w("signal_short")}</text>
      <text class="river-name" x={frame.left - 8} y={4 + tall + gap + tall / 2 + 4} text-anchor="end" style={{ fill: colour === "var(--run-0)" ? "var(--blue-ink)" : "var(--vermillion-ink)" }}>{w("gradient_short")}</text>
    </svg>
  );
}

function Stream({ frame, levels, tall, middle, colour, direction, flowed }: { frame: Frame; levels: number[]; tall: number; middle: number; colour: string; direction: "forward" | "backward"; flowed: number }) {
  const half = widthsOf(levels).map((share) => (share * tall) / 2);
  const known = half.map((value, layer) => ({ value, layer })).filter(({ value }) => !Number.isNaN(value));
  if (!known.length) return null;
  const edge = (sign: number, points: typeof known) => points.map(({ value, layer }) => `${frame.x(layer).toFixed(1)} ${(middle + sign * value).toFixed(1)}`).join("L");
  const [first, last] = [known[0].layer, known[known.length - 1].layer];
  const bed = `M${frame.x(first)} ${middle}H${frame.x(last)}`;
  const body = `M${edge(-1, known)}L${edge(1, known.toReversed())}Z`;
  return (
    <g class={`stream ${direction}`} style={{ "--stream": colour } as Record<string, string>}>
      <path class="bed" d={bed} />
      <path class="water" d={body} />
      <path class="current" d={body} />
      <path class="waves" stroke-dashoffset={flowed} d={direction === "forward" ? bed : `M${frame.x(last)} ${middle}H${frame.x(first)}`} />
      {levels.map((level, layer) => level === Infinity && <Broken key={layer} x={frame.x(layer)} y={middle} size={Math.min(frame.slot, 12)} />)}
    </g>
  );
}

/** NaN and Inf: black with a cross, as everywhere. */
export function Broken({ x, y, size }: { x: number; y: number; size: number }) {
  const arm = size * 0.28;
  return (
    <g>
      <rect class="broken" x={x - size / 2} y={y - size / 2} width={size} height={size} />
      <path class="broken-cross" d={`M${x - arm} ${y - arm}l${2 * arm} ${2 * arm}m0 ${-2 * arm}l${-2 * arm} ${2 * arm}`} />
    </g>
  );
}
