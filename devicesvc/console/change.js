// A change of the history, in words: who made it, when, and each row of it with before and after.
import { html, useEffect, useState } from "./vendor/preact-htm.js";
import { send, session, useCall } from "./api.js";
import { Button, Fault } from "./parts.js";
import { address } from "./route.js";
import { shared } from "./shared.js";
import { language, t } from "./words.js";

const FEW = 5; // rows that are shown at once; more fold out
const MOST = 1000; // groups whose names are asked for
// What a column of the files is called here. A column that is not among these has its own name.
const COLUMNS = {
  name: "name", type: "type", status: "status", description: "description", hardware_model: "model", hardware_sn: "sn",
  software_version: "version", software_last_update: "last_update", nic_type: "nic types", nic_mac: "nic macs", nic_ipv4: "nic ipv4s",
};
const OTHERS = { file: "by hand", import: "first devices", migrate: "by migration", restore: "by restore" };

const columnName = (column) => (COLUMNS[column] ? t(COLUMNS[column]) : column);
const groupNames = shared({}); // by their ids

/** Get the names of groups, if these changes are about any. */
export function useGroupNames(changes) {
  const isNeeded = changes.some(({ rows }) => rows.some(({ kind }) => kind !== "device"));
  const { answer } = useCall(isNeeded && { path: "/v1/groups", query: [["sort", "name"], ["limit", String(MOST)]] });
  useEffect(() => answer && groupNames.set(Object.fromEntries(answer.data.map(({ id, name }) => [id, name]))), [answer]);
}

/** own: the kind of the item whose history this is, if it is one's. onUndo(change): asks whether to undo it. */
export function Change({ change, own, onUndo }) {
  const { mayWrite } = session.use();
  const { number, rows, count } = change;
  const isFew = rows.length <= FEW;
  const mayUndo = mayWrite && rows.every(({ kind }) => kind !== "registry");
  return html`<li class="change">
    <div class="head">
      <span><${When} time=${change.time} /> <${Who} ...${change} /></span>
      ${mayUndo && html`<${Button} aria-label=${t("undo number", { n: String(number) })} onClick=${() => onUndo(change)}>${t("undo …")}</${Button}>`}
    </div>
    ${isFew && html`<${Rows} rows=${rows} own=${own} />`}
    ${(!isFew || count > rows.length) && html`<${Whole} change=${change} title=${isFew ? t("whole change", { n: count }) : summary(change)} />`}
  </li>`;
}

/** A moment on the clock of this computer; it is exact if one points at it. */
function When({ time }) {
  const local = new Date(time).toLocaleString(language.get(), { dateStyle: "medium", timeStyle: "medium" });
  return html`<time datetime=${time} title=${time}>${local}</time>`;
}

function Who({ number, who, request_id: request, address: client }) {
  const name = !request && OTHERS[who] ? t(OTHERS[who]) : who;
  return html`${who !== "-" && html`<a href=${address("/console/changes", [["who", who]])}><bdi>${name}</bdi></a>`}
    <small title=${request ? t("request", { id: request }) : null}> <bdi>${client}</bdi> #${number}</small>`;
}

/** What many rows did, without their number: only the first rows are known. */
function summary({ rows, count }) {
  const sentence = ({ done, kind }) => {
    const same = rows.filter((row) => row.done === done && row.kind === kind);
    const columns = new Set(same.map(({ column }) => columnName(column)));
    return t(`${done} ${kind}s`, { what: new Intl.ListFormat(language.get()).format(columns) });
  };
  return t("did", { what: [...new Set(rows.map(sentence))].join(" · "), n: count });
}

/** All rows of a change, which are asked for when they are folded out. */
function Whole({ change, title }) {
  const [isOpen, setOpen] = useState(false);
  return html`<details onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${title}</summary>
    ${isOpen && html`<${AllRows} number=${change.number} />`}
  </details>`;
}

function AllRows({ number }) {
  const [{ rows, next, total }, setState] = useState({ rows: [], next: 0 });
  const [error, setError] = useState(null);
  const more = () => send({ path: `/v1/changes/${number}`, query: next ? [["cursor", String(next)]] : [] })
    .then((page) => setState({ rows: [...rows, ...page.data.rows], next: page.next, total: page.data.count }))
    .catch(setError);
  useEffect(() => void more(), []);
  return html`<${Rows} rows=${rows} /><${Fault} error=${error} />
    ${rows.length > 0 && next && html`<${More} onClick=${more}>${t("shown of", { n: rows.length, total })}</${More}>`}`;
}

/** How much is shown, and the button for more. onClick: an async function. */
export function More({ onClick, children }) {
  const [busy, setBusy] = useState(false);
  const click = async () => {
    setBusy(true);
    await onClick();
    setBusy(false);
  };
  return html`<div class="more"><p role="status">${children}</p><${Button} disabled=${busy} onClick=${click}>${t("more")}</${Button}></div>`;
}

/** own: the kind of the item that is not named, because the page is about it. */
export function Rows({ rows, own }) {
  const isAgain = ({ kind, id }, before) => kind !== own && before?.kind === kind && before.id === id;
  return html`<ul class="rows">${rows.map((row, number) => html`<${Row} key=${number} row=${row} own=${own}
    isAgain=${isAgain(row, rows[number - 1])} />`)}</ul>`;
}

/** isAgain: whether the row before it was about the same item, which is not named again. */
function Row({ row, own, isAgain }) {
  const { kind, id, column } = row;
  if (kind === "registry") return html`<li>${t("replaced registry")}</li>`;
  if (kind === "membership") return html`<li><${Membership} ...${row} own=${own} /></li>`;
  return html`<li class=${isAgain ? "again" : null}>
    ${kind !== own && !isAgain && html`<${Item} kind=${kind} id=${id} /> `}
    <${column ? Cells : Line} ...${row} />
  </li>`;
}

const Cells = ({ column, before, after }) => html`${columnName(column)}: <del><${Cell} value=${before} /></del>
  <span aria-hidden="true"> → </span><ins><${Cell} value=${after} /></ins>`;

/** An item that came or went: its name, and its line of the file. */
function Line({ done, before, after }) {
  const line = after || before;
  return html`${t(done === "added" ? "new item" : "deleted")}<bdi>${secondCell(line)}</bdi>
    <details class="line"><summary>${t("line")}</summary><code><bdi>${line}</bdi></code></details>`;
}

function Membership({ done, id, own }) {
  const [device, group] = id.split("/");
  return html`${own !== "device" && html`<${Item} kind="device" id=${device} /> `}${t(done === "added" ? "put into" : "taken out of")} <${Item} kind="group" id=${group} />`;
}

function Item({ kind, id }) {
  const names = groupNames.use();
  return html`<a href=${`/console/${kind}s/${encodeURIComponent(id)}`}><bdi>${(kind === "group" && names[id]) || id}</bdi></a>`;
}

const Cell = ({ value }) => (value ? html`<bdi>${value}</bdi>` : html`<em>${t("empty")}</em>`);

/** The name in a line of device.csv or group.csv: its second cell. */
function secondCell(line) {
  const [, quoted, plain] = line.match(/^(?:"(?:[^"]|"")*"|[^,]*),(?:"((?:[^"]|"")*)"|([^,]*))/s) ?? [];
  return quoted?.replaceAll('""', '"') ?? plain ?? "";
}
