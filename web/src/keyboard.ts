// Keys that work anywhere on the page, except while somebody is writing.

import { MAPS, announcement, helping, hovered, pinned, playing, runs, selectRow, setRows, setSteps, statistic, stepBy } from "./state";
import { cursorText } from "./parts/flow-map";

/** Say what is under the cursor to those who do not see it. */
export function announce(): void {
  announcement.value = runs.value.map((run, i) => (runs.value.length > 1 ? `${run.view.name}: ` : "") + cursorText(i, statistic.value)).join(" ");
}

export function listen(): () => void {
  document.addEventListener("keydown", onKey);
  return () => document.removeEventListener("keydown", onKey);
}

function onKey(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  const writing = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
  if (writing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (helping.value && event.key !== "Escape" && event.key !== "?") return;
  const onButton = /^(BUTTON|SUMMARY|A)$/.test(target.tagName);
  const known = MAPS.filter((name) => runs.value.some((run) => run.levels.has(name)));
  if (/^[1-9]$/.test(event.key) && known[Number(event.key) - 1]) statistic.value = known[Number(event.key) - 1];
  else if (event.key === " " && !onButton) playing.value = !playing.value;
  else if (event.key === ".") move(() => stepBy(1));
  else if (event.key === ",") move(() => stepBy(-1));
  else if (event.key === "ArrowLeft" && !scrolls(target)) move(() => stepBy(event.shiftKey ? -10 : -1));
  else if (event.key === "ArrowRight" && !scrolls(target)) move(() => stepBy(event.shiftKey ? 10 : 1));
  else if (event.key === "[") move(() => selectRow(pinned.value.row - 1));
  else if (event.key === "]") move(() => selectRow(pinned.value.row + 1));
  else if (event.key === "/") document.getElementById("layer-search")?.focus();
  else if (event.key === "?") helping.value = !helping.value;
  else if (event.key.toLowerCase() === "r") {
    setSteps(null);
    setRows(null);
  } else if (event.key === "Escape") {
    helping.value = false;
    playing.value = false;
    hovered.value = null;
  } else return;
  event.preventDefault();
}

/** Whether arrows scroll there: tables and code. */
function scrolls(target: HTMLElement): boolean {
  return target.closest(".scroll, pre") !== null;
}

function move(go: () => void): void {
  hovered.value = null;
  go();
  announce();
}
