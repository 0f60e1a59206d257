// What can be done with all selected devices: one call for all of them, and a look at what it would do before a large one.
import { html, useState } from "./vendor/preact-htm.js";
import { send, useChange } from "./api.js";
import { GroupPicker } from "./groups.js";
import { Button, Buttons, Dialog, Fault, Form } from "./parts.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

const PAGE = 50; // more devices than these: a dry run comes first
const MOST = 10_000; // ids in one call

/**
 * ids: the selected devices. all: whether all that fit the filter are meant instead; total: how many these are.
 * onAll: selects these. onClear: selects none. onDone: shows what is so now.
 */
export function Bulk({ ids, all, filter, total, onAll, onClear, onDone }) {
  const [action, setAction] = useState(null);
  const count = all ? total : ids.length;
  const close = () => setAction(null);
  const Question = { status: SetField, type: SetField, group: ToGroup, delete: Delete }[action];
  const isMore = !all && filter.length > 0 && total > ids.length;
  const button = (name, kind) => html`<${Button} kind=${kind} onClick=${() => setAction(name)}>${t(`${name} …`)}</${Button}>`;
  const meant = { ids, all, filter, count };
  return html`<div class="bulk" role="region" aria-label=${t("selected", { n: count })}>
    <strong role="status">${t("selected", { n: count })}</strong>
    ${isMore && html`<${Button} kind="plain" onClick=${onAll}>${t("select all", { n: total })}</${Button}>`}
    <span class="actions">
      ${button("status")} ${button("type")} ${button("group")} ${button("delete", "outline danger")}
      <${Button} kind="plain" onClick=${onClear}>${t("clear selection")}</${Button}>
    </span>
    ${Question && html`<${Question} field=${action} ...${meant} onClose=${close} onDone=${() => (close(), onDone())} />`}
  </div>`;
}

/** The ids that are meant: the selected ones, or those of all devices that fit the filter. Raises Error. */
async function idsOf({ ids, all, filter, count }) {
  if (!all) return ids;
  if (count > MOST) throw new Error(t("too many", { n: MOST }));
  const found = [];
  for (let cursor = ""; cursor !== null; ) {
    const query = [...filter, ["limit", "1000"], ["total", "false"], ...(cursor ? [["cursor", cursor]] : [])];
    const page = await send({ path: "/v1/devices", query });
    found.push(...page.data.map(({ id }) => id));
    cursor = page.next;
  }
  if (found.length !== count) throw new Error(t("others fit", { n: found.length }));
  return found;
}

/** One value for a field of all of them. */
function SetField({ field, ids, all, filter, count, onClose, onDone }) {
  const [value, setValue] = useState("");
  const [seen, setSeen] = useState(null); // the answer to the dry run
  const change = useChange();
  const call = (dry) => {
    const query = dry ? [["dry_run", "true"]] : [];
    const change = { [field]: value };
    return all
      ? { method: "PATCH", path: "/v1/devices", query: [...filter, ["expect", String(count)], ...query], body: change }
      : { method: "POST", path: "/v1/devices/batch", query, body: { update: ids.map((id) => ({ id, ...change })) } };
  };
  const isFirst = count > PAGE && !seen;
  const submit = async () => {
    const answer = await change.run(call(isFirst));
    if (answer && isFirst) setSeen(answer);
    else if (answer) onDone();
  };
  const input = (event) => {
    setValue(event.target.value);
    setSeen(null);
  };
  return html`<${Dialog} title=${t(`set ${field}`, { n: count })} onClose=${onClose}>
    <${Form} onSubmit=${submit}>
      <label>${t(field)}<input autofocus value=${value} onInput=${input} maxlength="32" required /></label>
      ${seen && html`<p role="status">${t("would change", { n: seen.data.changed ?? seen.data.update.length })}</p>`}
      <${Fault} error=${change.error} />
      <${Same} call=${call(false)} />
      <${Buttons} onClose=${onClose} busy=${change.busy} disabled=${!value}>${t(isFirst ? "try" : "change")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

/** Runs a call on the ids that are meant, and shows what went wrong: {busy, error, run(makeCall)}. */
function useMeant(props) {
  const change = useChange();
  const [fault, setFault] = useState(null);
  const run = async (makeCall) => {
    setFault(null);
    try {
      return await change.run(makeCall(await idsOf(props)));
    } catch (error) {
      setFault(error);
      return null;
    }
  };
  return { busy: change.busy, error: fault ?? change.error, run };
}

function ToGroup(props) {
  const [group, setGroup] = useState(null);
  const change = useMeant(props);
  const call = (ids) => ({ method: "POST", path: `/v1/groups/${group?.id}/devices`, body: { ids } });
  const submit = async () => (await change.run(call)) && props.onDone();
  return html`<${Dialog} title=${t("into group", { n: props.count })} onClose=${props.onClose}>
    <${Form} onSubmit=${submit}>
      <${GroupPicker} value=${group} onPick=${setGroup} />
      <${Fault} error=${change.error} />
      ${group && html`<${Same} call=${call(props.ids)} />`}
      <${Buttons} onClose=${props.onClose} busy=${change.busy} disabled=${!group}>${t("add to group")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

function Delete(props) {
  const change = useMeant(props);
  const call = (ids) => ({ method: "DELETE", path: "/v1/devices", body: { ids } });
  const submit = async () => (await change.run(call)) && props.onDone();
  return html`<${Dialog} title=${t("delete devices?", { n: props.count })} onClose=${props.onClose}>
    <${Form} onSubmit=${submit}>
      <p>${t("cannot undo")}</p>
      <${Fault} error=${change.error} />
      <${Same} call=${call(props.ids)} />
      <${Buttons} onClose=${props.onClose} busy=${change.busy} danger>${t("delete")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}
