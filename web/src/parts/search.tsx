// Find a layer by a part of its name, its operation or its kind.

import { useState } from "preact/hooks";
import { rows, selectRow } from "../state";
import { announce } from "../keyboard";
import { t } from "../text";

const MOST = 12;

export function LayerSearch() {
  const [asked, setAsked] = useState("");
  const [chosen, setChosen] = useState(0);
  const words = asked.toLowerCase().split(/\s+/).filter(Boolean);
  const found = words.length
    ? rows.value
        .map((row, index) => ({ row, index }))
        .filter(({ row }) => words.every((word) => `${row.name} ${row.site.op} ${row.site.kind}`.toLowerCase().includes(word)))
    : [];
  const shown = found.slice(0, MOST);
  const go = (index: number) => {
    selectRow(index);
    setAsked("");
    announce();
    document.getElementById("map-grid")?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setChosen(Math.min(Math.max(chosen + (event.key === "ArrowDown" ? 1 : -1), 0), Math.max(shown.length - 1, 0)));
    } else if (event.key === "Enter" && shown[chosen]) {
      event.preventDefault();
      go(shown[chosen].index);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      setAsked("");
      (event.currentTarget as HTMLElement).blur();
    }
  };
  return (
    <div class="search">
      <input
        type="text" id="layer-search" placeholder={t("view.find")} aria-label={t("view.find")} value={asked} autocomplete="off" spellcheck={false}
        role="combobox" aria-expanded={asked !== ""} aria-controls="layer-list" aria-autocomplete="list"
        aria-activedescendant={shown.length ? `layer-option-${chosen}` : undefined}
        onInput={(event) => { setAsked(event.currentTarget.value); setChosen(0); }} onKeyDown={onKey} onBlur={() => window.setTimeout(() => setAsked(""), 150)}
      />
      <kbd aria-hidden="true">/</kbd>
      <ul id="layer-list" role="listbox" aria-label={t("view.find")} hidden={asked === ""}>
        {shown.map(({ row, index }, i) => (
          <li
            key={index} id={`layer-option-${i}`} role="option" aria-selected={i === chosen}
            onPointerDown={(event) => { event.preventDefault(); go(index); }}
          >
            <span>{row.name || "(model)"}</span><span class="faint">{row.site.op}</span>
          </li>
        ))}
        {!shown.length && <li class="faint" role="option" aria-selected={false} aria-disabled="true">{t("view.none_found")}</li>}
        {found.length > MOST && <li class="faint" role="option" aria-selected={false} aria-disabled="true">{t("view.more_found", { count: found.length - MOST })}</li>}
      </ul>
    </div>
  );
}
