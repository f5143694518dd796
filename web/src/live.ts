// A page that watches: the token in the address becomes a cookie, the server's events become columns.

import { extended, unpacked, type Run, type View } from "./data";
import { announcement, contact, followed, listed, pinned, problem, readAddress, runs, selectStep, wholeWindow } from "./state";
import { t } from "./text";

interface Listed { id: string; name: string }

/** Trade the token for a cookie that no script can read, and take it out of the address. */
async function admitted(): Promise<boolean> {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token");
  if (token) {
    given.delete("token");
    history.replaceState(null, "", location.pathname + (given.size ? `#${given}` : ""));
    const answer = await fetch("/api/session", { method: "POST", headers: { "X-Headwater-Token": token } });
    if (answer.ok) return true;
  }
  return (await fetch("/api/runs")).ok;
}

export async function watch(): Promise<void> {
  try {
    if (!(await admitted())) {
      problem.value = t("view.not_admitted");
      return;
    }
    listed.value = (await (await fetch("/api/runs")).json()) as Listed[];
    const asked = new URLSearchParams(location.hash.slice(1)).get("run");
    const found = listed.value.find((run) => run.name === asked) ?? listed.value[0];
    if (found) follow(found.id);
    else problem.value = t("view.no_runs");
  } catch {
    problem.value = t("view.no_server");
  }
}

let source: EventSource | null = null;
let begun = false;

/** Events of a run: `view` is the whole of it, `more` what has come since. */
export function follow(id: string): void {
  source?.close();
  begun = false;
  runs.value = [];
  followed.value = id;
  const events = (source = new EventSource(`/api/runs/${id}/events`));
  let work = Promise.resolve();
  const queued = (handle: (view: View) => Promise<void>) => (event: MessageEvent<string>) => {
    work = work.then(() => (events === source ? handle(JSON.parse(event.data) as View) : undefined)).catch((error: unknown) => {
      problem.value = `${t("view.unreadable")} ${String(error)}`;
    });
  };
  events.addEventListener("view", queued(async (view) => put(await unpacked(view))));
  events.addEventListener("more", queued(async (view) => put(withFindings(extended(runs.value[0], await unpacked(view)), runs.value[0]))));
  events.addEventListener("trouble", (event) => { problem.value = (JSON.parse((event as MessageEvent<string>).data) as { text: string }).text; });
  events.onopen = () => { contact.value = "live"; };
  events.onerror = () => {
    if (contact.value !== "lost") announcement.value = t("view.state_lost");
    contact.value = "lost";
  };
}

/** New columns come without a diagnosis; the one there is stands until the next. */
function withFindings(run: Run, before: Run): Run {
  const { verdict, status, headline, lead, findings, waterfall, sites } = before.view;
  return { ...run, view: { ...run.view, verdict, status, headline, lead, findings, waterfall, sites } };
}

function put(run: Run): void {
  const atEnd = pinned.value.step >= wholeWindow.value[1] - 1 || !runs.value.length;
  runs.value = [run];
  problem.value = "";
  if (!begun) {
    begun = true;
    selectStep(wholeWindow.value[1] - 1);
    readAddress();
  } else if (atEnd) selectStep(wholeWindow.value[1] - 1); // who looks at the end goes on doing so
}
