// The view as Python wrote it (headwater/view/1), and the same unpacked.

export type Said = { en: string; ko: string };
export type Status = "healthy" | "cannot_tell" | "critical" | "warning" | "info";
export type Severity = "critical" | "warning" | "info";

export interface Cause { name: Said; share: number | null; why: Said }
export interface Remedy { name: Said; why: Said; wrong_when: Said; code: string }
export interface Finding {
  symptom: string; severity: Severity; name: Said; sentence: Said; where: Said; sites: number[]; step: number;
  evidence: Said[]; causes: Cause[]; remedies: Remedy[]; consequences: Said[];
}
export interface Site { name: string; op: string; kind: string; shape: number[]; dtype: string; expected: number | null }
export interface Bar { site: number | null; op: string; category: string; decades: number }
export interface Waterfall {
  first: string; last: string; log10_first: number; log10_last: number; bars: Bar[]; totals: Record<string, number>;
}
export interface Happening { step: number; id: string; said: Said }
export interface View {
  schema: string; name: string; headwater: string; created: string; model: string;
  state: "finished" | "running" | "silent"; verdict: string | null; status: Status; headline: Said; lead: Said;
  findings: Finding[]; sites: Site[]; measured: number; first: number[]; last: number[];
  statistics: { name: string; kind: Kind; low: string; high: string | null }[];
  lines: { name: string; steps: number[]; values: string }[];
  events: Happening[]; events_left_out: number; waterfall: Waterfall | null; facts: { name: Said; value: Said }[];
}
export interface Difference {
  said: Said[]; pairs: [number, number][]; renamed: [string, string][]; only_first: string[]; only_second: string[];
}
export type Kind = "size" | "fraction";
export interface PageData {
  mode: "offline" | "live"; language: "en" | "ko"; texts: Record<"en" | "ko", Record<string, string>>;
  views: View[]; difference: Difference | null;
}

/** Levels of one statistic, sites × columns, row by row: log₁₀; NaN not measured, -Infinity zero, Infinity NaN or Inf. */
export interface Levels { kind: Kind; low: Float32Array; high: Float32Array }
export interface Line { name: string; x: number[]; y: number[] }
export interface Run {
  view: View; columns: number; first: number[]; last: number[]; levels: Map<string, Levels>; lines: Line[];
}

const LARGEST = 1 << 28; // bytes of one array; what is larger was not written by us

async function inflated(text: string, count: number): Promise<Float32Array> {
  const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  if (count * 4 > LARGEST) throw new Error("array too large");
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(count * 4);
  let at = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > planes.length) throw new Error("array longer than it says");
    planes.set(value, at);
    at += value.length;
  }
  if (at !== planes.length) throw new Error("array shorter than it says");
  const values = new DataView(new ArrayBuffer(count * 4));
  for (let i = 0; i < count; i++)
    for (let plane = 0; plane < 4; plane++) values.setUint8(4 * i + plane, planes[plane * count + i]);
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = values.getFloat32(4 * i, true);
  return out;
}

/** Unpack a view; what is no view of a version we know is refused. */
export async function unpacked(view: View): Promise<Run> {
  if (view.schema !== "headwater/view/1") throw new Error(`schema ${String(view.schema)}`);
  const columns = view.first.length;
  const levels = new Map<string, Levels>();
  for (const item of view.statistics) {
    const low = await inflated(item.low, view.sites.length * columns);
    levels.set(item.name, { kind: item.kind, low, high: item.high ? await inflated(item.high, low.length) : low });
  }
  const lines: Line[] = [];
  for (const line of view.lines)
    lines.push({ name: line.name, x: line.steps, y: Array.from(await inflated(line.values, line.steps.length)) });
  return { view, columns, first: view.first, last: view.last, levels, lines };
}

/** A run with the columns and points of a later view behind its own; words and events are those of the later one. */
export function extended(run: Run, more: Run): Run {
  const columns = run.columns + more.columns;
  const sites = run.view.sites.length;
  const levels = new Map<string, Levels>();
  for (const name of new Set([...run.levels.keys(), ...more.levels.keys()])) {
    const a = run.levels.get(name);
    const b = more.levels.get(name);
    const joined = (part: "low" | "high") => {
      const out = new Float32Array(sites * columns).fill(NaN);
      for (let site = 0; site < sites; site++) {
        if (a) out.set(a[part].subarray(site * run.columns, (site + 1) * run.columns), site * columns);
        if (b) out.set(b[part].subarray(site * more.columns, (site + 1) * more.columns), site * columns + run.columns);
      }
      return out;
    };
    levels.set(name, { kind: (a ?? b)!.kind, low: joined("low"), high: joined("high") });
  }
  const names = new Set([...run.lines.map((line) => line.name), ...more.lines.map((line) => line.name)]);
  const lines = [...names].map((name) => {
    const parts = [run, more].map((part) => part.lines.find((line) => line.name === name));
    return { name, x: parts.flatMap((part) => part?.x ?? []), y: parts.flatMap((part) => part?.y ?? []) };
  });
  const measured = run.view.measured + more.view.measured;
  return {
    view: { ...more.view, measured }, columns, first: [...run.first, ...more.first], last: [...run.last, ...more.last],
    levels, lines,
  };
}

/** A row that the runs on the page share: where it stands in each, -1 where a run lacks it. */
export interface Row { name: string; site: Site; at: number[] }

/** Rows of one run, or of two by the pairs that belong together; what only the second has stands where it stood there. */
export function rowsOf(runs: Run[], difference: Difference | null): Row[] {
  const [a, b] = runs;
  if (!a) return [];
  if (!b) return a.view.sites.map((site, index) => ({ name: site.name, site, at: [index] }));
  const pairs: [number, number][] =
    difference?.pairs ??
    a.view.sites.flatMap((site, i) => {
      const j = b.view.sites.findIndex((other) => other.name === site.name);
      return j < 0 ? [] : [[i, j] as [number, number]];
    });
  const second = new Map(pairs);
  const paired = new Set(second.values());
  const rows: Row[] = a.view.sites.map((site, i) => ({ name: site.name, site, at: [i, second.get(i) ?? -1] }));
  b.view.sites.forEach((site, j) => {
    if (paired.has(j)) return;
    const before = rows.findLastIndex((row) => row.at[1] >= 0 && row.at[1] < j);
    rows.splice(before + 1, 0, { name: site.name, site, at: [-1, j] });
  });
  return rows;
}

/** The last column that begins at or before a step; -1 before the first. */
export function columnAt(first: number[], step: number): number {
  let low = 0;
  let high = first.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (first[middle] <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
