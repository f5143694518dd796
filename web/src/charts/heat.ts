// The flow map's pixels. One pass writes a line per row and copies it down; 60 × 2,000 cells take a few milliseconds.

import { columnAt, type Levels } from "../data";
import { PALETTES, SHADES, rgba } from "../colours";
import type { Range, Scale } from "../state";

export interface Ground { zero: number; hatch: number; missing: number; gapFrom: number }

const NONFINITE = rgba(0, 0, 0);
const CROSS = rgba(255, 255, 255);
const [MISSING, ZERO, BROKEN] = [-1, -2, -3];

export interface Heat {
  levels: Levels;
  columns: number;
  first: number[];
  last: number[];
  sites: number[]; // of each row shown, -1 where the run lacks it
}

/** Paint a map of the given size in device pixels: steps across, rows down. */
export function paint(heat: Heat, scale: Scale, steps: Range, width: number, height: number, ground: Ground): ImageData {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const spans = pixelSpans(heat, steps, width);
  const count = heat.sites.length;
  const shades = new Int32Array(width);
  const palette = PALETTES[scale.kind];
  const missing = ground.missing;
  for (let row = 0; row < count; row++) {
    const top = Math.round((row * height) / count);
    const bottom = Math.max(Math.round(((row + 1) * height) / count), top + 1);
    shadesOf(heat, row, spans, scale, shades);
    const gap = bottom - top >= ground.gapFrom ? 1 : 0; // a thin line between rows, where there is room for one
    let special = false;
    const line = top * width;
    for (let x = 0; x < width; x++) {
      const shade = shades[x];
      if (shade >= 0) pixels[line + x] = palette[shade];
      else {
        special ||= shade !== MISSING;
        pixels[line + x] = shade === MISSING ? missing : shade === ZERO ? ground.zero : NONFINITE;
      }
    }
    for (let y = top + 1; y < bottom - gap && y < height; y++) pixels.copyWithin(y * width, line, line + width);
    if (special) mark(pixels, shades, width, top, Math.min(bottom - gap, height), ground);
  }
  return image;
}

/** Zero is hatched, NaN and Inf are crossed: a colour alone would not tell. */
function mark(pixels: Uint32Array, shades: Int32Array, width: number, top: number, bottom: number, ground: Ground): void {
  const tall = bottom - top;
  for (let x = 0; x < width; x++) {
    if (shades[x] === ZERO)
      for (let y = top; y < bottom; y++) if ((x + y) % 6 < 2) pixels[y * width + x] = ground.hatch;
  }
  let x = 0;
  while (x < width) {
    if (shades[x] !== BROKEN) {
      x++;
      continue;
    }
    let end = x;
    while (end < width && shades[end] === BROKEN) end++;
    const size = Math.min(tall - 2, 9);
    if (size >= 4)
      for (let from = x + 1; from + size <= Math.max(end, x + size + 1) && from + size < width; from += size * 3)
        for (let i = 0; i < size; i++) {
          const y = top + ((tall - size) >> 1) + i;
          pixels[y * width + from + i] = CROSS;
          pixels[y * width + from + size - 1 - i] = CROSS;
        }
    x = end;
  }
}

/** Of each pixel the columns it covers, first and one past the last. */
function pixelSpans(heat: Heat, [from, to]: Range, width: number): Int32Array {
  const spans = new Int32Array(2 * width);
  const end = heat.columns ? heat.last[heat.columns - 1] + typicalStride(heat) : 0;
  for (let x = 0; x < width; x++) {
    const left = from + ((to - from) * x) / width;
    const right = from + ((to - from) * (x + 1)) / width;
    const a = columnAt(heat.first, left);
    let b = columnAt(heat.first, right);
    if (b >= 0 && heat.first[b] === right) b--; // it begins with the next pixel
    spans[2 * x] = left >= end ? 0 : Math.max(a, 0);
    spans[2 * x + 1] = left >= end || b < 0 ? 0 : b + 1;
  }
  return spans;
}

/** Steps from one column to the next, as a rule. */
function typicalStride(heat: Heat): number {
  if (heat.columns < 2) return 1;
  return Math.max((heat.first[heat.columns - 1] - heat.first[0]) / (heat.columns - 1), 1);
}

/**
 * Shade of each pixel of a row. Of the numbers a pixel stands for it shows NaN or Inf first, then zero, then the one
 * farthest from the row's middle, so that a spike of one step is seen at any width. A statistic that is measured more
 * rarely than others keeps its number until the next.
 */
function shadesOf(heat: Heat, row: number, spans: Int32Array, scale: Scale, out: Int32Array): void {
  const site = heat.sites[row];
  if (site < 0) {
    out.fill(MISSING);
    return;
  }
  const { low, high, kind } = heat.levels;
  const base = site * heat.columns;
  const middle = middleOf(low, base, heat.columns);
  const span = scale.high - scale.low || 1;
  const stride = sparse(low, base, heat.columns);
  const fraction = kind === "fraction";
  for (let x = 0; x < out.length; x++) {
    const from = spans[2 * x];
    const to = spans[2 * x + 1];
    let shown = NaN;
    let farthest = -1;
    for (let column = from; column < to; column++) {
      const a = low[base + column];
      const b = high[base + column];
      if (a !== a) continue;
      if (b === Infinity) {
        shown = Infinity;
        break;
      }
      const level = Math.abs(a - middle) >= Math.abs(b - middle) ? a : b;
      const distance = level === -Infinity ? Infinity : Math.abs(level - middle);
      if (distance > farthest) {
        farthest = distance;
        shown = level;
      }
    }
    if (shown !== shown && to > from)
      for (let back = from - 1; back >= 0 && back > from - stride; back--)
        if (low[base + back] === low[base + back]) {
          shown = low[base + back];
          break;
        }
    if (shown !== shown) out[x] = MISSING;
    else if (shown === Infinity) out[x] = BROKEN;
    else if (shown === -Infinity) out[x] = fraction ? 0 : ZERO;
    else {
      const share = fraction ? 10 ** shown : (shown - scale.low) / span;
      out[x] = Math.max(0, Math.min(SHADES - 1, Math.round(share * (SHADES - 1))));
    }
  }
}

/** How far back a number still stands: the longest way from one measurement to the next, in columns. */
function sparse(low: Float32Array, base: number, columns: number): number {
  let known = 0;
  for (let column = 0; column < columns; column++) if (low[base + column] === low[base + column]) known++;
  return known && known < columns / 4 ? columns : 2;
}

/** About the middle of a row's finite levels: the median of a sample. */
function middleOf(low: Float32Array, base: number, columns: number): number {
  const some: number[] = [];
  const stride = Math.max(1, columns >> 6);
  for (let column = 0; column < columns; column += stride) {
    const level = low[base + column];
    if (Number.isFinite(level)) some.push(level);
  }
  some.sort((a, b) => a - b);
  return some.length ? some[some.length >> 1] : 0;
}
