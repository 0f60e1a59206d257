// The list of devices: search, facets, pages. All of it is in the address.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { session, useCall, useChange } from "./api.js";
import { Bulk } from "./bulk.js";
import { Export } from "./csv.js";
import { Facets, useGroupNames } from "./facets.js";
import { Button, Fault, Heading } from "./parts.js";
import { address, given, go, route } from "./route.js";
import { Done, Same } from "./snippets.js";
import { News } from "./status.js";
import { DeviceTable, Pages, useRowsBefore } from "./table.js";
import { t } from "./words.js";

export const ROWS = 50; // of a page
const FILTERS = ["q", "type", "status", "model", "hardware_model", "software_version", "group_id", "id", "name", "sn", "mac", "ipv4"];
const WAIT = 200; // milliseconds after the last key in the search box

const show = (filter, { sort, cursor, ...options } = {}) =>
  go(address("/console", [...filter, ["sort", sort], ["cursor", cursor]]), options);

export function Devices() {
  const { query, state } = route.use();
  const { mayWrite } = session.use();
  const filter = [...query].filter(([name, value]) => FILTERS.includes(name) && value);
  const sort = query.get("sort");
  const cursor = query.get("cursor");
  const call = { path: "/v1/devices", query: given([...filter, ["sort", sort], ["limit", String(ROWS)], ["cursor", cursor]]) };
  const { answer, error, loading, reload } = useCall(call);
  const [selected, setSelected] = useState(new Set());
  const [all, setAll] = useState(false); // whether all that fit are selected, not only those in `selected`
  const [round, setRound] = useState(0);
  const toGroup = useChange();
  const [dropped, setDropped] = useState(null); // what was put into a group by dragging
  useEffect(() => {
    select(new Set());
    setDropped(null);
  }, [JSON.stringify(filter)]);

  const select = (ids) => {
    setSelected(ids);
    setAll(false);
  };
  const again = () => {
    reload();
    setRound((count) => count + 1);
  };
  const drop = async (group, ids) => {
    const call = { method: "POST", path: `/v1/groups/${group.value}/devices`, body: { ids } };
    const answer = await toGroup.run(call);
    setDropped(answer && { call, n: answer.ids.length, name: group.name });
    if (answer) again();
  };
  const from = useRowsBefore(state, loading);
  const total = answer?.total;
  const next = () => show(filter, { sort, cursor: answer.next, state: { from: from + answer.data.length } });

  return html`<main class="page devices">
    <div class="title">
      <${Heading} title=${t("devices")}>${t("devices")}</${Heading}>
      <${Actions} filter=${filter} mayWrite=${mayWrite} />
    </div>
    <${Search} filter=${filter} sort=${sort} />
    <${Marks} filter=${filter} sort=${sort} />
    <${Fault} error=${error ?? toGroup.error} />
    <div class="columns">
      <details class="side" open=${matchMedia("(min-width: 1024px)").matches}>
        <summary>${t("filters")}</summary>
        <${Facets} filter=${filter} total=${total} round=${round}
          onChange=${(next) => show(next, { sort })} onDrop=${mayWrite ? drop : null} />
      </details>
      <section class="list" aria-label=${t("devices")}>
        <${News} call=${call} answer=${loading ? null : answer} onShow=${again} />
        ${dropped && html`<${Done} call=${dropped.call}>${t(dropped.n ? "new in group" : "not new in group", dropped)}</${Done}>`}
        ${mayWrite && selected.size > 0 && html`<${Bulk} ids=${[...selected]} all=${all} filter=${filter} total=${total}
          onAll=${() => setAll(true)} onClear=${() => select(new Set())} onDone=${() => (select(new Set()), again())} />`}
        ${answer && answer.data.length === 0 && html`<${Nothing} filter=${filter} mayWrite=${mayWrite} />`}
        ${answer && answer.data.length > 0 && html`
          <${DeviceTable} devices=${answer.data} sort=${sort ?? "id"} busy=${loading} selected=${mayWrite ? selected : null}
            mayDrag=${!all} onSort=${(other) => show(filter, { sort: other })} onSelect=${select} />
          <${Pages} busy=${loading} from=${from} shown=${answer.data.length} total=${total}
            onBack=${cursor && (() => (from ? history.back() : show(filter, { sort })))} onNext=${answer.next && next} />`}
        ${!answer && !error && html`<p aria-busy="true">${t("loading")}</p>`}
        <${Same} call=${call} />
      </section>
    </div>
  </main>`;
}

function Actions({ filter, mayWrite }) {
  return html`<div class="actions">
    ${mayWrite && html`<button type="button" onClick=${() => go("/console/add")}>${t("add")}</button>
      <button type="button" class="outline" onClick=${() => go("/console/import")}>${t("import")}</button>`}
    <${Export} filter=${filter} />
  </div>`;
}

/** The search box. What is typed is looked for after a short wait; "/" anywhere on the page leads here. */
function Search({ filter, sort }) {
  const now = filter.find(([name]) => name === "q")?.[1] ?? "";
  const [text, setText] = useState(now);
  const box = useRef();
  const timer = useRef();
  const search = (value) => {
    setText(value);
    clearTimeout(timer.current);
    const rest = filter.filter(([name]) => name !== "q");
    timer.current = setTimeout(() => show([["q", value], ...rest], { sort, replace: now !== "" && value !== "" }), WAIT);
  };
  useEffect(() => {
    if (document.activeElement !== box.current) setText(now);
  }, [now]);
  useEffect(() => {
    const slash = (event) => {
      if (event.key !== "/" || event.target.closest?.("input, select, textarea, dialog")) return;
      event.preventDefault();
      box.current.focus();
    };
    addEventListener("keydown", slash);
    return () => {
      removeEventListener("keydown", slash);
      clearTimeout(timer.current);
    };
  }, []);
  return html`<input ref=${box} type="search" class="search" value=${text} autocomplete="off" spellcheck=${false}
    aria-label=${t("search")} placeholder=${t("search hint")} onInput=${(event) => search(event.target.value)} />`;
}

/** What is filtered by, each part with a button that takes it away. */
function Marks({ filter, sort }) {
  const marks = filter.filter(([name]) => name !== "q");
  const names = useGroupNames(marks.filter(([name]) => name === "group_id").map(([, value]) => value));
  if (!marks.length) return null;
  const remove = (mark) => show(filter.filter((each) => each !== mark), { sort });
  return html`<ul class="marks" aria-label=${t("filters")}>
    ${marks.map((mark) => html`<li key=${mark.join()}>
      <${Button} onClick=${() => remove(mark)} aria-label=${t("without", { what: `${t(mark[0])}: ${mark[1]}` })}>
        ${t(mark[0])}: <bdi>${names[mark[1]] ?? mark[1]}</bdi> <span aria-hidden="true">✕</span>
      </${Button}>
    </li>`)}
    <li><${Button} kind="plain" onClick=${() => show([])}>${t("clear filters")}</${Button}></li>
  </ul>`;
}

function Nothing({ filter, mayWrite }) {
  if (filter.length) return html`<p class="nothing">${t("none fits")} <a href="/console">${t("clear filters")}</a></p>`;
  const ways = html`<a href="/console/add">${t("add")}</a> · <a href="/console/import">${t("import")}</a>`;
  return html`<p class="nothing">${t("none yet")} ${mayWrite && ways}</p>`;
}
