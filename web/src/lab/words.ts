// The lab page's own words, and names of choices that the engine brings.

import { say, t } from "../text";
import { facts } from "./state";

/** A text of `i18n/lab/page.toml`. */
export const w = (id: string, values: Record<string, string | number> = {}): string => t(`lab.page.${id}`, values);

/** The name of a control, in the language in force. */
export function controlName(id: string): string {
  const control = facts.value?.controls.find((one) => one.id === id);
  return control ? say(control.name) : id;
}

/** What it is called that an activation is on a flat part: a sigmoid is saturated there, a ReLU off. */
export function flatName(activation: string | null): "saturated" | "off" {
  return facts.value?.activations.find((one) => one.id === activation)?.family === "s_shaped" ? "saturated" : "off";
}

/** The name of a control's choice. */
export function choiceName(control: string, choice: string): string {
  const found = facts.value?.controls.find((one) => one.id === control)?.choices?.find((one) => one.id === choice);
  return found ? say(found.name) : choice;
}
