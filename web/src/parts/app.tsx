import { announcement, problem, runs } from "../state";
import { t } from "../text";
import { Events, Facts } from "./events";
import { FlowMaps } from "./flow-map";
import { Help } from "./help";
import { LayerDetail } from "./layer";
import { Lines } from "./lines";
import { Masthead } from "./masthead";
import { Verdicts } from "./verdict";
import { Waterfalls } from "./waterfall";

const KEYS: [string, string][] = [
  ["← →", "view.key_steps"], ["↑ ↓", "view.key_layers"], ["⇧ + ← → ↑ ↓", "view.key_far"], ["Space", "view.key_space"], [".", "view.key_dot"],
  ["[ ]", "view.key_brackets"], ["/", "view.key_find"], ["1 – 6", "view.key_maps"], ["+ −", "view.key_zoom"], ["R", "view.key_reset"], ["?", "view.key_help"], ["Esc", "view.key_escape"],
];

export function App() {
  const ready = runs.value.length > 0;
  return (
    <>
      <a class="skip" href="#map-grid">{t("view.skip")}</a>
      <Masthead />
      {problem.value && <p class="problem" role="alert">{problem.value}</p>}
      <main>
        {ready ? (
          <>
            <Verdicts />
            <FlowMaps />
            <Lines />
            <div class="columns">
              <LayerDetail />
              <Waterfalls />
              <Events />
              <Facts />
            </div>
          </>
        ) : (
          !problem.value && <p class="waiting" role="status">{t("view.waiting")}</p>
        )}
      </main>
      <footer>{t("view.footer", { version: runs.value[0]?.view.headwater ?? "" })}</footer>
      <p class="unseen" aria-live="polite" id="live-region">{announcement.value}</p>
      <Help keys={KEYS} notes={["view.help_mouse", "view.help_drop"]} />
    </>
  );
}
