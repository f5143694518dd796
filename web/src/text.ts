// Words: templates come with the page, for both languages at once, so that a switch asks nobody.

import { signal } from "@preact/signals";
import type { PageData, Said } from "./data";

export type Language = "en" | "ko";
export const language = signal<Language>("en");
let texts: PageData["texts"] = { en: {}, ko: {} };

export function useTexts(given: PageData["texts"]): void {
  texts = given;
}

/** The text of an id, its places filled; the id itself where there is none, which a test looks for. `{rows:row|rows}` counts. */
export function t(id: string, values: Record<string, string | number> = {}): string {
  return filled(language.value, id, values);
}

/** A text of the page in both languages, around something that is said in both. */
export function around(id: string, said: Said): Said {
  return { en: filled("en", id, { said: said.en }), ko: filled("ko", id, { said: said.ko }) };
}

function filled(language: Language, id: string, values: Record<string, string | number>): string {
  const template = texts[language][id];
  if (template === undefined) return id;
  return template.replace(/\{(\w+)(?::([^|}]*)\|([^}]*))?\}/g, (place, name: string, one?: string, many?: string) => {
    const value = values[name];
    if (value === undefined) return place;
    return one === undefined ? String(value) : `${value} ${String(value) === "1" ? one : many}`;
  });
}

/** A name out of a family of ids (`category.`), or the bare word where the family has none of it. */
export function named(family: string, word: string): string {
  return texts[language.value][`${family}${word}`] ?? word;
}

export function say(said: Said): string {
  return said[language.value];
}
