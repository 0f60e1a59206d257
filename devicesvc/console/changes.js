// All changes of the registry as they come, and filters for them, which are in the address.
import { html } from "./vendor/preact-htm.js";
import { History } from "./history.js";
import { Heading } from "./parts.js";
import { address, given, go, route } from "./route.js";
import { t } from "./words.js";

const PATH = "/console/changes";
const TIMES = ["since", "until"];
const FILTERS = ["who", "device_id", "group_id", ...TIMES, "request_id"];

export function Changes() {
  const { query } = route.use();
  const filter = given(FILTERS.map((name) => [name, query.get(name)]));
  return html`<main class="page">
    <${Heading}>${t("changes")}</${Heading}>
    <details class="filter" open=${filter.length > 0 || matchMedia("(min-width: 1024px)").matches}>
      <summary>${t("filters")}</summary>
      <${Filters} filter=${filter} />
    </details>
    <${History} key=${address(PATH, filter)} path="/v1/changes" query=${filter} follow />
  </main>`;
}

/** A field for each filter. What is typed counts once the field is left, or Enter is pressed. */
function Filters({ filter }) {
  const now = Object.fromEntries(filter);
  const set = (name, value) => go(address(PATH, [...filter.filter(([each]) => each !== name), [name, value]]));
  return html`<div class="grid fields">
    ${FILTERS.map((name) => html`<label key=${name}>${t(`by ${name}`)}
      ${TIMES.includes(name)
        ? html`<input type="datetime-local" value=${local(now[name])} onChange=${(event) => set(name, utc(event.target.value))} />`
        : html`<input value=${now[name] ?? ""} autocomplete="off" spellcheck=${false}
            onChange=${(event) => set(name, event.target.value.trim())} />`}
    </label>`)}
  </div>
  ${filter.length > 0 && html`<p><a href=${PATH}>${t("clear filters")}</a></p>`}`;
}

/** A moment as such a field has it, on the clock of this computer; empty if it is none. */
function local(text) {
  const moment = new Date(text ?? "");
  return Number.isNaN(moment.valueOf()) ? "" : new Date(moment - 60_000 * moment.getTimezoneOffset()).toISOString().slice(0, 16);
}

const utc = (text) => (text ? new Date(text).toISOString() : "");
