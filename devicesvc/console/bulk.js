// What can be done with all selected devices, and one value for all of them; meant.js has the other questions.
import { html, useState } from "./vendor/preact-htm.js";
import { useChange } from "./api.js";
import { Delete, PAGE, ToGroup } from "./meant.js";
import { Button, Buttons, Dialog, Fault, Form } from "./parts.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

const MOST = 1000; // devices with a tick: the API takes as many items in one batch
const MOST_OF_ALL = 10_000; // devices that fit a filter: the API changes as many in one call

/**
 * ids: the selected devices. all: whether all that fit the filter are meant instead; total: how many these are.
 * onAll: selects these. onClear: selects none. onDone: shows what is so now.
 */
export function Bulk({ ids, all, filter, total, onAll, onClear, onDone }) {
  const [action, setAction] = useState(null);
  const count = all ? total : ids.length;
  const most = all ? MOST_OF_ALL : MOST;
  const close = () => setAction(null);
  const Question = { status: SetField, type: SetField, group: ToGroup, delete: Delete }[action];
  const isMore = !all && filter.length > 0 && total > ids.length;
  const button = (name, kind) => html`<${Button} kind=${kind} disabled=${count > most} onClick=${() => setAction(name)}>
    ${t(`${name} …`)}</${Button}>`;
  const meant = { ids, all, filter, count };
  return html`<div class="bulk" role="region" aria-label=${t("selected", { n: count })}>
    <strong role="status">${t("selected", { n: count })}</strong>
    ${count > most && html`<span role="status">${t(all ? "too many fit" : "too many", { n: most })}</span>`}
    ${isMore && html`<${Button} kind="plain" onClick=${onAll}>${t("select all", { n: total })}</${Button}>`}
    <span class="actions">
      ${button("status")} ${button("type")} ${button("group")} ${button("delete", "outline danger")}
      <${Button} kind="plain" onClick=${onClear}>${t("clear selection")}</${Button}>
    </span>
    ${Question && html`<${Question} field=${action} ...${meant} onClose=${close} onDone=${() => (close(), onDone())} />`}
  </div>`;
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
