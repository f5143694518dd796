// A page that watches: the token in the address becomes a cookie, the server's events become columns.

import { extended, unpacked, type View } from "./data";
import { announcement, contact, pinned, problem, readAddress, runs, selectStep, wholeWindow } from "./state";
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
    const listed = (await (await fetch("/api/runs")).json()) as Listed[];
    if (!listed.length) {
      problem.value = t("view.no_runs");
      return;
    }
    follow(listed.map((run) => run.id));
  } catch {
    problem.value = t("view.no_server");
  }
}

/** Events of each run: `view` is the whole of it, `more` what has come since. */
function follow(ids: string[]): void {
  ids.slice(0, 2).forEach((id, index) => {
    const source = new EventSource(`/api/runs/${id}/events`);
    let work = Promise.resolve();
    const queued = (handle: (view: View) => Promise<void>) => (event: MessageEvent<string>) => {
      work = work.then(() => handle(JSON.parse(event.data) as View)).catch((error: unknown) => {
        problem.value = `${t("view.unreadable")} ${String(error)}`;
      });
    };
    source.addEventListener("view", queued(async (view) => put(index, await unpacked(view))));
    source.addEventListener("more", queued(async (view) => put(index, extended(runs.value[index], await unpacked(view)))));
    source.addEventListener("trouble", (event) => { problem.value = String((JSON.parse((event as MessageEvent<string>).data) as { text: string }).text); });
    source.onopen = () => { contact.value = "live"; };
    source.onerror = () => {
      if (contact.value !== "lost") announcement.value = t("view.state_lost");
      contact.value = "lost";
    };
  });
}

let begun = false;

function put(index: number, run: Awaited<ReturnType<typeof unpacked>>): void {
  const atEnd = pinned.value.step >= wholeWindow.value[1] - 1 || !runs.value.length;
  const next = [...runs.value];
  next[index] = run;
  runs.value = next.filter(Boolean);
  problem.value = "";
  if (!begun) {
    begun = true;
    selectStep(wholeWindow.value[1] - 1);
    readAddress();
  } else if (atEnd) selectStep(wholeWindow.value[1] - 1); // who looks at the end goes on doing so
}
