// Groups: all of them with the number of their devices, and one of them with its devices.
import { html, useState } from "./vendor/preact-htm.js";
import { session, useCall, useChange, usePages } from "./api.js";
import { Field } from "./form.js";
import { Gone, History } from "./history.js";
import { Members } from "./members.js";
import { Button, Buttons, Columns, Dialog, Fault, Form, Heading } from "./parts.js";
import { address, go } from "./route.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

const PAGE = 1000; // groups that the list gets at once
const path = (id) => `/v1/groups/${encodeURIComponent(id)}`;

export function Groups() {
  const { mayWrite } = session.use();
  const call = { path: "/v1/groups", query: [["sort", "name"], ["limit", String(PAGE)]] };
  const groups = usePages(call);
  const counted = useCall({ path: "/v1/counts", query: [["by", "group_id"], ["limit", String(PAGE)]] }).answer?.data.group_id;
  const [adding, setAdding] = useState(false);
  return html`<main class="page">
    <div class="title">
      <${Heading}>${t("groups")}</${Heading}>
      ${mayWrite && html`<button type="button" onClick=${() => setAdding(true)}>${t("add group")}</button>`}
    </div>
    ${groups.data.length > 0 && html`<${GroupTable} groups=${groups.data} counted=${counted} />`}
    <${Fault} error=${groups.error} />
    ${groups.loading && html`<p aria-busy="true">${t("loading")}</p>`}
    ${groups.total === 0 && html`<p class="nothing">${t("no group yet")}</p>`}
    ${groups.more && html`<div class="more"><p role="status">${t("groups shown", { n: groups.data.length, total: groups.total })}</p>
      <${Button} onClick=${groups.more}>${t("more groups")}</${Button}></div>`}
    <${Same} call=${call} />
    ${adding && html`<${GroupForm} title=${t("new group")} group=${{ name: "", description: "" }} save=${t("add")}
      call=${(group) => ({ method: "POST", path: "/v1/groups", body: group })}
      onClose=${() => setAdding(false)} onDone=${(added) => go(`/console/groups/${added.data}`)} />`}
  </main>`;
}

/** counted: how many devices are in a group, of the PAGE largest groups. None of the others is larger than the last of these. */
function GroupTable({ groups, counted }) {
  const counts = new Map(counted?.values.map(({ value, count }) => [value, count]));
  const least = counted?.others ? counted.values.at(-1).count : 0;
  const number = (id) => t(counts.has(id) || !least ? "number" : "at most", { n: counts.get(id) ?? least });
  return html`<div class="table"><table>
    <${Columns} names=${["name", ["description", "middle"], ["devices", "count"]]} />
    <tbody>${groups.map((group) => html`<tr key=${group.id}>
      <td><a href=${`/console/groups/${group.id}`}><bdi>${group.name}</bdi></a></td>
      <td class="middle"><bdi>${group.description}</bdi></td>
      <td class="count">${counted && number(group.id)}</td>
    </tr>`)}</tbody>
  </table></div>`;
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
  const [round, setRound] = useState(0); // of undoing: the members are asked for again too
  const close = () => setDoing(null);
  const data = group.answer?.data;
  if (!data) return html`<main class="page">
    ${group.error
      ? html`<${Gone} kind="group" id=${id} error=${group.error} show=${(was) => html`<p><bdi>${was.description}</bdi></p>`}
          onUndone=${group.reload} />`
      : html`<p aria-busy="true">${t("loading")}</p>`}
    <p><a href="/console/groups">${t("all groups")}</a></p>
  </main>`;
  const { etag } = group.answer;
  const undone = () => {
    group.reload();
    setRound(round + 1);
  };
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
    <${Members} key=${round} id=${id} mayWrite=${mayWrite} />
    <h2>${t("history")}</h2><${History} path=${`${path(id)}/history`} own="group" onUndone=${undone} />
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
