// Words: templates come with the page, for both languages at once, so that a switch asks nobody.

import { signal } from "@preact/signals";
import type { PageData, Said } from "./data";

export type Language = "en" | "ko";
export const language = signal<Language>("en");
let texts: PageData["texts"] = { en: {}, ko: {} };

export function useTexts(given: PageData["texts"]): void {
  texts = given;
}

/** The text of an id, its places filled; the id itself where there is none, which a test looks for. */
export function t(id: string, values: Record<string, string | number> = {}): string {
  const template = texts[language.value][id];
  if (template === undefined) return id;
  return template.replace(/\{(\w+)\}/g, (place, name: string) => String(values[name] ?? place));
}

/** A name out of a family of ids (`category.`), or the bare word where the family has none of it. */
export function named(family: string, word: string): string {
  return texts[language.value][`${family}${word}`] ?? word;
}

export function say(said: Said): string {
  return said[language.value];
}
