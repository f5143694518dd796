// A second report dropped on the page stands beside the first.

import { unpacked, type PageData } from "./data";
import { difference, problem, runs } from "./state";
import { t } from "./text";

const LARGEST = 20_000_000;

export function acceptFiles(): void {
  document.addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    void beside(file);
  });
}

/** The view in a report's file; its markup is read, and none of it is run or shown. */
export async function beside(file: File): Promise<void> {
  try {
    if (file.size > LARGEST) throw new Error(t("view.too_large"));
    const page = new DOMParser().parseFromString(await file.text(), "text/html");
    const data = JSON.parse(page.getElementById("headwater-data")?.textContent ?? "null") as PageData | null;
    if (!data?.views?.[0]) throw new Error(t("view.no_report"));
    const other = await unpacked(data.views[0]);
    difference.value = null;
    runs.value = [runs.value[0], other].filter(Boolean);
    problem.value = "";
  } catch (error) {
    problem.value = `${file.name}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
