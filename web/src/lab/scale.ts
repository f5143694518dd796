// Where things stand in the picture of the flow: layers across, decades down, and a lane of its own for an exact zero.

export const TOP = 3; // decades; what is larger stands at the top edge
export const DEEPEST = -40;
// Room for the numbers of the axis and for the rivers' names, which grow with the projector.
const roomy = () => document.documentElement.hasAttribute("data-projector");
const RIGHT = 14;

export interface Frame { width: number; count: number; x: (layer: number) => number; slot: number; left: number; right: number }

export function frameOf(width: number, count: number): Frame {
  const left = roomy() ? 136 : 66;
  const room = Math.max(width - left - RIGHT, 1);
  const slot = room / Math.max(count, 1);
  return { width, count, slot, left, right: width - RIGHT, x: (layer) => left + (layer + 0.5) * slot };
}

export function layerAt(frame: Frame, x: number): number {
  return Math.min(Math.max(Math.floor((x - frame.left) / frame.slot), 0), frame.count - 1);
}

/** The lowest decade of the axis: all of it, or just what these levels need, in tens so that it does not twitch. */
export function floorOf(levels: number[], fitted: boolean): number {
  if (!fitted) return DEEPEST;
  const lowest = Math.min(-4, ...levels.filter(Number.isFinite));
  return Math.max(-5 * Math.ceil(-lowest / 5), DEEPEST);
}

export interface Vertical { y: (level: number) => number; zero: number; broken: number; height: number; floor: number }

export function verticalOf(height: number, floor: number): Vertical {
  const LANE = roomy() ? 36 : 20;
  const room = height - LANE - 10;
  const y = (level: number) => 8 + ((TOP - Math.min(Math.max(level, floor), TOP)) / (TOP - floor)) * (room - 8);
  return { y, zero: height - LANE / 2, broken: 8, height, floor };
}

/** Pieces of a line through the finite levels: an exact zero, NaN or Inf interrupts it. */
export function pathOf(levels: number[], frame: Frame, vertical: Vertical): string {
  let path = "";
  let open = false;
  levels.forEach((level, layer) => {
    if (Number.isNaN(level)) return; // not measured there
    if (!Number.isFinite(level)) {
      open = false;
      return;
    }
    path += `${open ? "L" : "M"}${frame.x(layer).toFixed(1)} ${vertical.y(level).toFixed(1)}`;
    open = true;
  });
  return path;
}

/** Small circles at the finite levels, as one path. */
export function dotsOf(levels: number[], frame: Frame, vertical: Vertical): string {
  const r = Math.min(Math.max(frame.slot / 5, 1.2), 3.2);
  return levels
    .map((level, layer) =>
      Number.isFinite(level)
        ? `M${(frame.x(layer) - r).toFixed(1)} ${vertical.y(level).toFixed(1)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`
        : "")
    .join("");
}

const DRY = 10; // decades below the widest place at which a river is a hairline: Adam's ε against a gradient of 1 is 8

/** Half the width of a river at each layer, from 0 to 1; NaN where there is no number to draw. */
export function widthsOf(levels: number[]): number[] {
  const widest = Math.max(...levels.filter(Number.isFinite), -Infinity);
  return levels.map((level) => {
    if (level === -Infinity) return 0;
    return Number.isFinite(level) ? Math.max(1 + (level - widest) / DRY, 0) : NaN;
  });
}
