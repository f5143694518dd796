// The lecture's picture: what every layer gives, as a histogram each, from the first layer to the last.

import { fromLog10, number, percent } from "../../numbers";
import { Figure } from "../../parts/figure";
import { useWidth } from "../../parts/size";
import { levelOf, numberOf, textOf, type Slot } from "../api";
import { details, calmFrames, layer, networks, paired, projector, shownSlots } from "../state";
import { flatName, w } from "../words";
import { Histogram } from "./histogram";
import { slotColour, slotName } from "./controls";

const MOST = 10; // as in the lecture; of a deeper network that many, evenly spread, the first and the last among them

export function LayerHistograms() {
  const slots = shownSlots.value.filter((slot) => details.value[slot]?.histograms);
  if (!slots.length) return null;
  return (
    <Figure id="histograms" title={w("histograms_head")} caption={w("histograms_about")} table={() => tableOf(slots)}>
      {slots.map((slot) => <Row slot={slot} key={slot} />)}
    </Figure>
  );
}

/** Evenly spread places among so many. */
function spread(count: number): number[] {
  if (count <= MOST) return Array.from({ length: count }, (_, i) => i);
  return [...new Set(Array.from({ length: MOST }, (_, i) => Math.round((i * (count - 1)) / (MOST - 1))))];
}

function Row({ slot }: { slot: Slot }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const found = details.value[slot]!.histograms!;
  const network = networks.value[slot];
  const columns = width >= 900 && !projector.value ? 10 : width >= 400 ? 5 : 2;
  const each = Math.max(Math.floor(width / columns) - 14, 60);
  if (!network) return null;
  return (
    <>
      {paired.value && <p class="eyebrow"><i class="run-dot" style={{ background: slotColour(slot) }} aria-hidden="true" />{slotName(slot)}</p>}
      <div class="histograms" ref={box} style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
        {width > 0 && spread(found.sites.length).map((at) => {
          const site = network.sites[found.sites[at]];
          if (!site) return null;
          const title = w("layer", { layer: site.layer });
          return (
            <button type="button" key={at} aria-pressed={site.layer === layer.value} onClick={() => (layer.value = site.layer)}>
              <Histogram
                low={found.low[at]} high={found.high[at]} counts={found.counts[at]} width={each} height={92} colour={slotColour(slot)} titled={title}
                label={w("histogram_sentence", { name: title, low: number(numberOf(found.low[at])), high: number(numberOf(found.high[at])) })}
              />
              <span class="spread">{w("spread", { std: textOf(calmFrames.value[slot]?.sites.std[found.sites[at]]) })}</span>
            </button>
          );
        })}
      </div>
    </>
  );
}

function tableOf(slots: Slot[]) {
  const network = (slot: Slot) => networks.value[slot]?.sites.find((site) => site.activation !== null);
  return {
    head: [w("layer_word"), ...slots.flatMap((slot) => ["mean", "std", "signal", flatName(network(slot)?.activation ?? null), "dead"].map((id) => (slots.length > 1 ? `${slotName(slot)} · ${w(id)}` : w(id))))],
    rows: details.value[slots[0]]!.histograms!.sites.map((site) => [
      networks.value[slots[0]]?.sites[site]?.layer ?? "–",
      ...slots.flatMap((slot) => {
        const sites = calmFrames.value[slot]?.sites;
        const share = (value: number) => (Number.isNaN(value) ? "–" : percent(value));
        return [textOf(sites?.mean[site]), textOf(sites?.std[site]), fromLog10(levelOf(sites?.activation[site])), share(numberOf(sites?.saturated[site])), share(numberOf(sites?.dead[site]))];
      }),
    ]),
  };
}
