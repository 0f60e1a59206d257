// To put many devices into a group, and to delete many: the calls take ids, so a look comes first at which devices are meant.
import { html, useState } from "./vendor/preact-htm.js";
import { send, useChange } from "./api.js";
import { Buttons, Dialog, Fault, Form } from "./parts.js";
import { GroupPicker } from "./picker.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

export const PAGE = 50; // more devices than these: a look comes first

const listing = (filter) => ({ path: "/v1/devices", query: [...filter, ["limit", "1000"], ["total", "false"]] });

/** The ids of all devices that fit a filter. Raises Problem, and Error if these are not `count`. */
async function idsOf({ filter, count }) {
  const found = [];
  for (let cursor = ""; cursor !== null && found.length <= count; ) {
    const { path, query } = listing(filter);
    const page = await send({ path, query: cursor ? [...query, ["cursor", cursor]] : query });
    found.push(...page.data.map(({ id }) => id));
    cursor = page.next;
  }
  if (found.length !== count) throw new Error(t("others fit"));
  return found;
}

/**
 * In a question about devices: if they are many, or all that fit, the first answer only looks, and the second one changes
 * just the devices that were seen. meant: as the arguments of ToGroup. look(ids): looks, and returns what to show.
 * Returns {seen, ids, isFirst, busy, error, look, run(call), forget}; run returns the answer, or null on a refusal.
 */
function useMeant({ ids, all, filter, count }, look) {
  const [seen, setSeen] = useState(null); // {ids, ...what to show}
  const [state, setState] = useState({ busy: false, error: null });
  const change = useChange();
  const isFirst = (all || count > PAGE) && !seen;
  const first = async () => {
    setState({ busy: true, error: null });
    try {
      const meant = all ? await idsOf({ filter, count }) : ids;
      setSeen({ ids: meant, ...(await look(meant)) });
      setState({ busy: false, error: null });
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  return {
    ...{ seen, isFirst, look: first, run: change.run },
    ids: seen?.ids ?? ids,
    busy: state.busy || change.busy,
    error: state.error ?? change.error,
    forget: () => setSeen(null),
  };
}

/** ids: the selected devices. all: whether all that fit the filter are meant instead. count: how many are meant. */
export function ToGroup({ ids, all, filter, count, onClose, onDone }) {
  const [group, setGroup] = useState(null);
  const meant = useMeant({ ids, all, filter, count }, async () => {
    if (!all) return {};
    const there = { path: "/v1/devices", query: [...filter, ["group_id", group.id], ["limit", "1"]] };
    return { there: (await send(there)).total };
  });
  const call = { method: "POST", path: `/v1/groups/${group?.id}/devices`, body: { ids: meant.ids } };
  const submit = async () => {
    if (meant.isFirst) await meant.look();
    else if (await meant.run(call)) onDone();
  };
  const pick = (other) => {
    setGroup(other);
    meant.forget();
  };
  return html`<${Dialog} title=${t("into group", { n: count })} onClose=${onClose}>
    <${Form} onSubmit=${submit}>
      <${GroupPicker} value=${group} onPick=${pick} />
      <div role="status">
        ${meant.seen && html`<p>${t("would put", { n: meant.ids.length, name: group.name })}</p>`}
        ${meant.seen?.there > 0 && html`<p>${t("already in", { n: meant.seen.there })}</p>`}
      </div>
      <${Fault} error=${meant.error} />
      ${group && html`<${Same} call=${all && meant.isFirst ? listing(filter) : call} />`}
      <${Buttons} onClose=${onClose} busy=${meant.busy} disabled=${!group}>${t(meant.isFirst ? "try" : "add to group")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

/** As ToGroup. */
export function Delete({ ids, all, filter, count, onClose, onDone }) {
  const trial = { method: "POST", path: "/v1/devices/batch", query: [["dry_run", "true"]], body: { delete: ids } };
  const meant = useMeant({ ids, all, filter, count }, async (found) => {
    return { n: all ? found.length : (await send(trial)).data.delete.length };
  });
  const call = { method: "DELETE", path: "/v1/devices", body: { ids: meant.ids } };
  const shown = meant.isFirst ? (all ? listing(filter) : trial) : call;
  const submit = async () => {
    if (meant.isFirst) await meant.look();
    else if (await meant.run(call)) onDone();
  };
  return html`<${Dialog} title=${t("delete devices?", { n: count })} onClose=${onClose}>
    <${Form} onSubmit=${submit}>
      <div role="status">${meant.seen && html`<p>${t("would delete", meant.seen)}</p>`}</div>
      <p>${t("can undo")}</p>
      <${Fault} error=${meant.error} />
      <${Same} call=${shown} />
      <${Buttons} onClose=${onClose} busy=${meant.busy} danger=${!meant.isFirst}>${t(meant.isFirst ? "try" : "delete")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}
