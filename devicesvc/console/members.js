// The devices of a group: as a table, and a search for more of them.
import { html, useState } from "./vendor/preact-htm.js";
import { useCall, useChange } from "./api.js";
import { Button, Fault } from "./parts.js";
import { address, given, go, route } from "./route.js";
import { Same } from "./snippets.js";
import { DeviceTable, Pages, useRowsBefore } from "./table.js";
import { t } from "./words.js";

const ROWS = 50;
const FOUND = 8; // devices that the search for new members shows
const pathOf = (id) => `/v1/groups/${encodeURIComponent(id)}/devices`;

/** The devices of a group, and a search for more. */
export function Members({ id, mayWrite }) {
  const { query, state } = route.use();
  const [sort, cursor] = [query.get("sort"), query.get("cursor")];
  const call = { path: pathOf(id), query: given([["sort", sort], ["limit", String(ROWS)], ["cursor", cursor]]) };
  const members = useCall(call);
  const [selected, setSelected] = useState(new Set());
  const change = useChange();
  const here = (options) => address(`/console/groups/${id}`, Object.entries(options));
  const from = useRowsBefore(state, members.loading);
  const shown = members.answer?.data ?? [];
  const next = () => go(here({ sort, cursor: members.answer.next }), { state: { from: from + shown.length } });
  const removal = { method: "DELETE", path: pathOf(id), body: { ids: [...selected] } };
  const remove = async () => {
    if (!(await change.run(removal))) return;
    setSelected(new Set());
    members.reload();
  };
  return html`
    ${mayWrite && html`<${AddMembers} id=${id} onDone=${members.reload} />`}
    <h2>${t("devices of group")}</h2>
    <${Fault} error=${members.error ?? change.error} />
    ${selected.size > 0 && html`<div class="bulk"><strong role="status">${t("selected", { n: selected.size })}</strong>
      <${Button} kind="outline danger" onClick=${remove}>${t("remove from group")}</${Button}>
      <${Same} call=${removal} /></div>`}
    ${members.answer && shown.length === 0 && html`<p class="nothing">${t("group is empty")}</p>`}
    ${shown.length > 0 && html`
      <${DeviceTable} devices=${shown} sort=${sort ?? "id"} busy=${members.loading} selected=${mayWrite ? selected : null}
        onSelect=${setSelected} onSort=${(other) => go(here({ sort: other }))} />
      <${Pages} busy=${members.loading} from=${from} shown=${shown.length} total=${members.answer.total}
        onBack=${cursor && (() => (from ? history.back() : go(here({ sort }))))} onNext=${members.answer.next && next} />`}
    <${Same} call=${call} />`;
}

/** A search for devices; each one that it finds can be added to the group. */
function AddMembers({ id, onDone }) {
  const [text, setText] = useState("");
  const [added, setAdded] = useState([]);
  const found = useCall(text && { path: "/v1/devices", query: [["q", text], ["limit", String(FOUND)]] }).answer;
  const change = useChange();
  const call = (ids) => ({ method: "POST", path: pathOf(id), body: { ids } });
  const shown = added.length ? added : (found?.data ?? []).slice(0, 1).map((device) => device.id); // as code
  const add = async (device) => {
    if (!(await change.run(call([device.id])))) return;
    setAdded([...added, device.id]);
    onDone();
  };
  return html`<section class="narrow">
    <label>${t("add devices")}
      <input type="search" value=${text} autocomplete="off" spellcheck=${false} placeholder=${t("search hint")}
        onInput=${(event) => setText(event.target.value)} />
    </label>
    <${Fault} error=${change.error} />
    ${text && found && html`<ul class="found">
      ${found.data.map((device) => html`<li key=${device.id}>
        <span><bdi>${device.name}</bdi> <code>${device.id}</code></span>
        <${Button} disabled=${added.includes(device.id)} aria-label=${t("add device", { name: device.name })}
          onClick=${() => add(device)}>${t(added.includes(device.id) ? "added" : "add")}</${Button}>
      </li>`)}
      ${found.data.length === 0 && html`<li>${t("none fits")}</li>`}
      ${found.next && html`<li>${t("with others", { n: found.total - found.data.length })}</li>`}
    </ul>
    ${shown.length > 0 && html`<${Same} call=${call(shown)} />`}`}
  </section>`;
}
