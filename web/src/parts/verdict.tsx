// Words first: the verdict, and at most three findings; the rest on demand.

import { useState } from "preact/hooks";
import type { Finding, Run } from "../data";
import { GLYPHS, RUN_COLOURS } from "../colours";
import { percent } from "../numbers";
import { difference, rows, runs, selectRow, selectStep } from "../state";
import { named, say, t } from "../text";

const MOST = 3;

export function Verdicts() {
  const compared = runs.value.length > 1;
  return (
    <>
      {compared && <Differences />}
      <div class={compared ? "verdicts two" : "verdicts"}>
        {runs.value.map((run, index) => <Verdict run={run} index={index} compared={compared} key={index} />)}
      </div>
    </>
  );
}

function Verdict({ run, index, compared }: { run: Run; index: number; compared: boolean }) {
  const [all, setAll] = useState(false);
  const { view } = run;
  const shown = all ? view.findings : view.findings.slice(0, MOST);
  const Heading = compared ? "h2" : "h1";
  return (
    <section class="verdict" aria-label={view.name}>
      {compared && <p class="eyebrow"><i class="run-dot" style={{ background: RUN_COLOURS[index] }} aria-hidden="true" />{view.name}</p>}
      <Heading class={`headline ${view.status}`}><Glyph status={view.status} />{say(view.headline)}</Heading>
      <p class="lead">{say(view.lead)}</p>
      {shown.length > 0 && (
        <ol class="findings">{shown.map((finding, i) => <Item finding={finding} run={index} key={i} />)}</ol>
      )}
      {view.findings.length > MOST && (
        <button type="button" class="quiet" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? t("view.fewer") : t("view.more_findings", { count: view.findings.length - MOST })}
        </button>
      )}
    </section>
  );
}

export function Glyph({ status }: { status: string }) {
  return <span class={`glyph ${status}`} aria-hidden="true">{GLYPHS[status] ?? "?"}</span>;
}

function Item({ finding, run }: { finding: Finding; run: number }) {
  const cause = finding.causes[0];
  const remedy = finding.remedies[0];
  const target = rows.value.findIndex((row) => row.at[run] === finding.sites[0]);
  return (
    <li class={`finding ${finding.severity}`}>
      <div class="finding-head">
        <span class={`pill ${finding.severity}`}>{t(`severity.${finding.severity}`)}</span>
        <h3>{say(finding.name)}</h3>
        {target >= 0 ? (
          <button type="button" class="link where" onClick={() => show(target, finding.step)} title={t("view.show_there")}>
            {say(finding.where)}
          </button>
        ) : (
          <span class="where">{say(finding.where)}</span>
        )}
      </div>
      <p class="sentence">{say(finding.sentence)}</p>
      {(cause || remedy) && (
        <dl class="because">
          {cause && (
            <div>
              <dt>{t("view.cause")}</dt>
              <dd>{say(cause.name)}{cause.share !== null && <span class="faint"> · {percent(cause.share)}</span>}</dd>
            </div>
          )}
          {remedy && <div><dt>{t("view.fix")}</dt><dd>{say(remedy.name)}</dd></div>}
        </dl>
      )}
      <details>
        <summary>{t("view.details")}</summary>
        <ul class="evidence">{finding.evidence.map((item, i) => <li key={i}>{say(item)}</li>)}</ul>
        {finding.causes.map((one, i) => (
          <p key={i}><b>{say(one.name)}</b>{one.share !== null && ` · ${percent(one.share)}`} — {say(one.why)}</p>
        ))}
        {finding.consequences.length > 0 && (
          <>
            <h4>{t("view.brings")}</h4>
            <ul>{finding.consequences.map((one, i) => <li key={i}>{say(one)}</li>)}</ul>
          </>
        )}
        {finding.remedies.map((one, i) => (
          <div class="remedy" key={i}>
            <p><b>{say(one.name)}</b> — {say(one.why)}</p>
            <p class="faint">{say(one.wrong_when)}</p>
            {one.code && <pre tabIndex={0}><code>{one.code}</code></pre>}
          </div>
        ))}
      </details>
    </li>
  );
}

function show(row: number, step: number): void {
  selectRow(row);
  selectStep(step);
  document.getElementById("map-grid")?.focus({ preventScroll: false });
}

/** What tells two runs apart, in words. */
function Differences() {
  const found = difference.value;
  const first = runs.value[0].view.name;
  const second = runs.value[1].view.name;
  const lists: [string, string[]][] = found
    ? [
        [t("view.renamed"), found.renamed.map(([a, b]) => `${a} → ${b}`)],
        [t("view.only_in", { name: first }), found.only_first],
        [t("view.only_in", { name: second }), found.only_second],
      ]
    : [];
  return (
    <section class="differences">
      <h1 class="headline">{t("view.compared", { first, second })}</h1>
      {found && found.said.length > 0 && <ol class="plain">{found.said.map((one, i) => <li key={i}>{say(one)}</li>)}</ol>}
      {lists.filter(([, names]) => names.length).map(([head, names]) => (
        <details key={head}><summary>{head} ({names.length})</summary><ul class="names-list">{names.map((name) => <li key={name}>{name}</li>)}</ul></details>
      ))}
    </section>
  );
}

export function statisticName(name: string): string {
  return named("statistic.", name);
}
