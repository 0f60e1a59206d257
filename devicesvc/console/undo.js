// "Undo": what it would do is shown first; what has changed since then is shown, if that is in the way.
import { html, useEffect, useState } from "./vendor/preact-htm.js";
import { useChange } from "./api.js";
import { Rows } from "./change.js";
import { Buttons, Columns, Dialog, Fault, Form } from "./parts.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

const SHOWN = 100; // rows

/** change: the change to undo. onDone: shows what is so now. */
export function Undo({ change, onClose, onDone }) {
  const [seen, setSeen] = useState(null); // what the dry run says
  const undo = useChange();
  const call = (dry) => ({ method: "POST", path: `/v1/changes/${change.number}/undo`, query: dry ? [["dry_run", "true"]] : [] });
  useEffect(() => void undo.run(call(true)).then((answer) => setSeen(answer?.data)), []);
  const submit = async () => (await undo.run(call(false))) && onDone();
  return html`<${Dialog} title=${t("undo?", { n: String(change.number) })} onClose=${onClose}>
    <${Form} onSubmit=${submit}>
      ${!seen && !undo.error && html`<p aria-busy="true">${t("loading")}</p>`}
      ${seen && !undo.error && html`<p role="status">${t("would undo", { n: seen.count })}</p>
        <div class="scroll" tabindex="0" role="group" aria-label=${t("would undo", { n: seen.count })}>
          <${Rows} rows=${seen.rows.slice(0, SHOWN)} />
          ${seen.count > SHOWN && html`<p>${t("with others", { n: seen.count - SHOWN })}</p>`}
        </div>`}
      <${Differences} error=${undo.error} />
      <${Same} call=${call(false)} />
      <${Buttons} onClose=${onClose} busy=${undo.busy} disabled=${!seen || undo.error?.status === 409}>${t("undo")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

/** Why a change cannot be undone: a row for each thing that is not as the change left it. */
function Differences({ error }) {
  const places = Object.entries(error?.errors ?? {});
  if (error?.status !== 409 || !places.length) return html`<${Fault} error=${error} />`;
  return html`<section class="fault" role="alert">
    <p>${t("cannot undo now")}</p>
    <div class="table"><table>
      <${Columns} names=${["place", "now"]} />
      <tbody lang="en">${places.map(([place, now]) => html`<tr key=${place}><td><bdi>${place}</bdi></td><td><bdi>${now}</bdi></td></tr>`)}</tbody>
    </table></div>
  </section>`;
}
