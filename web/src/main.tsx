import { render } from "preact";
import { effect } from "@preact/signals";
import { unpacked, type PageData } from "./data";
import { acceptFiles } from "./drop";
import { listen } from "./keyboard";
import { watch } from "./live";
import { App } from "./parts/app";
import { difference, gutter, printing, problem, readAddress, rows, runs, selectRow, selectStep, theme, wholeWindow, writeAddress } from "./state";
import { language, t, useTexts } from "./text";
import "./style.css";

async function start(): Promise<void> {
  const data = JSON.parse(document.getElementById("headwater-data")!.textContent!) as PageData;
  useTexts(data.texts);
  language.value = data.language;
  effect(() => { document.documentElement.lang = language.value; });
  effect(() => { document.documentElement.dataset.theme = theme.value; });
  effect(() => { document.documentElement.style.setProperty("--names", `${gutter.value}px`); });
  readAddress();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  window.addEventListener("hashchange", readAddress);
  listen();
  acceptFiles();
  if (data.mode === "offline") {
    difference.value = data.difference;
    try {
      runs.value = await Promise.all(data.views.map(unpacked));
    } catch (error) {
      problem.value = `${t("view.unreadable")} ${String(error)}`;
    }
    const worst = runs.value[0]?.view.findings.find((finding) => finding.sites.length);
    selectStep(worst?.step || wholeWindow.value[1] - 1);
    if (worst) selectRow(Math.max(rows.value.findIndex((row) => row.at[0] === worst.sites[0]), 0));
    readAddress();
  }
  render(<App />, document.getElementById("app")!);
  document.documentElement.dataset.ready = "true";
  if (data.mode === "live") await watch();
  writeAddress();
}

/** Lay everything out on paper's width and in its colours, at once: a browser prints what is there when this returns. */
function print(begins: boolean): void {
  document.documentElement.classList.toggle("printing", begins);
  printing.value = begins;
  for (let pass = 0; pass < 2; pass++) render(<App />, document.getElementById("app")!); // sizes, then what depends on them
}

/** Colours on a canvas do not follow CSS by themselves. */
function repaint(): void {
  const shade = theme.value;
  theme.value = shade === "auto" ? "light" : "auto";
  theme.value = shade;
  runs.value = [...runs.value];
}

void start();
