// The page: its head, the view that the address names, and the question for a token.
import { html, render, useState } from "./vendor/preact-htm.js";
import { login, logout, session } from "./api.js";
import { Changes } from "./changes.js";
import { Import } from "./csv.js";
import { AddDevice, Device } from "./device.js";
import { Devices } from "./devices.js";
import { Group, Groups } from "./groups.js";
import { Button, Buttons, Dialog, Fault, Form } from "./parts.js";
import { route } from "./route.js";
import { Trouble } from "./status.js";
import { language, setLanguage, t } from "./words.js";

const NAMES = { en: "English", zh: "中文" };

function view(path) {
  const [, , kind, id] = path.split("/").map(decodeURIComponent);
  if (kind === "add") return html`<${AddDevice} />`;
  if (kind === "import") return html`<${Import} />`;
  if (kind === "changes") return html`<${Changes} />`;
  if (kind === "devices" && id) return html`<${Device} key=${id} id=${id} />`;
  if (kind === "groups") return id ? html`<${Group} key=${id} id=${id} />` : html`<${Groups} />`;
  return html`<${Devices} />`;
}

function App() {
  const { path } = route.use();
  language.use();
  return html`<a class="skip" href="#content">${t("skip")}</a>
    <${Head} path=${path} />
    <${Trouble} />
    <div id="content" tabindex="-1">${view(path)}</div>
    <${TokenQuestion} />`;
}

function Head({ path }) {
  const { token, mayWrite } = session.use();
  const place = ["groups", "changes"].find((kind) => path.startsWith(`/console/${kind}`)) ?? "devices";
  const link = (kind, to) => html`<li><a href=${to} aria-current=${kind === place ? "page" : null}>${t(kind)}</a></li>`;
  const other = language.get() === "en" ? "zh" : "en";
  return html`<header class="top"><nav aria-label=${t("main")}>
    <ul>
      <li><strong>devicesvc</strong></li>
      ${link("devices", "/console")} ${link("groups", "/console/groups")} ${link("changes", "/console/changes")}
      <li><a href="/docs">API</a></li>
    </ul>
    <ul>
      ${!mayWrite && html`<li><small>${t("read only")}</small></li>`}
      ${token && html`<li><${Button} kind="plain" onClick=${logout}>${t("forget token")}</${Button}></li>`}
      <li><${Button} kind="plain" lang=${other} onClick=${() => setLanguage(other)}>${NAMES[other]}</${Button}></li>
    </ul>
  </nav></header>`;
}

function TokenQuestion() {
  const { asked, token } = session.use();
  const [text, setText] = useState("");
  const [error, setError] = useState(null);
  if (asked === null) return null;
  const submit = async () => {
    setError(null);
    await login(text.trim()).catch(setError);
  };
  return html`<${Dialog} title=${t("token")}>
    <${Form} onSubmit=${submit}>
      <p>${t(token ? "token gone" : "token hint")}</p>
      <label>${t("token")}
        <input type="password" autofocus autocomplete="current-password" value=${text}
          onInput=${(event) => setText(event.target.value)} />
      </label>
      <${Fault} error=${error} />
      <${Buttons} disabled=${!text.trim()}>${t("go on")}</${Buttons}>
    </${Form}>
  </${Dialog}>`;
}

document.getElementById("app").replaceChildren();
render(html`<${App} />`, document.getElementById("app"));
