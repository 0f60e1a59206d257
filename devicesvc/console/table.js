// Devices as a table: sorted by a click on a heading, with a box to select each row.
import { html, useRef } from "./vendor/preact-htm.js";
import { Button, Status } from "./parts.js";
import { t } from "./words.js";

// Each column: the field that it is sorted by, and what it shows. The class hides it on narrow screens.
const COLUMNS = [
  ["name", (device) => html`<a href=${`/console/devices/${device.id}`}><bdi>${device.name}</bdi></a>`],
  ["id", (device) => html`<code>${device.id}</code>`, "wide"],
  ["type", (device) => html`<bdi>${device.type}</bdi>`, "middle"],
  ["status", (device) => html`<${Status} value=${device.status} />`],
  ["model", (device) => html`<bdi>${device.hardware.model}</bdi>`, "middle"],
  ["sn", (device) => html`<bdi>${device.hardware.sn}</bdi>`, "widest"],
  ["version", (device) => html`<bdi>${device.software.version}</bdi>`, "wide"],
  ["last_update", (device) => html`<time>${device.software.last_update}</time>`, "widest"],
  [null, (device) => html`<code>${addresses(device.nic)}</code>`, "wide", "ipv4"],
];
const SHOWN = 2; // addresses of a device

function addresses(nic) {
  const shown = nic.slice(0, SHOWN).map(({ ipv4 }) => ipv4);
  return [...shown, ...(nic.length > SHOWN ? [`+${nic.length - SHOWN}`] : [])].join(" ");
}

/**
 * devices: the rows. sort: the field that they are sorted by, with - before it if in descending order. onSort(sort): shows
 * them in another order. selected: the ids with a tick; null if nothing can be selected. onSelect(ids): replaces them.
 * mayDrag: whether rows can be dragged onto a group.
 */
export function DeviceTable({ devices, sort, onSort, selected, onSelect, mayDrag, busy }) {
  const heading = ([field, , width, name = field]) => {
    const direction = field && (sort === field ? "ascending" : sort === `-${field}` ? "descending" : null);
    const next = direction === "ascending" ? `-${field}` : field;
    const arrow = { ascending: " ▲", descending: " ▼" }[direction];
    return html`<th key=${name} scope="col" class=${width} aria-sort=${direction}>
      ${field
        ? html`<button type="button" class="sort" onClick=${() => onSort(next)}>
            ${t(name)}<span aria-hidden="true">${arrow}</span>
          </button>`
        : t(name)}
    </th>`;
  };
  const ids = devices.map(({ id }) => id);
  const areAll = selected && ids.every((id) => selected.has(id));
  const tick = (some, on) => {
    const next = new Set(selected);
    some.forEach((id) => (on ? next.add(id) : next.delete(id)));
    onSelect(next);
  };
  return html`<div class="table" aria-busy=${busy ? "true" : null}>
    <table>
      <thead>
        <tr>
          ${selected && html`<th class="tick">
            <${Tick} label=${t("select page")} on=${areAll} onChange=${(on) => tick(ids, on)} />
          </th>`}
          ${COLUMNS.map(heading)}
        </tr>
      </thead>
      <tbody>
        ${devices.map((device) => html`<tr key=${device.id} class=${selected?.has(device.id) ? "selected" : null}
          draggable=${selected && mayDrag ? "true" : null} onDragStart=${(event) => drag(event, device.id, selected)}>
          ${selected && html`<td class="tick">
            <${Tick} label=${t("select", { name: device.name })} on=${selected.has(device.id)}
              onChange=${(on) => tick([device.id], on)} />
          </td>`}
          ${COLUMNS.map(([field, show, width]) => html`<td key=${field} class=${width}>${show(device)}</td>`)}
        </tr>`)}
      </tbody>
    </table>
  </div>`;
}

const Tick = ({ label, on, onChange }) =>
  html`<input type="checkbox" aria-label=${label} checked=${on} onChange=${(event) => onChange(event.target.checked)} />`;

/** Drag a device, or all selected ones if it is one of them: onto a group, see facets.js. */
function drag(event, id, selected) {
  event.dataTransfer.setData("application/x-devices", JSON.stringify(selected.has(id) ? [...selected] : [id]));
  event.dataTransfer.effectAllowed = "copy";
}

/** How many rows come before the page that is shown; 0 also if its address was opened by itself. */
export function useRowsBefore(state, loading) {
  const rows = useRef(0);
  if (!loading) rows.current = state.from ?? 0;
  return rows.current;
}

/** The way to the next page, by `next`, and back to the page before. cursors: those of the pages before this one. */
export function Pages({ from, shown, total, busy, onBack, onNext }) {
  return html`<nav class="pages" aria-label=${t("pages")}>
    <p role="status">${shown ? t("rows", { from: from + 1, to: from + shown, total }) : ""}</p>
    <div>
      <${Button} disabled=${busy || !onBack} onClick=${onBack}>${t("previous")}</${Button}>
      <${Button} disabled=${busy || !onNext} onClick=${onNext}>${t("next")}</${Button}>
    </div>
  </nav>`;
}
