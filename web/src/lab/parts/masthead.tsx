// What stands over everything: where one is, the language, light and dark, the projector, sharing, keys.

import { useEffect, useState } from "preact/hooks";
import { announcement, helping, theme, type Theme } from "../../state";
import { language, say, t } from "../../text";
import { addressNow } from "../address";
import { ask, type Classroom, type Refused } from "../api";
import { command } from "../engine";
import { contact, drawer, facts, lab, place, projector, shownSlots, trouble } from "../state";
import { lessonId } from "../lessons-state";
import { w } from "../words";
import { closeLesson } from "./lessons";

const THEMES: Theme[] = ["auto", "light", "dark"];

export function Masthead() {
  return (
    <header class="lab-mast">
      <a class="brand" href="#app" onClick={(event) => event.preventDefault()} aria-label="headwater">
        <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2 7c3-4 5-4 8 0s5 4 8 0M2 13c3-4 5-4 8 0s5 4 8 0" /></svg>
        headwater
      </a>
      <nav aria-label={w("places")}>
        <button type="button" class="tab" aria-current={place.value === "lab" ? "page" : undefined} onClick={() => (place.value = "lab")}>{w("lab")}</button>
        {(facts.value?.lessons.length ?? 0) > 0 && (
          <button type="button" class="tab" aria-current={place.value === "lessons" ? "page" : undefined} onClick={() => { if (place.value === "lessons" && lessonId.value) closeLesson(); place.value = "lessons"; }}>{w("lessons")}</button>
        )}
      </nav>
      {contact.value === "lost" && <span class="state lost"><i aria-hidden="true" />{t("view.state_lost")}</span>}
      <div class="tools">
        <button type="button" class="quiet rail-button" aria-expanded={drawer.value} onClick={() => (drawer.value = !drawer.value)}>{w("controls")}</button>
        <Share />
        <button type="button" class="quiet projector-button" aria-pressed={projector.value} onClick={() => (projector.value = !projector.value)}>{w("projector")}</button>
        <div class="switch" role="group" aria-label={t("view.language")}>
          <button type="button" lang="en" aria-pressed={language.value === "en"} onClick={() => (language.value = "en")}>EN</button>
          <button type="button" lang="ko" aria-pressed={language.value === "ko"} onClick={() => (language.value = "ko")}>한국어</button>
        </div>
        <button type="button" class="quiet" onClick={() => (theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length])} title={t("view.theme")}>
          <span aria-hidden="true">{theme.value === "dark" ? "●" : theme.value === "light" ? "○" : "◐"}</span> {t(`view.theme_${theme.value}`)}
        </button>
        <button type="button" class="quiet" onClick={() => (helping.value = true)} aria-haspopup="dialog">{t("view.help")}</button>
      </div>
    </header>
  );
}

/** Locked and hidden controls as a state in the address has them. */
function limitsOf(limits: Record<string, string>): string {
  const of = (how: string) => Object.keys(limits).filter((id) => limits[id] === how).join("*");
  const locked = Object.keys(limits).filter((id) => limits[id] === "locked" || limits[id] === "hidden").join("*"); // what is hidden cannot be set either
  return [locked && `locked.${locked}`, of("hidden") && `hidden.${of("hidden")}`].filter(Boolean).join("~");
}

/** A teacher's choice of what a class may set. */
function Limits({ limits, set }: { limits: Record<string, string>; set: (limits: Record<string, string>) => void }) {
  const now = lab.value?.slots.a?.spec;
  if (!now || now.locked.length || now.hidden.length) return null;
  const controls = facts.value!.controls.filter((control) => !["locked", "hidden", "lesson", "remedies", "csv"].includes(control.id));
  return (
    <details class="limits">
      <summary>{w("lock_head")}</summary>
      <p class="caption">{w("lock_about")}</p>
      <ul>
        {controls.map((control) => (
          <li key={control.id}>
            <label for={`limit-${control.id}`}>{say(control.name)}</label>
            <select id={`limit-${control.id}`} value={limits[control.id] ?? "free"} onChange={(event) => set({ ...limits, [control.id]: event.currentTarget.value })}>
              {["free", "locked", "hidden"].map((how) => <option key={how} value={how}>{w(`lock_${how}`)}</option>)}
            </select>
          </li>
        ))}
      </ul>
    </details>
  );
}

/** Markup of an SVG as an image's address; inside a page it needs no namespace, as an image it does. */
function pictureOf(svg: string): string {
  const named = svg.includes("xmlns=") ? svg : svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"');
  return `data:image/svg+xml;utf8,${encodeURIComponent(named)}`;
}

/** Address and code at which a class opens the lab just as it is, with what is locked; the server makes both, as it knows its name. */
function Class({ fragment, copy }: { fragment: string; copy: (text: string) => Promise<void> }) {
  const [made, setMade] = useState<Classroom | null>(null);
  useEffect(() => {
    let wanted = true;
    ask<Classroom>("/api/lab/link", { fragment }).then((found) => { if (wanted) setMade(found); }, (error: unknown) => { trouble.value = (error as Refused).said ?? w("refused"); });
    return () => { wanted = false; };
  }, [fragment]);
  return (
    <>
      <h3>{w("class_head")}</h3>
      <p class="caption">{w("class_about")}</p>
      {made && (
        <>
          <img class="qr" alt={w("qr")} src={pictureOf(made.qr)} />
          <p class="copy-row"><input readOnly value={made.url} aria-label={w("class_link")} onFocus={(event) => event.currentTarget.select()} /><button type="button" class="second" onClick={() => void copy(made.url)}>{w("copy")}</button></p>
        </>
      )}
    </>
  );
}

function Share() {
  const [open, setOpen] = useState(false);
  const [script, setScript] = useState<{ name: string; script: string } | null>(null);
  const [limits, setLimits] = useState<Record<string, string>>({});
  const fragment = addressNow(limitsOf(limits));
  const link = `${location.origin}${location.pathname}${fragment}`;
  const copy = async (text: string) => {
    await navigator.clipboard?.writeText(text).catch(() => undefined);
    announcement.value = w("copied");
  };
  const exported = async () => setScript(await command<{ name: string; script: string }>("export", { slot: shownSlots.value[0] ?? "a" }));
  return (
    <>
      <button type="button" class="quiet" aria-haspopup="dialog" disabled={!facts.value} onClick={() => setOpen(true)}>{w("share")}</button>
      {open && (
        <dialog ref={(element) => { if (element && !element.open) element.showModal(); }} aria-labelledby="share-title" onClose={() => { setOpen(false); setScript(null); }} onClick={(event) => { if (event.target === event.currentTarget) setOpen(false); }}>
          <div class="help share">
            <header class="card-head">
              <h2 id="share-title">{w("share_head")}</h2>
              <button type="button" class="quiet" onClick={() => setOpen(false)}>{t("view.close")}</button>
            </header>
            <p class="caption">{w("share_about")}</p>
            <p class="copy-row"><input readOnly value={link} aria-label={w("share_link")} onFocus={(event) => event.currentTarget.select()} /><button type="button" class="second" onClick={() => void copy(link)}>{w("copy")}</button></p>
            <Limits limits={limits} set={setLimits} />
            {facts.value?.classroom && <Class fragment={fragment.slice(1)} copy={copy} />}
            <h3>{w("export_head")}</h3>
            <p class="caption">{w("export_about")}</p>
            {script ? (
              <>
                <pre tabIndex={0}><code>{script.script}</code></pre>
                <p><button type="button" class="second" onClick={() => void copy(script.script)}>{w("copy")}</button> <a class="second" download={script.name} href={`data:text/x-python;charset=utf-8,${encodeURIComponent(script.script)}`}>{w("save_as", { name: script.name })}</a></p>
              </>
            ) : (
              <button type="button" class="second" disabled={!lab.value} onClick={() => void exported()}>{w("export")}</button>
            )}
          </div>
        </dialog>
      )}
    </>
  );
}
