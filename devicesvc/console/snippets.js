// "The same with requests" and "with curl": a call of the page as code that can be pasted.
import { html, useState } from "./vendor/preact-htm.js";
import { session } from "./api.js";
import { Button } from "./parts.js";
import { t } from "./words.js";

const python = (value) => {
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(pythonPair).join(", ")}}`;
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
};
const pythonPair = ([name, value]) => `${JSON.stringify(name)}: ${python(value)}`;
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const LONGEST = 100_000; // characters of one argument: Linux takes 131,071 bytes
const data = (text) => (text.length < LONGEST ? quoted(text) : `@- <<'END'\n${text}\nEND`);

/** A call in Python. */
export function withRequests({ method = "GET", path, query = [], body, match, csv }) {
  const headers = { ...(session.get().token && { Authorization: "Bearer TOKEN" }), ...(match && { "If-Match": match }) };
  if (csv) headers["Content-Type"] = "text/csv";
  const parts = [JSON.stringify(location.origin + path)];
  if (query.length) parts.push(`params=${python(query)}`);
  if (csv) parts.push('data=open("device.csv", "rb")');
  else if (body) parts.push(`json=${python(body)}`);
  if (Object.keys(headers).length) parts.push(`headers=${python(headers)}`);
  const lines = parts.map((part) => `    ${part},`).join("\n");
  return `import requests\n\nanswer = requests.${method.toLowerCase()}(\n${lines}\n)\nprint(answer.text)`;
}

/** A call with curl. */
export function withCurl({ method = "GET", path, query = [], body, match, csv }) {
  const text = new URLSearchParams(query).toString();
  const parts = [`curl ${quoted(location.origin + path + (text && `?${text}`))}`];
  if (method !== "GET") parts.push(`-X ${method}`);
  if (session.get().token) parts.push("-H 'Authorization: Bearer TOKEN'");
  if (match) parts.push(`-H ${quoted(`If-Match: ${match}`)}`);
  if (csv) parts.push("-H 'Content-Type: text/csv'", "--data-binary @device.csv");
  else if (body) parts.push("-H 'Content-Type: application/json'", `-d ${data(JSON.stringify(body))}`);
  return parts.join(" \\\n  ");
}

/** What folds out to show a call as code. title: a key of words.js. */
export function Same({ call, title = "the same as code" }) {
  return html`<details class="same">
    <summary>${t(title)}</summary>
    <${Code} title="requests" text=${withRequests(call)} />
    <${Code} title="curl" text=${withCurl(call)} />
  </details>`;
}

/** What was done without a question before it, and the call that did it. */
export function Done({ call, children }) {
  return html`<div class="news"><span role="status">${children}</span><${Same} call=${call} /></div>`;
}

function Code({ title, text }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(text).then(() => setCopied(true), () => {});
  return html`<figure>
    <figcaption>
      ${t("with", { what: title })}
      ${navigator.clipboard && html`<${Button} kind="outline secondary" onClick=${copy}>${t(copied ? "copied" : "copy")}</${Button}>`}
    </figcaption>
    <pre tabindex="0"><code>${text}</code></pre>
  </figure>`;
}
