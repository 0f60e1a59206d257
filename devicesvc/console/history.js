// A list of changes, the newest first: of the registry, or of one device or group, also of one that is deleted.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { made, send, useCall } from "./api.js";
import { Change, More, useGroupNames } from "./change.js";
import { useFeed } from "./feed.js";
import { Button, Fault, Heading } from "./parts.js";
import { Same } from "./snippets.js";
import { Undo } from "./undo.js";
import { t } from "./words.js";

const PAGE = 50; // changes
const MOST = 1000; // that stay in the list while new ones come
const AT_TOP = 100; // pixels: who has not scrolled further sees new changes at once

/**
 * path, query: of a call that finds changes. own: the kind of the item, if they are of one. follow: whether new ones are
 * shown as they come. onUndone: shows what is so after an undo.
 */
export function History({ path, query = [], own, follow, onUndone }) {
  const call = { path, query: [...query, ["limit", String(PAGE)]] };
  const { list, fresh, error, more, show } = useHistory(call, follow);
  const [undoing, setUndoing] = useState(null); // a change
  useGroupNames(list?.changes ?? []);
  const close = () => setUndoing(null);
  const showNew = () => {
    show(fresh.page);
    scrollTo(0, 0);
  };
  return html`
    ${fresh && html`<p class="news new" role="status">${t(fresh.isAll ? "at least new" : "new changes", { n: fresh.count })}
      ${" "}<${Button} kind="" onClick=${showNew}>${t("show")}</${Button}></p>`}
    <${Fault} error=${error} />
    ${!list && !error && html`<p aria-busy="true">${t("loading")}</p>`}
    ${list?.changes.length === 0 && html`<p class="nothing">${t("no changes")}</p>`}
    <ol class="changes">${list?.changes.map((change) =>
      html`<${Change} key=${change.number} change=${change} own=${own} onUndo=${setUndoing} />`)}</ol>
    ${list?.next && html`<${More} onClick=${more}>${t("changes shown", { n: list.changes.length })}</${More}>`}
    <${Same} call=${call} />
    ${undoing && html`<${Undo} change=${undoing} onClose=${close} onDone=${() => (close(), onUndone?.())} />`}`;
}

/** {list: {changes, next}, fresh: the newest ones, if they are not in the list yet, error, more(), show(page)}. */
function useHistory(call, follow) {
  const [list, setList] = useState(null);
  const [fresh, setFresh] = useState(null);
  const [error, setError] = useState(null);
  const etag = useRef(null); // of the newest page that is shown
  const get = (more = [], options = {}) => send({ ...call, query: [...call.query, ...more] }, options);
  const show = (page) => {
    etag.current = page.etag;
    setFresh(null);
    setError(null);
    setList((before) => joined(page, before?.changes ?? [], before?.next));
  };
  const look = async () => {
    const page = await get([], { etag: etag.current });
    if (page.status === 304) return undefined;
    if (scrollY <= AT_TOP || !list) return show(page);
    const known = new Set(list.changes.map(({ number }) => number));
    const count = page.data.filter(({ number }) => !known.has(number)).length;
    return setFresh(count ? { page, count, isAll: count === PAGE } : null);
  };
  const more = () => get([["cursor", String(list.next)]])
    .then((page) => setList({ changes: [...list.changes, ...page.data], next: page.next }))
    .catch(setError);
  useEffect(() => void get().then(show).catch(setError), [made.use()]);
  useFeed(follow ? look : null);
  return { list, fresh, error, more, show };
}

/** The newest page, before the changes that were shown; these are gone if there are others between. */
function joined(page, changes, next) {
  const numbers = new Set(page.data.map(({ number }) => number));
  if (!changes.some(({ number }) => numbers.has(number))) return { changes: page.data, next: page.next };
  const all = [...page.data, ...changes.filter(({ number }) => !numbers.has(number))].slice(0, MOST);
  return { changes: all, next: all.length === MOST ? all.at(-1).number : next };
}

/**
 * A device or group that is not there: it was deleted, or never was. kind: device or group. error: the answer of the
 * service. show(item): the item as it was. onUndone: shows it if it is there again.
 */
export function Gone({ kind, id, error, show, onUndone }) {
  const path = `/v1/${kind}s/${encodeURIComponent(id)}`;
  const { answer, loading } = useCall(error.status === 404 && { path: `${path}/history`, query: [["limit", "1"]] });
  const last = answer?.data[0];
  const was = useCall(last && { path, query: [["at", new Date(new Date(last.time) - 1).toISOString()]] }).answer?.data;
  if (error.status === 404 && loading && !answer) return null;
  return html`<${Heading} key=${was?.name}>${was?.name ?? id}</${Heading}>
    ${last ? html`<p class="news" role="status">${t(`${kind} gone`)}</p>` : html`<${Fault} error=${error} />`}
    ${was && show(was)}
    ${last && html`<h2>${t("history")}</h2><${History} path=${`${path}/history`} own=${kind} onUndone=${onUndone} />`}`;
}
