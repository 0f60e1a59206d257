// Groups: all of them with the number of their devices, and one of them with its devices.
import { html, useState } from "./vendor/preact-htm.js";
import { session, useCall, useChange } from "./api.js";
import { Field } from "./form.js";
import { Button, Buttons, Columns, Dialog, Fault, Form, Heading } from "./parts.js";
import { address, given, go, route } from "./route.js";
import { Same } from "./snippets.js";
import { DeviceTable, Pages, useRowsBefore } from "./table.js";
import { t } from "./words.js";

const ROWS = 50;
const MOST = 1000; // groups in the list and in the picker
const FOUND = 8; // devices that the search for new members shows
const path = (id) => `/v1/groups/${encodeURIComponent(id)}`;

export function Groups() {
  const { mayWrite } = session.use();
  const call = { path: "/v1/groups", query: [["sort", "name"], ["limit", String(MOST)]] };
  const { answer, error } = useCall(call);
  const counting = { path: "/v1/counts", query: [["by", "group_id"], ["limit", String(MOST)]] };
  const counted = useCall(counting).answer?.data.group_id;
  const counts = Object.fromEntries(counted?.values.map(({ value, count }) => [value, count]) ?? []);
  const [adding, setAdding] = useState(false);
  return html`<main class="page">
    <div class="title">
      <${Heading}>${t("groups")}</${Heading}>
      ${mayWrite && html`<button type="button" onClick=${() => setAdding(true)}>${t("add group")}</button>`}
    </div>
    <${Fault} error=${error} />
    ${!answer && !error && html`<p aria-busy="true">${t("loading")}</p>`}
    ${answer?.data.length === 0 && html`<p class="nothing">${t("no group yet")}</p>`}
    ${answer?.data.length > 0 && html`<div class="table"><table>
      <${Columns} names=${["name", ["description", "middle"], ["devices", "count"]]} />
      <tbody>${answer.data.map((group) => html`<tr key=${group.id}>
        <td><a href=${`/console/groups/${group.id}`}><bdi>${group.name}</bdi></a></td>
        <td class="middle"><bdi>${group.description}</bdi></td>
        <td class="count">${counted && t("number", { n: counts[group.id] ?? 0 })}</td>
      </tr>`)}</tbody>
    </table></div>`}
    ${answer?.next && html`<p>${t("first groups", { n: MOST, total: answer.total })}</p>`}
    <${Same} call=${call} />
    ${adding && html`<${GroupForm} title=${t("new group")} group=${{ name: "", description: "" }} save=${t("add")}
      call=${(group) => ({ method: "POST", path: "/v1/groups", body: group })}
      onClose=${() => setAdding(false)} onDone=${(added) => go(`/console/groups/${added.data}`)} />`}
  </main>`;
}

/** The name and the description of a group. */
function GroupForm({ title, group, save, call, onClose, onDone }) {
  const [draft, setDraft] = useState({ name: group.name, description: group.description });
  const change = useChange();
  const submit = async () => {
    const answer = await change.run(call(draft));
    if (answer) onDone(answer);
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <${Form} onSubmit=${submit}>
      ${["name", "description"].map((place) => html`<${Field} key=${place} place=${place} value=${draft[place]}
        errors=${change.error?.errors} onInput=${(value) => setDraft({ ...draft, [place]: value })} />`)}
      <${Fault} error=${change.error} />
      <${Same} call=${call(draft)} />
      <${Buttons} onClose=${onClose} busy=${change.busy}>${save}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

export function Group({ id }) {
  const { mayWrite } = session.use();
  const group = useCall({ path: path(id) });
  const [doing, setDoing] = useState(null);
  const close = () => setDoing(null);
  const data = group.answer?.data;
  if (!data) return html`<main class="page">
    ${group.error ? html`<${Heading}>${id}</${Heading}><${Fault} error=${group.error} />` : html`<p aria-busy="true">${t("loading")}</p>`}
    <p><a href="/console/groups">${t("all groups")}</a></p>
  </main>`;
  const { etag } = group.answer;
  const inList = address("/console", [["group_id", id]]);
  return html`<main class="page">
    <p class="up"><a href="/console/groups">${t("groups")}</a></p>
    <div class="title">
      <${Heading} key=${data.name}>${data.name}</${Heading}>
      <div class="actions">
        <button type="button" class="outline" onClick=${() => go(inList)}>${t("filter by group")}</button>
        ${mayWrite && html`<button type="button" onClick=${() => setDoing("edit")}>${t("edit")}</button>
        <button type="button" class="outline danger" onClick=${() => setDoing("delete")}>${t("delete …")}</button>`}
      </div>
    </div>
    ${data.description && html`<p><bdi>${data.description}</bdi></p>`}
    <${Members} id=${id} mayWrite=${mayWrite} />
    ${doing === "edit" && html`<${GroupForm} title=${t("edit group")} group=${data} save=${t("save")}
      call=${(draft) => ({ method: "PATCH", path: path(id), match: etag, body: draft })}
      onClose=${close} onDone=${() => (close(), group.reload())} />`}
    ${doing === "delete" && html`<${DeleteGroup} group=${data} etag=${etag} onClose=${close} />`}
  </main>`;
}

function DeleteGroup({ group, etag, onClose }) {
  const change = useChange();
  const call = { method: "DELETE", path: path(group.id), match: etag };
  const submit = async () => (await change.run(call)) && go("/console/groups");
  return html`<${Dialog} title=${t("delete group?")} onClose=${onClose}>
    <${Form} onSubmit=${submit}>
      <p><strong><bdi>${group.name}</bdi></strong></p>
      <p>${t("devices stay")}</p>
      <${Fault} error=${change.error} />
      <${Same} call=${call} />
      <${Buttons} onClose=${onClose} busy=${change.busy} danger>${t("delete")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

/** The devices of a group, and a search for more. */
function Members({ id, mayWrite }) {
  const { query, state } = route.use();
  const [sort, cursor] = [query.get("sort"), query.get("cursor")];
  const call = { path: `${path(id)}/devices`, query: given([["sort", sort], ["limit", String(ROWS)], ["cursor", cursor]]) };
  const members = useCall(call);
  const [selected, setSelected] = useState(new Set());
  const change = useChange();
  const here = (options) => address(`/console/groups/${id}`, Object.entries(options));
  const from = useRowsBefore(state, members.loading);
  const shown = members.answer?.data ?? [];
  const next = () => go(here({ sort, cursor: members.answer.next }), { state: { from: from + shown.length } });
  const removal = { method: "DELETE", path: `${path(id)}/devices`, body: { ids: [...selected] } };
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
  const call = (ids) => ({ method: "POST", path: `${path(id)}/devices`, body: { ids } });
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
    <${Same} call=${call(found.data.map((device) => device.id))} />`}
  </section>`;
}

/** A choice of one group, by its name. onPick(group): null while no group is chosen. */
export function GroupPicker({ value, onPick }) {
  const { answer } = useCall({ path: "/v1/groups", query: [["sort", "name"], ["limit", String(MOST)]] });
  const pick = (event) => onPick(answer.data.find(({ id }) => id === event.target.value) ?? null);
  return html`<label>${t("group")}
    <select value=${value?.id ?? ""} onChange=${pick} disabled=${!answer}>
      <option value="">${t(answer?.data.length === 0 ? "no group yet" : "choose group")}</option>
      ${answer?.data.map((group) => html`<option key=${group.id} value=${group.id}>${group.name}</option>`)}
    </select>
  </label>`;
}
