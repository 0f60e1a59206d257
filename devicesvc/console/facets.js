// What values the devices that fit have, and how many: a click shows only the devices with that value, or again all.
import { html, useEffect, useState } from "./vendor/preact-htm.js";
import { send, useCall } from "./api.js";
import { t } from "./words.js";

const FACETS = ["type", "status", "model", "software_version", "group_id"];
const EXACT = { model: "hardware_model" }; // the filter of a facet, if it is not called as what is counted
const SHOWN = 8; // values of a facet

/**
 * filter: pairs of name and value. total: how many devices fit. onChange(filter): shows those of another filter.
 * onDrop(group, ids): puts devices into a group; null if nothing may be changed. round: another number asks again.
 */
export function Facets({ filter, total, onChange, onDrop, round }) {
  const by = FACETS.map((name) => ["by", name]);
  const counts = useCall({ path: "/v1/counts", query: [...by, ["limit", String(SHOWN)], ...filter] });
  useEffect(() => {
    if (round) counts.reload();
  }, [round]);
  const data = counts.answer?.data;
  if (!data) return html`<div class="facets" aria-busy=${counts.loading ? "true" : null}></div>`;
  return html`<div class="facets">
    ${FACETS.map((name) => html`<${Facet} key=${name} of=${data[name]} ...${{ name, filter, total, onChange, onDrop }} />`)}
  </div>`;
}

function Facet({ name, of, filter, total, onChange, onDrop }) {
  const by = EXACT[name] ?? name;
  const chosen = filter.filter(([each]) => each === by).map(([, value]) => value);
  const isChosen = ({ value }) => chosen.includes(value);
  if (!of.values.length) return null;
  const toggle = (value) => {
    const others = filter.filter(([each, given]) => each !== by || (name === "group_id" && given !== value));
    onChange(chosen.includes(value) ? others : [...others, [by, value]]);
  };
  return html`<section aria-labelledby=${`facet-${name}`}>
    <h2 id=${`facet-${name}`}>${t(name)}</h2>
    <ul>
      ${of.values.map((each) => html`<${Value} key=${each.value} ...${each} total=${total} pressed=${isChosen(each)}
        onClick=${() => toggle(each.value)} onDrop=${name === "group_id" && onDrop && ((ids) => onDrop(each, ids))} />`)}
    </ul>
    ${of.others > 0 && html`<p class="others">${t("with others", { n: of.others })}</p>`}
  </section>`;
}

function Value({ value, name = value, count, total, pressed, onClick, onDrop }) {
  const [over, setOver] = useState(false);
  const isDevices = (event) => onDrop && event.dataTransfer.types.includes("application/x-devices");
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    onDrop(JSON.parse(event.dataTransfer.getData("application/x-devices")));
  };
  return html`<li class=${over ? "over" : null}
    onDragOver=${(event) => isDevices(event) && (event.preventDefault(), setOver(true))}
    onDragLeave=${() => setOver(false)} onDrop=${(event) => isDevices(event) && drop(event)}>
    <button type="button" class="facet" aria-pressed=${String(pressed)} onClick=${onClick}>
      <span><bdi>${name}</bdi></span><span class="count">${t("number", { n: count })}</span>
    </button>
    <progress value=${count} max=${total || count} aria-hidden="true"></progress>
  </li>`;
}

/** The names of the groups that a filter has, by their ids: for its marks above the table. */
export function useGroupNames(ids) {
  const [names, setNames] = useState({});
  useEffect(() => {
    ids.filter((id) => !(id in names)).forEach((id) =>
      send({ path: `/v1/groups/${encodeURIComponent(id)}` })
        .then(({ data }) => setNames((before) => ({ ...before, [id]: data.name })))
        .catch(() => {}));
  }, [ids.join()]);
  return names;
}
