// Numbers as people read them, the same way as headwater.i18n.number does.

import { t } from "./text";

export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace("e+", "e");
  if (size >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** The number whose log₁₀ is given; also where no float64 can hold it any more. */
export function fromLog10(level: number): string {
  if (Number.isNaN(level)) return "–";
  if (level === -Infinity) return "0";
  if (level === Infinity) return "NaN/Inf";
  if (level > -300 && level < 300) return number(10 ** level);
  const exponent = Math.floor(level);
  const mantissa = (10 ** (level - exponent)).toFixed(1);
  return mantissa === "10.0" ? `1.0e${exponent + 1}` : `${mantissa}e${exponent}`;
}

/** A power of ten on an axis: `1e-10`, and `1` for one. */
export function power(level: number): string {
  return level === 0 ? "1" : `1e${level}`;
}

export function percent(share: number): string {
  const shown = share > 0 && share < 0.001 ? "<0.1" : share > 0.999 && share < 1 ? ">99.9" : String(Number((100 * share).toFixed(1)));
  return t("report.percent", { value: shown });
}

export function decades(value: number): string {
  if (value === 0) return "0";
  const shown = Math.abs(value) >= 0.05 ? value.toFixed(1) : value.toPrecision(1);
  return value > 0 ? `+${shown}` : shown.replace("-", "−");
}

export function integer(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** A name in at most so many characters, its middle left out: both ends of a dotted name tell most, the last one most of all. */
export function shorten(name: string, cells: number): string {
  if (name.length <= cells) return name;
  const head = cells < 16 ? 0 : Math.floor((cells - 1) / 2);
  return `${name.slice(0, head)}…${name.slice(name.length - (cells - 1 - head))}`;
}

/** Round numbers between two others, about so many. */
export function ticks(low: number, high: number, about: number): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / Math.max(about, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw) ?? raw;
  const out: number[] = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step)
    out.push(Math.abs(value) < step * 1e-9 ? 0 : value);
  return out;
}
