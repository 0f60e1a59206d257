// A choice of one group, by its name.
import { html } from "./vendor/preact-htm.js";
import { usePages } from "./api.js";
import { Button, Fault } from "./parts.js";
import { t } from "./words.js";

const PAGE = 1000; // groups that it gets at once

/** onPick(group): null while no group is chosen. */
export function GroupPicker({ value, onPick }) {
  const groups = usePages({ path: "/v1/groups", query: [["sort", "name"], ["limit", String(PAGE)]] });
  const pick = (event) => onPick(groups.data.find(({ id }) => id === event.target.value) ?? null);
  return html`<div class="picker">
    <label>${t("group")}
      <select value=${value?.id ?? ""} onChange=${pick} disabled=${groups.loading}>
        <option value="">${t(groups.total === 0 ? "no group yet" : "choose group")}</option>
        ${groups.data.map((group) => html`<option key=${group.id} value=${group.id}>${group.name}</option>`)}
      </select>
    </label>
    <${Fault} error=${groups.error} />
    ${groups.more && html`<div class="more"><p role="status">${t("groups shown", { n: groups.data.length, total: groups.total })}</p>
      <${Button} onClick=${groups.more}>${t("more groups")}</${Button}></div>`}
  </div>`;
}
