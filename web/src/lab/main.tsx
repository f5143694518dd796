import { render } from "preact";
import { effect } from "@preact/signals";
import { theme } from "../state";
import { language, t, useTexts, type Language } from "../text";
import { addressNow, isOurs, readAddress, writeAddress } from "./address";
import { Refused } from "./api";
import { admitted, leave, loadFacts, open } from "./engine";
import { listen } from "./keyboard";
import { openLesson } from "./parts/lessons";
import { App } from "./parts/app";
import { facts, frames, networks, place, projector, trouble } from "./state";
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
    const lesson = asked.lesson ?? (asked.state ? null : shell.guide);
    if (lesson) {
      place.value = "lessons";
      await openLesson(lesson, asked.state);
    } else await open(asked.state, asked.compared);
  } catch (error) {
    if (error instanceof Refused && error.said && error.status !== 403) trouble.value = error.said;
    else trouble.value = t(error instanceof Refused && error.status === 403 ? "view.not_admitted" : "view.no_server");
    if (facts.value && asked.state) await open(null).catch(() => undefined); // a state that is none leaves a lab to work in
  }
  listen();
  writeAddress();
  window.addEventListener("hashchange", () => { if (!isOurs() && location.hash !== addressNow()) location.reload(); });
  window.addEventListener("pagehide", leave);
  effect(() => { document.documentElement.toggleAttribute("data-live", Boolean(networks.value.a && frames.value.a)); });
}

/** Colours on a canvas do not follow CSS by themselves. */
function repaint(): void {
  const shade = theme.value;
  theme.value = shade === "auto" ? "light" : "auto";
  theme.value = shade;
}

void start();
