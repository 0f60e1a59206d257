// The state of the service: a bar while it cannot write or does not answer, and what has changed since the page was loaded.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { answering, send } from "./api.js";
import { NOW, after } from "./feed.js";
import { Button, usePoll } from "./parts.js";
import { shared } from "./shared.js";
import { t } from "./words.js";

const WELL = 30; // seconds between two looks at a service that is well: each one proves that it can write
const ILL = 3; // at one that is not
const NEWS = 10; // at the changes since the last look

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

/** How many changes there were since the list was loaded. call: what is shown. answer: what it was when it was loaded. */
export function News({ call, answer, onShow }) {
  const [count, setCount] = useState(0);
  const [isOther, setOther] = useState(false); // whether the list was another one before the first number was known
  const shown = useRef({}); // of the list that is shown: last, the number of the last change that is known; isBusy
  const look = async (list) => {
    if (list.last === undefined) {
      const { next } = await send(after(NOW), { once: true });
      const now = await send(call, { etag: answer.etag, once: true });
      list.last = next;
      if (list === shown.current) setOther(now.status !== 304);
    } else {
      const { data, next } = await send(after(list.last, [["limit", "1000"]]), { once: true });
      list.last = next;
      if (list === shown.current) setCount((before) => before + data.length);
    }
  };
  const tryToLook = async () => {
    const list = shown.current;
    if (!answer || list.isBusy) return;
    list.isBusy = true;
    await look(list).catch(() => {}); // the bar says so
    list.isBusy = false;
  };
  useEffect(() => {
    setCount(0);
    setOther(false);
    shown.current = {};
    tryToLook();
  }, [answer]);
  usePoll(tryToLook, NEWS);
  const news = Math.max(count, isOther ? 1 : 0);
  if (!news) return null;
  return html`<p class="news" role="status">
    ${t("changes since", { n: news })} <${Button} kind="" onClick=${onShow}>${t("show")}</${Button}>
  </p>`;
}
