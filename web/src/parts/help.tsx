// The keys of a page and what they do, in a dialog.

import { useEffect, useRef } from "preact/hooks";
import { helping } from "../state";
import { t } from "../text";

/** `keys` are pairs of a key and the id of what it does, `notes` ids of sentences below them. */
export function Help({ keys, notes }: { keys: [key: string, id: string][]; notes: string[] }) {
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
        <dl class="keys">{keys.map(([key, id]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{t(id)}</dd></div>)}</dl>
        {notes.map((id) => <p class="caption" key={id}>{t(id)}</p>)}
      </div>
    </dialog>
  );
}
