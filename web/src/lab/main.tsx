import { render } from "preact";
import { effect } from "@preact/signals";
import { theme } from "../state";
import type { Said } from "../data";
import { around, language, t, useTexts, type Language } from "../text";
import { addressNow, isOurs, readAddress, writeAddress, type Asked } from "./address";
import { Refused } from "./api";
import { admitted, compare, leave, loadFacts, open } from "./engine";
import { listen } from "./keyboard";
import { closeLesson, openLesson } from "./parts/lessons";
import { App } from "./parts/app";
import { frames, networks, place, projector, trouble } from "./state";
import "../style.css";
import "./lab.css";

interface Shell { language: Language; texts: Record<Language, Record<string, string>>; guide: string | null }

async function start(): Promise<void> {
  const shell = JSON.parse(document.getElementById("headwater-data")!.textContent!) as Shell;
  useTexts(shell.texts);
  language.value = shell.language;
  const asked = readAddress();
  effect(() => { document.documentElement.lang = language.value; });
  effect(() => { document.documentElement.dataset.theme = theme.value; });
  effect(() => { document.documentElement.toggleAttribute("data-projector", projector.value); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  render(<App />, document.getElementById("app")!);
  try {
    await admitted();
    await loadFacts();
    document.documentElement.dataset.ready = "true";
    await begin(asked, shell.guide);
  } catch (error) {
    trouble.value = t(error instanceof Refused && error.status === 403 ? "view.not_admitted" : "view.no_server");
  }
  listen();
  writeAddress();
  window.addEventListener("hashchange", () => { if (!isOurs() && location.hash !== addressNow()) location.reload(); });
  window.addEventListener("pagehide", leave);
  effect(() => { document.documentElement.toggleAttribute("data-live", Boolean(networks.value.a && frames.value.a)); });
}

/** What the address asks for. Of what cannot be had it is said why, and the rest is there to work in. */
async function begin(asked: Asked, guide: string | null): Promise<void> {
  const lesson = asked.lesson ?? (asked.state ? null : guide);
  const complaints: Said[] = [];
  let done = lesson !== null && (await tried(() => openLesson(lesson, asked.state), complaints));
  if (!done) {
    closeLesson();
    place.value = lesson ? "lab" : place.value;
    done = await tried(() => open(asked.state), complaints);
  }
  if (!done) await open(null);
  if (done && asked.compared) await tried(() => compare(asked.compared!), complaints, "compared");
  if (complaints.length) trouble.value = complaints[0];
}

/** Whether it could be done; if not, why is added to the complaints, with what that means for the lab. */
async function tried(doing: () => Promise<unknown>, complaints: Said[], part?: string): Promise<boolean> {
  try {
    await doing();
    return true;
  } catch (error) {
    if (!(error instanceof Refused) || !error.said || error.status === 403) throw error;
    complaints.push(around(`lab.page.address_${part ?? (error.status === 404 ? "lesson" : "state")}`, error.said));
    return false;
  }
}

/** Colours on a canvas do not follow CSS by themselves. */
function repaint(): void {
  const shade = theme.value;
  theme.value = shade === "auto" ? "light" : "auto";
  theme.value = shade;
}

void start();
