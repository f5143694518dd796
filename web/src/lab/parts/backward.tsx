// One backward pass, operation by operation: what each multiplies the gradient by on its way back to the first layer.

import { useEffect } from "preact/hooks";
import { decades, fromLog10, number } from "../../numbers";
import { say } from "../../text";
import { levelOf, numberOf, type BackwardRow } from "../api";
import { backward, layer } from "../state";
import { w } from "../words";

const EVERY_MS = 160;

export function BackwardPass() {
  const now = backward.value;
  const rows = now?.pass.rows ?? [];
  const done = !now || now.at >= rows.length;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  useEffect(() => {
    if (done) return;
    if (still) {
      backward.value = { ...now, at: rows.length };
      return;
    }
    const timer = window.setTimeout(() => {
      const latest = backward.value;
      if (latest) backward.value = { ...latest, at: latest.at + 1 };
    }, Math.min(EVERY_MS, 6000 / Math.max(rows.length, 1)));
    return () => window.clearTimeout(timer);
  }, [now]);
  if (!now) return null;
  const shown = rows.slice(Math.max(now.at - 5, 0), Math.min(now.at + 1, rows.length));
  return (
    <div class="pass" role="status">
      <p class="pass-head">
        <b>{w("backward_head")}</b>
        <span>{done ? w("backward_done", { total: decades(numberOf(now.pass.total)), last: fromLog10(levelOf(rows[rows.length - 1]?.log10_after ?? rows[rows.length - 1]?.log10_before)) }) : w("backward_at", { layer: rows[now.at].layer })}</span>
        <button type="button" class="quiet" onClick={() => (backward.value = null)}>{w("close")}</button>
      </p>
      <ol class="factors">
        {shown.map((row) => <Factor key={row.site + row.layer} row={row} />)}
      </ol>
    </div>
  );
}

function Factor({ row }: { row: BackwardRow }) {
  const factor = numberOf(row.decades);
  return (
    <li>
      <button type="button" class="link" onClick={() => (layer.value = row.layer)}>{w("layer", { layer: row.layer })} · {row.op}</button>
      <b>{Number.isFinite(factor) ? `× ${fromLog10(factor)}` : "–"}</b>
      <span class="faint">{row.parts.map((part) => `${say(part.name)} × ${fromLog10(numberOf(part.decades))}`).join(" · ")}{row.slope !== null && row.slope !== undefined ? ` · √E[φ′²] = ${number(numberOf(row.slope))}` : ""}</span>
      <span>→ {fromLog10(levelOf(row.log10_after))}</span>
    </li>
  );
}

