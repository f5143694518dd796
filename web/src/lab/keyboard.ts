// Keys that work anywhere on the page, except while somebody is writing.

import { helping } from "../state";
import { backwardPass, change, reset, stepOnce, toggle } from "./engine";
import { drawer, layer, layerCount, place, shownSlots, spec, backward } from "./state";
import { beginWith } from "./parts/controls";
import { STARTS } from "./starts";

export function listen(): () => void {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", letGo);
  return () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("click", letGo);
  };
}

/** After a click with the mouse, Space plays again instead of pressing the same button once more. */
function letGo(event: MouseEvent): void {
  const focused = document.activeElement;
  if (event.detail > 0 && focused instanceof HTMLButtonElement && !focused.closest("dialog")) focused.blur();
}

function onKey(event: KeyboardEvent): void {
  const target = event.target as HTMLElement;
  const writing = target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) || (target.tagName === "INPUT" && !/^(range|checkbox|radio)$/.test((target as HTMLInputElement).type));
  if (writing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (helping.value && event.key !== "Escape" && event.key !== "?") return;
  const onButton = /^(BUTTON|SUMMARY|A)$/.test(target.tagName) || (target as HTMLInputElement).type === "checkbox" || (target as HTMLInputElement).type === "radio";
  const onRange = (target as HTMLInputElement).type === "range";
  const key = event.key;
  if (key === " " && !onButton) toggle();
  else if (key === ".") stepOnce();
  else if (key.toLowerCase() === "b") void backwardPass(shownSlots.value[0] ?? "a");
  else if (key.toLowerCase() === "r") reset();
  else if ((key === "[" || key === "]") && spec.value) change({ depth: Math.max(1, spec.value.depth + (key === "]" ? 1 : -1)) });
  else if (/^[1-9]$/.test(key) && STARTS[Number(key) - 1] && place.value === "lab") beginWith(STARTS[Number(key) - 1]);
  else if ((key === "ArrowLeft" || key === "ArrowRight") && !onRange && !target.closest(".scroll, pre, [role=radiogroup]")) {
    layer.value = Math.min(Math.max(layer.value + (key === "ArrowRight" ? 1 : -1), 1), layerCount.value);
    if (backward.value) backward.value = null;
  } else if (key === "?") helping.value = !helping.value;
  else if (key === "Escape") {
    helping.value = false;
    drawer.value = false;
    backward.value = null;
  } else return;
  event.preventDefault();
}
