// The state of the service: a bar while it cannot write or does not answer, and what has changed since the page was loaded.
import { html, useEffect, useState } from "./vendor/preact-htm.js";
import { answering, send } from "./api.js";
import { Button, usePoll } from "./parts.js";
import { shared } from "./shared.js";
import { t } from "./words.js";

const WELL = 30; // seconds between two looks at a service that is well: each one proves that it can write
const ILL = 3; // at one that is not
const NEWS = 10; // at the rows that are shown: if they are the same, the answer is a 304 without a body

const trouble = shared(null); // the sentence of the service about why it cannot write

/** Look whether the service can write. */
export async function look() {
  try {
    const answer = await fetch("/readyz", { cache: "no-store" });
    answering.set(true);
    trouble.set(answer.ok ? null : (await answer.json()).message);
  } catch {
    answering.set(false);
  }
}

/** The red bar. */
export function Trouble() {
  const isAnswering = answering.use();
  const why = trouble.use();
  usePoll(look, isAnswering && !why ? WELL : ILL);
  useEffect(() => void look(), []);
  if (!isAnswering) return html`<div class="trouble" role="alert">${t("trying again")}</div>`;
  if (!why) return null;
  return html`<div class="trouble" role="alert"><strong>${t("cannot write")}</strong> <span lang="en">${why}</span></div>`;
}

/** How many rows of the list are others now. call: what is shown. answer: what it was when it was loaded. */
export function News({ call, answer, onShow }) {
  const [news, setNews] = useState(0);
  useEffect(() => setNews(0), [answer]);
  usePoll(async () => {
    if (!answer) return;
    try {
      const now = await send(call, { etag: answer.etag, once: true });
      if (now.status !== 304) setNews(difference(answer, now));
    } catch {
      // the bar says so
    }
  }, NEWS);
  if (!news) return null;
  return html`<p class="news" role="status">
    ${t("changed", { n: news })} <${Button} kind="" onClick=${onShow}>${t("show")}</${Button}>
  </p>`;
}

/** How many devices of two answers are not the same: new, changed, or gone; and how many more or fewer there are. */
function difference(before, now) {
  const old = new Map(before.data.map((device) => [device.id, JSON.stringify(device)]));
  const others = now.data.filter((device) => old.get(device.id) !== JSON.stringify(device)).length;
  const ids = new Set(now.data.map(({ id }) => id));
  const gone = before.data.filter(({ id }) => !ids.has(id)).length;
  return Math.max(others, gone, Math.abs(now.total - before.total));
}
