// Play, step, one backward pass, reset; and the few numbers that say how it goes.

import { integer, number, percent } from "../../numbers";
import { numberOf } from "../api";
import { backwardPass, reset, setPace, stepOnce, toggle } from "../engine";
import { frames, opened, pace, paired, playing, shownSlots, torchReady, tracks } from "../state";
import { w } from "../words";
import { slotColour, slotName } from "./controls";

export function Transport() {
  const ready = opened.value;
  return (
    <div class="transport" role="toolbar" aria-label={w("transport")}>
      <button type="button" class="primary play" disabled={!ready} onClick={toggle} aria-pressed={playing.value} aria-keyshortcuts="Space">
        <span aria-hidden="true">{playing.value ? "❚❚" : "▶"}</span> {w(playing.value ? "pause" : "play")}<kbd aria-hidden="true">{w("space")}</kbd>
      </button>
      <button type="button" class="second" disabled={!ready} onClick={stepOnce} aria-keyshortcuts=".">{w("step_short")}<kbd aria-hidden="true">.</kbd></button>
      <button type="button" class="second" disabled={!ready} onClick={() => void backwardPass(shownSlots.value[0] ?? "a")} aria-keyshortcuts="b">{w("backward_short")}<kbd aria-hidden="true">B</kbd></button>
      <button type="button" class="second" disabled={!ready} onClick={reset} aria-keyshortcuts="r">{w("reset")}<kbd aria-hidden="true">R</kbd></button>
      <Speed />
      <Readout />
    </div>
  );
}

const PACES = [0, 10, 2]; // updates a second; 0 as fast as it goes

function Speed() {
  return (
    <label class="speed">
      <span class="unseen">{w("speed")}</span>
      <select value={String(pace.value)} disabled={!opened.value} onChange={(event) => setPace(Number(event.currentTarget.value))}>
        {PACES.map((each) => <option key={each} value={String(each)}>{each ? w("speed_at", { pace: each }) : w("speed_full")}</option>)}
      </select>
    </label>
  );
}

function Readout() {
  if (!torchReady.value) return <p class="readout faint" role="status">{w("torch_loading")}</p>;
  return (
    <div class="readouts">
      {shownSlots.value.map((slot) => {
        const frame = frames.value[slot];
        const track = tracks.value[slot];
        const train = track?.train.at(-1) ?? NaN;
        const test = track?.test.at(-1) ?? NaN;
        return (
          <dl class="readout" key={slot}>
            {paired.value && <div><dt><i class="run-dot" style={{ background: slotColour(slot) }} aria-hidden="true" />{slotName(slot)}</dt></div>}
            <div><dt>{w("step_word")}</dt><dd>{frame ? integer(frame.step) : "–"}</dd></div>
            <div><dt>{w("loss")}</dt><dd>{frame ? number(numberOf(frame.loss)) : "–"}</dd></div>
            {Number.isFinite(train) && <div><dt>{w("train_short")}</dt><dd>{percent(train)}</dd></div>}
            {Number.isFinite(test) && <div><dt>{w("test_short")}</dt><dd>{percent(test)}</dd></div>}
          </dl>
        );
      })}
    </div>
  );
}
