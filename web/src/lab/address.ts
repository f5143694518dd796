// The address holds everything: #lab=…&b=…&lesson=…&layer=…&lang=ko&projector=1 opens the same lab, seed included.

import { effect } from "@preact/signals";
import { language } from "../text";
import { lab, layer, place, projector } from "./state";
import { lessonId } from "./lessons-state";

export interface Asked { state: string | null; compared: string | null; lesson: string | null }

export function readAddress(): Asked {
  const given = new URLSearchParams(location.hash.slice(1));
  const asked = given.get("lang") ?? new URLSearchParams(location.search).get("lang");
  if (asked === "en" || asked === "ko") language.value = asked;
  projector.value = given.has("projector");
  const wanted = Number(given.get("layer"));
  if (Number.isInteger(wanted) && wanted >= 1 && wanted <= 1000) layer.value = wanted;
  place.value = given.has("lessons") || given.has("lesson") ? "lessons" : "lab";
  return { state: given.get("lab"), compared: given.get("b"), lesson: given.get("lesson") };
}

/** The address of what is shown now, with further limits for who opens it; the token is never in it. */
export function addressNow(limits = ""): string {
  const parts: string[] = [];
  const { a, b } = lab.value?.slots ?? {};
  const state = [a?.state, limits].filter(Boolean).join("~");
  if (state) parts.push(`lab=${state}`);
  if (b?.state) parts.push(`b=${b.state}`);
  if (place.value === "lessons") parts.push(lessonId.value ? `lesson=${lessonId.value}` : "lessons");
  if (layer.value > 1) parts.push(`layer=${layer.value}`);
  if (projector.value) parts.push("projector");
  parts.push(`lang=${language.value}`);
  return `#${parts.join("&")}`;
}

let written = "";

export function writeAddress(): () => void {
  let due = 0;
  return effect(() => {
    const address = addressNow();
    if (!lab.value) return;
    window.clearTimeout(due);
    due = window.setTimeout(() => {
      written = address;
      history.replaceState(null, "", address);
    }, 120);
  });
}

export const isOurs = (): boolean => location.hash === written;
