import { useEffect, useRef } from "preact/hooks";
import { helping } from "../../state";
import { t } from "../../text";
import { w } from "../words";

const KEYS: [string, string][] = [
  ["Space", "key_space"], [".", "key_step"], ["B", "key_backward"], ["R", "key_reset"], ["← →", "key_layers"], ["[ ]", "key_depth"], ["1 – 9", "key_presets"], ["?", "key_help"], ["Esc", "key_escape"],
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
        <dl class="keys">{KEYS.map(([key, id]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{w(id)}</dd></div>)}</dl>
        <p class="caption">{w("help_about")}</p>
      </div>
    </dialog>
  );
}
