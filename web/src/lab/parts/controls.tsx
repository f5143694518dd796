// Everything that can be set, as the engine lists it; grouped, and without what a lesson hides.

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { say } from "../../text";
import { number } from "../../numbers";
import { STARTS, type Start } from "../starts";
import { ask, type Control, type Slot } from "../api";
import { change } from "../engine";
import { editing, facts, lab, lastChange, paired, shownSlots, spec, trouble } from "../state";
import { w } from "../words";

const GROUPS: [string, string[]][] = [
  ["network", ["preset", "depth", "width", "activation", "output", "init", "scale", "bias", "residual"]],
  ["tame", ["normalisation", "dropout", "l1", "l2"]],
  ["training", ["optimizer", "learning_rate", "batch_size"]],
  ["data", ["data", "csv", "samples", "seed"]],
];
const ELSEWHERE = ["activations", "remedies", "locked", "hidden", "lesson"];

/** A file of one's own has been chosen as data, and not which. */
const choosingFile = signal(false);

export function Controls() {
  const given = facts.value;
  const now = spec.value;
  if (!given || !now) return null;
  const shown = given.controls.filter((control) => !ELSEWHERE.includes(control.id) && !now.hidden.includes(control.id) && (control.id !== "csv" || now.data === "csv" || choosingFile.value));
  const known = GROUPS.flatMap(([, ids]) => ids);
  const groups: [string, Control[]][] = GROUPS.map(([name, ids]) => [name, ids.flatMap((id) => shown.find((control) => control.id === id) ?? [])]);
  groups[3][1].push(...shown.filter((control) => !known.includes(control.id)));
  return (
    <>
      {paired.value && <SlotChoice />}
      {!now.lesson && <Starts />}
      {groups.filter(([, controls]) => controls.length).map(([name, controls]) => (
        <section key={name} aria-labelledby={`group-${name}`}>
          <h2 id={`group-${name}`}>{w(`group_${name}`)}</h2>
          {controls.map((control) => <Field key={control.id} control={control} value={now[control.id]} locked={now.locked.includes(control.id)} />)}
        </section>
      ))}
      {now.remedies.length > 0 && (
        <section>
          <h2>{w("remedies_in")}</h2>
          <ul class="chips">{now.remedies.map((id) => <li key={id}><button type="button" class="chip" title={w("remedy_out")} onClick={() => change({ remedies: now.remedies.filter((one) => one !== id) })}>{id} ✕</button></li>)}</ul>
        </section>
      )}
      <p class="note" role="status">{lastChange.value ? say(lastChange.value) : ""}</p>
    </>
  );
}

function SlotChoice() {
  return (
    <div class="switch slot-switch" role="group" aria-label={w("which_network")}>
      {shownSlots.value.map((slot) => (
        <button type="button" key={slot} aria-pressed={editing.value === slot} onClick={() => (editing.value = slot)}>
          <i class="run-dot" style={{ background: slotColour(slot) }} aria-hidden="true" />{slotName(slot)}
        </button>
      ))}
    </div>
  );
}

export const slotColour = (slot: Slot): string => (slot === "a" ? "var(--run-0)" : "var(--run-1)");

export function slotName(slot: Slot): string {
  if (lab.value?.relation === "remedy") return w(slot === "a" ? "before" : "after");
  return slot.toUpperCase();
}

/** Everything as by default, and on top of it what makes this start what it is. */
export function beginWith(start: Start): void {
  const defaults = facts.value?.defaults;
  const now = spec.value;
  if (!defaults || !now) return;
  const settable = facts.value!.controls.map((control) => control.id).filter((id) => !KEPT.includes(id) && !now.locked.includes(id));
  change({ ...Object.fromEntries(settable.map((id) => [id, defaults[id]])), ...start.controls });
}

const KEPT = ["seed", "csv", "locked", "hidden", "lesson"];

function Starts() {
  return (
    <div class="field start">
      <label for="start">{w("starts")}</label>
      <select id="start" value="" onChange={(event) => {
        const found = STARTS.find((start) => start.id === event.currentTarget.value);
        if (found) beginWith(found);
        event.currentTarget.value = "";
      }}>
        <option value="" disabled>{w("starts_choose")}</option>
        {STARTS.map((start, i) => <option value={start.id} key={start.id}>{`${i + 1}. ${w(`start_${start.id}`)}`}</option>)}
      </select>
    </div>
  );
}

/** Another kind of network brings along what goes together with it. */
function kindOf(preset: string): Record<string, unknown> {
  const { presets, defaults } = facts.value!;
  const touched = Object.values(presets).flatMap(Object.keys);
  return { ...Object.fromEntries(touched.map((id) => [id, defaults[id]])), ...presets[preset], preset };
}

interface FieldProps { control: Control; value: unknown; locked: boolean }

function Field({ control, value, locked }: FieldProps) {
  const id = `control-${control.id}`;
  const name = say(control.name);
  const set = (next: unknown) => {
    choosingFile.value = control.id === "data" && next === "csv" && !spec.value?.csv;
    if (!choosingFile.value) change(control.id === "preset" ? kindOf(String(next)) : { [control.id]: next });
  };
  const title = locked ? w("locked") : undefined;
  if (control.id === "csv") return <Upload disabled={locked} />;
  if (control.kind === "flag")
    return (
      <div class="field"><label for={id}>{name}</label><input id={id} type="checkbox" role="switch" checked={Boolean(value)} disabled={locked} title={title} onChange={(event) => set(event.currentTarget.checked)} /></div>
    );
  if (control.kind === "choice")
    return (
      <div class="field">
        <label for={id}>{name}</label>
        <select id={id} value={control.id === "data" && choosingFile.value ? "csv" : String(value)} disabled={locked} title={title} onChange={(event) => set(event.currentTarget.value)}>
          {(control.choices ?? []).map((choice) => <option key={choice.id} value={choice.id}>{say(choice.name)}</option>)}
        </select>
      </div>
    );
  if (control.kind === "integer" && SLIDERS.includes(control.id)) return <Slider control={control} value={Number(value)} disabled={locked} name={name} id={id} set={set} />;
  if (control.id === "dropout") return <Slider control={control} value={Number(value)} disabled={locked} name={name} id={id} set={set} step={0.05} />;
  return <NumberField control={control} value={Number(value)} disabled={locked} name={name} id={id} set={set} />;
}

const SLIDERS = ["depth", "width"];

interface Numeric { control: Control; value: number; disabled: boolean; name: string; id: string; set: (value: number) => void }

function Slider({ control, value, disabled, name, id, set, step = 1 }: Numeric & { step?: number }) {
  return (
    <div class="field slider">
      <label for={id}>{name}</label>
      <input id={id} type="range" min={control.low ?? 0} max={control.high ?? 100} step={step} value={value} disabled={disabled} onInput={(event) => set(Number(event.currentTarget.value))} />
      <output for={id}>{number(value)}</output>
    </div>
  );
}

/** A number as one writes it, 1e-4 too; what is none stays in the field and is said to be none. */
function NumberField({ control, value, disabled, name, id, set }: Numeric) {
  const [written, setWritten] = useState<string | null>(null);
  const wrong = written !== null && (written.trim() === "" || !Number.isFinite(Number(written)));
  const done = () => {
    if (written === null || wrong) return;
    if (Number(written) !== value) set(Number(written));
    setWritten(null);
  };
  const factor = control.log ? 10 : 0;
  const nudge = (up: boolean) => set(factor ? (value === 0 ? (up ? 1e-4 : 0) : up ? value * factor : value / factor <= 1e-12 ? 0 : Number((value / factor).toPrecision(6))) : value + (up ? 1 : -1));
  return (
    <div class="field">
      <label for={id}>{name}</label>
      <span class="nudged">
        <button type="button" tabIndex={-1} class="nudge" disabled={disabled} aria-label={w("less", { name })} onClick={() => nudge(false)}>−</button>
        <input
          id={id} type="text" inputMode="decimal" value={written ?? plain(value)} disabled={disabled} aria-invalid={wrong} autocomplete="off"
          onInput={(event) => setWritten(event.currentTarget.value)} onBlur={done}
          onKeyDown={(event) => {
            if (event.key === "Enter") done();
            if (event.key === "ArrowUp" || event.key === "ArrowDown") {
              event.preventDefault();
              setWritten(null);
              nudge(event.key === "ArrowUp");
            }
            if (event.key === "Escape") setWritten(null);
          }}
        />
        <button type="button" tabIndex={-1} class="nudge" disabled={disabled} aria-label={w("more", { name })} onClick={() => nudge(true)}>+</button>
      </span>
      {wrong && <span class="note wrong" role="alert">{w("not_a_number")}</span>}
    </div>
  );
}

/** As one writes it: short, and exact enough to be read back as the same. */
function plain(value: number): string {
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential().replace("e+", "e");
  return String(value);
}

function Upload({ disabled }: { disabled: boolean }) {
  const [told, setTold] = useState("");
  const read = async (file: File | undefined) => {
    if (!file) return;
    try {
      const found = await ask<{ csv: string; said: { en: string; ko: string }; dropped: { said: { en: string; ko: string } } | null }>("/api/lab/csv", { name: file.name, text: await file.text() });
      setTold([say(found.said), found.dropped ? say(found.dropped.said) : ""].filter(Boolean).join(" "));
      choosingFile.value = false;
      change({ data: "csv", csv: found.csv });
    } catch (error) {
      const said = (error as { said?: { en: string; ko: string } }).said;
      trouble.value = said ?? w("refused");
    }
  };
  return (
    <div class="field wide">
      <label for="control-csv">{w("csv")}</label>
      <input id="control-csv" type="file" accept=".csv,text/csv" disabled={disabled} onChange={(event) => void read(event.currentTarget.files?.[0])} />
      <p class="note" role="status">{told || w("csv_note")}</p>
    </div>
  );
}
