// What is measured beside the numbers: asked for when a picture of it is shown, and given up when it is not.

import { effect, signal } from "@preact/signals";
import { command } from "./engine";
import { facts, lab, shownSlots } from "./state";

export const wantedViews = signal<string[]>([]); // by a lesson's page

let asked = "";

/** Keep the engine informed of which pictures are looked at. */
export function followViews(): () => void {
  return effect(() => {
    if (!lab.value || !shownSlots.value.length) {
      asked = "";
      return;
    }
    const specs = shownSlots.value.map((slot) => lab.value!.slots[slot]!.spec);
    const views = new Set([...wantedViews.value, "histograms", "inputs", "weights", "units"]);
    if (specs.some((spec) => facts.value?.data.find((one) => one.id === spec.data)?.plane || spec.data === "curve")) views.add("boundary");
    if (specs.some((spec) => spec.dropout > 0)) views.add("mask");
    const wish = [...views].sort().join();
    if (wish === asked) return;
    asked = wish;
    void command("view", { views: [...views] });
  });
}
