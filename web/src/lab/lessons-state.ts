// Lessons: which page is open, how far somebody has come, and what they answered; kept in this browser alone.

import { signal } from "@preact/signals";
import type { Goal, Guide, Result } from "./api";

export const lessonId = signal<string | null>(null);
export const guide = signal<Guide | null>(null);
export const page = signal(0);
export const result = signal<Result | null>(null);
export const goal = signal<Goal | null>(null);

export interface Progress { page: number; choice: number | null; reached: boolean; state: string; text: string }
const KEY = "headwater-lab-lessons";

function stored(): Record<string, Progress> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}") as Record<string, Progress>;
  } catch {
    return {};
  }
}

export const progress = signal<Record<string, Progress>>(stored());

export const progressOf = (id: string): Progress => progress.value[id] ?? { page: 0, choice: null, reached: false, state: "", text: "" };

export function remember(id: string, what: Partial<Progress>): void {
  progress.value = { ...progress.value, [id]: { ...progressOf(id), ...what } };
  try {
    localStorage.setItem(KEY, JSON.stringify(progress.value));
  } catch {
    // a browser that keeps nothing still shows the lesson
  }
}
