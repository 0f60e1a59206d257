// One device: all its fields, its groups, and its change, which never undoes a change of somebody else.
import { html, useEffect, useState } from "./vendor/preact-htm.js";
import { send, session, useCall, useChange } from "./api.js";
import { Conflict } from "./conflict.js";
import { at, DeviceForm, FIELDS, label, patch } from "./form.js";
import { Gone, History } from "./history.js";
import { GroupPicker } from "./picker.js";
import { Button, Buttons, Columns, Dialog, Fault, Form, Heading, Status } from "./parts.js";
import { go } from "./route.js";
import { Done, Same } from "./snippets.js";
import { t } from "./words.js";

const path = (id) => `/v1/devices/${encodeURIComponent(id)}`;

export function Device({ id }) {
  const call = { path: path(id) };
  const { answer, error, reload } = useCall(call);
  const { mayWrite } = session.use();
  const [doing, setDoing] = useState(null);
  const [round, setRound] = useState(0); // of undoing: the groups are asked for again too
  const device = answer?.data;
  if (!device) return html`<main class="page">
    ${error
      ? html`<${Gone} kind="device" id=${id} error=${error} show=${(was) => html`<${Fields} device=${was} />`} onUndone=${reload} />`
      : html`<p aria-busy="true">${t("loading")}</p>`}
    <p><a href="/console">${t("all devices")}</a></p>
  </main>`;
  const done = () => {
    setDoing(null);
    reload();
  };
  const undone = () => {
    reload();
    setRound(round + 1);
  };
  return html`<main class="page">
    <p class="up"><a href="/console">${t("devices")}</a></p>
    <div class="title">
      <${Heading} key=${device.name}>${device.name}</${Heading}>
      ${mayWrite && doing !== "edit" && html`<div class="actions">
        <button type="button" onClick=${() => setDoing("edit")}>${t("edit")}</button>
        <button type="button" class="outline danger" onClick=${() => setDoing("delete")}>${t("delete …")}</button>
      </div>`}
    </div>
    ${doing === "edit"
      ? html`<${Edit} device=${device} etag=${answer.etag} onDone=${done} onClose=${() => setDoing(null)} />`
      : html`<${Fields} device=${device} /><${Groups} key=${round} id=${id} mayWrite=${mayWrite} /><${Same} call=${call} />
          <h2>${t("history")}</h2><${History} path=${`${path(id)}/history`} own="device" onUndone=${undone} />`}
    ${doing === "delete" && html`<${Delete} device=${device} etag=${answer.etag} onClose=${() => setDoing(null)} onStale=${reload} />`}
  </main>`;
}

function Fields({ device }) {
  return html`
    <dl class="fields">
      <div><dt>${t("id")}</dt><dd><code>${device.id}</code></dd></div>
      ${FIELDS.slice(1).map((place) => html`<div key=${place}><dt>${label(place)}</dt><dd>
        ${place === "status" ? html`<${Status} value=${device.status} />` : html`<bdi>${at(device, place)}</bdi>`}</dd></div>`)}
    </dl>
    <h2>${t("nic")}</h2>
    ${device.nic.length === 0
      ? html`<p>${t("no nic")}</p>`
      : html`<div class="table"><table>
          <${Columns} names=${["type", "mac", "ipv4"]} />
          <tbody>${device.nic.map((nic, number) => html`<tr key=${number}>
            <td><bdi>${nic.type}</bdi></td><td><code>${nic.mac}</code></td><td><code>${nic.ipv4}</code></td>
          </tr>`)}</tbody>
        </table></div>`}`;
}

/** The groups that the device is in. */
function Groups({ id, mayWrite }) {
  const groups = useCall({ path: `${path(id)}/groups` });
  const change = useChange();
  const [picked, setPicked] = useState(null);
  const call = (method, group) => ({ method, path: `${path(id)}/groups/${encodeURIComponent(group.id)}` });
  const [done, setDone] = useState(null); // the last change
  const put = async (method, group) => {
    const answer = await change.run(call(method, group));
    setDone(answer && { method, group });
    if (answer) groups.reload();
    if (answer) setPicked(null);
  };
  return html`<h2>${t("groups")}</h2>
    <${Fault} error=${groups.error ?? change.error} />
    ${groups.answer?.data.length === 0 && html`<p>${t("in no group")}</p>`}
    <ul class="marks">
      ${groups.answer?.data.map((group) => html`<li key=${group.id}>
        <a href=${`/console/groups/${group.id}`}><bdi>${group.name}</bdi></a>
        ${mayWrite && html`<${Button} kind="plain" aria-label=${t("out of group", { name: group.name })}
          onClick=${() => put("DELETE", group)}>✕</${Button}>`}
      </li>`)}
    </ul>
    ${mayWrite && html`<${Form} class="narrow row" onSubmit=${() => put("PUT", picked)}>
      <${GroupPicker} value=${picked} onPick=${setPicked} />
      <button type="submit" class="outline" disabled=${!picked}>${t("add to group")}</button>
    </${Form}>
    ${picked && html`<${Same} call=${call("PUT", picked)} />`}
    ${done && html`<${Done} call=${call(done.method, done.group)}>
      ${t(done.method === "PUT" ? "was put" : "was removed", { name: done.group.name })}
    </${Done}>`}`}`;
}

function Edit({ device, etag, onDone, onClose }) {
  const [base, setBase] = useState({ device, etag }); // the version that the change is made from
  const [draft, setDraft] = useState(device);
  const [theirs, setTheirs] = useState(null); // the version that is stored now, if it is another one
  const [fault, setFault] = useState(null);
  const change = useChange();
  const call = (after, of = base) => {
    const body = patch(of.device, after);
    return { method: "PATCH", path: path(device.id), match: of.etag, body };
  };
  const save = async (after, of = base) => {
    setDraft(after);
    setBase(of);
    if (await change.run(call(after, of))) onDone();
  };
  const isStale = change.error?.status === 412;
  useEffect(() => {
    if (!isStale) return;
    send({ path: path(device.id) }).then((now) => setTheirs({ device: now.data, etag: now.etag }), setFault);
  }, [change.error]);
  if (fault) return html`<${Fault} error=${fault} /><p><a href="/console">${t("all devices")}</a></p>`;
  if (isStale && theirs) return html`<${Conflict} key=${theirs.etag} base=${base.device} mine=${draft} theirs=${theirs.device}
    onTheirs=${onDone} onChoose=${(chosen) => save(chosen, theirs)} />`;
  return html`<${DeviceForm} key=${base.etag} device=${draft} error=${isStale ? null : change.error} busy=${change.busy}
    call=${call} onSave=${(after) => save(after)} onClose=${onClose} save=${t("save")} />`;
}

function Delete({ device, etag, onClose, onStale }) {
  const change = useChange();
  const call = { method: "DELETE", path: path(device.id), match: etag };
  const submit = async () => (await change.run(call)) && go("/console");
  const isStale = change.error?.status === 412;
  return html`<${Dialog} title=${t("delete device?")} onClose=${onClose}>
    <${Form} onSubmit=${isStale ? () => (onStale(), onClose()) : submit}>
      <p><strong><bdi>${device.name}</bdi></strong> <code>${device.id}</code></p>
      <p>${isStale ? t("changed meanwhile") : t("can undo")}</p>
      ${!isStale && html`<${Fault} error=${change.error} /><${Same} call=${call} />`}
      <${Buttons} onClose=${onClose} busy=${change.busy} danger=${!isStale}>${t(isStale ? "show" : "delete")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

/** A new device. */
export function AddDevice() {
  const change = useChange();
  const [hardware, software] = [{ model: "", sn: "" }, { version: "", last_update: now() }];
  const empty = { name: "", type: "", status: "", hardware, software, nic: [] };
  const call = (draft) => ({ method: "POST", path: "/v1/devices", body: draft });
  const save = async (draft) => {
    const answer = await change.run(call(draft));
    if (answer) go(`/console/devices/${answer.data}`);
  };
  return html`<main class="page">
    <p class="up"><a href="/console">${t("devices")}</a></p>
    <${Heading}>${t("new device")}</${Heading}>
    <${DeviceForm} device=${empty} error=${change.error} busy=${change.busy}
      call=${call} onSave=${save} onClose=${() => go("/console")} save=${t("add")} />
  </main>`;
}

/** The time on the clock of this computer, as a device keeps it. */
function now() {
  const clock = new Date();
  const two = (number) => String(number).padStart(2, "0");
  const date = [clock.getFullYear(), two(clock.getMonth() + 1), two(clock.getDate())].join("-");
  const time = [clock.getHours(), clock.getMinutes(), clock.getSeconds()].map(two).join(":");
  return `${date} ${time}`;
}
