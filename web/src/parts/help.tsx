import { useEffect, useRef } from "preact/hooks";
import { helping } from "../state";
import { t } from "../text";

const KEYS: [string, string][] = [
  ["← →", "view.key_steps"], ["↑ ↓", "view.key_layers"], ["⇧ + ← → ↑ ↓", "view.key_far"], ["Space", "view.key_space"], [".", "view.key_dot"],
  ["[ ]", "view.key_brackets"], ["/", "view.key_find"], ["1 – 6", "view.key_maps"], ["+ −", "view.key_zoom"], ["R", "view.key_reset"], ["?", "view.key_help"], ["Esc", "view.key_escape"],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = helping.value;
  useEffect(() => {
    const element = dialog.current;
    if (!element) return;
    if (open && !element.open) element.showModal();
    if (!open && element.open) element.close();
  }, [open]);
  return (
    <dialog ref={dialog} aria-labelledby="help-title" onClose={() => (helping.value = false)} onClick={(event) => { if (event.target === dialog.current) helping.value = false; }}>
      <div class="help">
        <header class="card-head">
          <h2 id="help-title">{t("view.help_head")}</h2>
          <button type="button" class="quiet" onClick={() => (helping.value = false)}>{t("view.close")}</button>
        </header>
        <dl class="keys">{KEYS.map(([key, id]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{t(id)}</dd></div>)}</dl>
        <p class="caption">{t("view.help_mouse")}</p>
        <p class="caption">{t("view.help_drop")}</p>
      </div>
    </dialog>
  );
}
