import { helping, runs, theme, contact, followed, listed, type Theme } from "../state";
import { language, t } from "../text";
import { RUN_COLOURS } from "../colours";
import { follow } from "../live";
import { integer } from "../numbers";

const THEMES: Theme[] = ["auto", "light", "dark"];

export function Masthead() {
  return (
    <header class="masthead">
      <a class="brand" href="#app" aria-label="headwater">
        <svg viewBox="0 0 20 20" aria-hidden="true"><path d="M2 7c3-4 5-4 8 0s5 4 8 0M2 13c3-4 5-4 8 0s5 4 8 0" /></svg>
        headwater
      </a>
      <div class="names">
        {listed.value.length > 1 && (
          <select aria-label={t("view.run")} value={followed.value} onChange={(event) => follow(event.currentTarget.value)}>
            {listed.value.map((run) => <option value={run.id} key={run.id}>{run.name}</option>)}
          </select>
        )}
        {runs.value.map((run, i) => (
          <span class="run-name" key={i}>
            {runs.value.length > 1 && <i class="run-dot" style={{ background: RUN_COLOURS[i] }} aria-hidden="true" />}
            <b>{run.view.name}</b>
            <State state={run.view.state} />
            <span class="faint">
              {t("view.measured", { steps: integer(run.view.measured), sites: integer(run.view.sites.length) })}
            </span>
          </span>
        ))}
      </div>
      <div class="tools">
        <div class="switch" role="group" aria-label={t("view.language")}>
          <button type="button" lang="en" aria-pressed={language.value === "en"} onClick={() => (language.value = "en")}>EN</button>
          <button type="button" lang="ko" aria-pressed={language.value === "ko"} onClick={() => (language.value = "ko")}>한국어</button>
        </div>
        <button type="button" class="quiet" onClick={nextTheme} title={t("view.theme")}>
          <span aria-hidden="true">{theme.value === "dark" ? "●" : theme.value === "light" ? "○" : "◐"}</span>{" "}
          {t(`view.theme_${theme.value}`)}
        </button>
        <button type="button" class="quiet" onClick={() => (helping.value = true)} aria-haspopup="dialog" title="?">
          {t("view.help")}
        </button>
      </div>
    </header>
  );
}

function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];
}

function State({ state }: { state: string }) {
  if (state === "finished" && contact.value === "none") return null;
  const shown = contact.value === "lost" ? "lost" : state;
  return <span class={`state ${shown}`}><i aria-hidden="true" />{t(`view.state_${shown}`)}</span>;
}
