// CSV files: what is filtered as a file, and a file of devices, which is shown as what it would do before it does it.
import { html, useState } from "./vendor/preact-htm.js";
import { download, session, url, useChange } from "./api.js";
import { Buttons, Columns, Fault, Form, Heading } from "./parts.js";
import { go } from "./route.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

const SHOWN = 100; // ids of a list

/** Gets the devices that fit as a file. With a token the page gets it itself, because a link cannot send one. */
export function Export({ filter }) {
  const { token } = session.use();
  const [busy, setBusy] = useState(false);
  const call = { path: "/v1/devices", query: [...filter, ["format", "csv"]] };
  const get = async () => {
    setBusy(true);
    try {
      const link = document.createElement("a");
      link.href = token ? URL.createObjectURL(await download(call)) : url(call);
      link.download = "device.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // once the browser has it
    } finally {
      setBusy(false);
    }
  };
  return html`<button type="button" class="outline" onClick=${get} aria-busy=${busy ? "true" : null}>${t("export")}</button>
    <${Same} call=${call} title="export as code" />`;
}

export function Import() {
  const [file, setFile] = useState(null);
  const [seen, setSeen] = useState(null); // the answer to the dry run
  const [done, setDone] = useState(null);
  const change = useChange();
  const query = (dry) => (dry ? [["dry_run", "true"]] : []);
  const call = (dry) => ({ method: "POST", path: "/v1/devices/import", query: query(dry), body: file, csv: true });
  const choose = (next) => {
    setFile(next ?? null);
    setSeen(null);
    setDone(null);
    change.forget();
  };
  const submit = async () => {
    const answer = await change.run(call(!seen));
    if (answer && seen) setDone(answer);
    else setSeen(answer);
  };
  const drop = (event) => {
    event.preventDefault();
    choose(event.dataTransfer.files[0]);
  };
  return html`<main class="page" onDragOver=${(event) => event.preventDefault()} onDrop=${drop}>
    <p class="up"><a href="/console">${t("devices")}</a></p>
    <${Heading}>${t("import devices")}</${Heading}>
    <p>${t("import hint")}</p>
    <${Form} class="narrow" onSubmit=${submit}>
      <label>${t("csv file")}
        <input type="file" accept=".csv,text/csv" onChange=${(event) => choose(event.target.files[0])} />
      </label>
      ${!done && html`<${Buttons} onClose=${() => go("/console")} busy=${change.busy} disabled=${!file}>
        ${t(seen ? "import now" : "try")}
      </${Buttons}>`}
    </${Form}>
    <${Faults} error=${change.error} />
    <div role="status">${seen && html`<h2>${t(done ? "imported" : "would import")}</h2>`}</div>
    ${seen && ["added", "changed", "unchanged"].map((name) => html`<${Ids} key=${name} name=${name} ids=${(done ?? seen).data[name]}
      isThere=${done || name !== "added"} />`)}
    ${done && html`<p><a href="/console">${t("all devices")}</a></p>`}
    ${file && html`<${Same} call=${call(!seen)} />`}
  </main>`;
}

/** The faults of a file, by line and column. */
function Faults({ error }) {
  const places = Object.entries(error?.errors ?? {});
  if (!places.length) return html`<${Fault} error=${error} />`;
  return html`<section class="fault" role="alert">
    <h2>${t("faults", { n: places.length })}</h2>
    <div class="table"><table>
      <${Columns} names=${["place", "rule"]} />
      <tbody lang="en">
        ${places.map(([place, rule]) => html`<tr key=${place}><td><code>${place}</code></td><td>${rule}</td></tr>`)}
      </tbody>
    </table></div>
  </section>`;
}

function Ids({ name, ids, isThere }) {
  const link = (id) => html`<a href=${`/console/devices/${id}`}>${id}</a>`;
  return html`<details>
    <summary>${t(`import ${name}`, { n: ids.length })}</summary>
    <ul class="ids">
      ${ids.slice(0, SHOWN).map((id) => html`<li key=${id}>${isThere ? link(id) : id}</li>`)}
      ${ids.length > SHOWN && html`<li>${t("with others", { n: ids.length - SHOWN })}</li>`}
    </ul>
  </details>`;
}
