// A picture with a sentence that says what it shows, and the numbers behind it as a table.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { t } from "../text";

export interface Table { head: string[]; rows: (string | number)[][] }

interface Props {
  id: string; title: string; caption?: string; tools?: ComponentChildren; table: () => Table; class?: string;
  children: ComponentChildren;
}

export function Figure({ id, title, caption, tools, table, class: extra, children }: Props) {
  const [asTable, setAsTable] = useState(false);
  return (
    <section class={`card ${extra ?? ""}`} id={id} aria-labelledby={`${id}-title`}>
      <header class="card-head">
        <h2 id={`${id}-title`}>{title}</h2>
        <div class="tools">
          {tools}
          <button type="button" class="quiet" aria-pressed={asTable} onClick={() => setAsTable(!asTable)}>
            {t("view.as_table")}
          </button>
        </div>
      </header>
      {caption && <p class="caption">{caption}</p>}
      {asTable ? <DataTable {...table()} label={title} /> : children}
    </section>
  );
}

export function DataTable({ head, rows, label }: Table & { label: string }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{head.map((cell, i) => <th scope="col" class={i ? "num" : ""} key={i}>{cell}</th>)}</tr>
        </thead>
        <tbody>
          {rows.map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (j ? <td class="num" key={j}>{cell}</td> : <th scope="row" key={j}>{cell}</th>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
