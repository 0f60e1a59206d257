// The fields of a device, with the rule that each one breaks beside it.
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { useCall } from "./api.js";
import { Button, Buttons, Fault, Form } from "./parts.js";
import { Same } from "./snippets.js";
import { t } from "./words.js";

export const FIELDS = ["name", "type", "status", "hardware.model", "hardware.sn", "software.version", "software.last_update"];
// The fields whose values are suggested, and what these are counted by.
const COUNTED = { type: "type", status: "status", "hardware.model": "model", "software.version": "software_version" };
const HINTS = { "software.last_update": "YYYY-MM-DD HH:MM:SS" };
const MOST_NICS = 16;

/** What is at a place such as hardware.model. */
export const at = (device, place) => place.split(".").reduce((part, name) => part?.[name], device);

/** A copy of a device with another value at a place. */
export function withValue(device, place, value) {
  const [name, ...rest] = place.split(".");
  return { ...device, [name]: rest.length ? withValue(device[name] ?? {}, rest.join("."), value) : value };
}

export const label = (place) => t(place.split(".").at(-1));

/** What a merge patch must say to make one device of another: only what differs. */
export function patch(before, after) {
  const places = FIELDS.filter((place) => at(before, place) !== at(after, place));
  const changes = places.reduce((changes, place) => withValue(changes, place, at(after, place)), {});
  return JSON.stringify(before.nic) === JSON.stringify(after.nic) ? changes : { ...changes, nic: after.nic };
}

/** One field. errors: the rule that each place breaks. */
export function Field({ place, value, onInput, errors = {}, list, ...rest }) {
  const rule = errors[place];
  const id = `field-${place}`;
  return html`<div class="field">
    <label for=${id}>${label(place)}</label>
    <input id=${id} value=${value ?? ""} list=${list} autocomplete="off" spellcheck=${false} aria-invalid=${rule ? "true" : null}
      aria-describedby=${rule ? `${id}-rule` : null} onInput=${(event) => onInput(event.target.value)} ...${rest} />
    ${rule && html`<small id=${`${id}-rule`} class="rule" lang="en">${rule}</small>`}
  </div>`;
}

/**
 * device: what the fields show first. error: the Problem of the last try. call(draft): the call that would save it.
 * onSave(draft), onClose(). save: the words on the button.
 */
export function DeviceForm({ device, error, busy, call, onSave, onClose, save }) {
  const [draft, setDraft] = useState(device);
  const form = useRef();
  const errors = error?.errors ?? {};
  const by = Object.values(COUNTED).map((name) => ["by", name]);
  const known = useCall({ path: "/v1/counts", query: [...by, ["limit", "50"]] }).answer?.data;
  const set = (place) => (value) => setDraft(withValue(draft, place, value));
  useEffect(() => form.current?.querySelector("[aria-invalid]")?.focus(), [error]);
  const field = (place) => html`<${Field} key=${place} place=${place} value=${at(draft, place)} errors=${errors}
    onInput=${set(place)} list=${place in COUNTED ? `known-${place}` : null} placeholder=${HINTS[place]} />`;
  return html`<div ref=${form}><${Form} onSubmit=${() => onSave(draft)}>
    <div class="grid fields">${FIELDS.map(field)}</div>
    ${Object.entries(COUNTED).map(([place, name]) => html`<datalist key=${place} id=${`known-${place}`}>
      ${known?.[name].values.map(({ value }) => html`<option key=${value} value=${value} />`)}
    </datalist>`)}
    <${Nics} nics=${draft.nic} errors=${errors} onChange=${(nic) => setDraft({ ...draft, nic })} />
    ${Object.keys(errors).length ? html`<p class="fault" role="alert">${t("see fields")}</p>` : html`<${Fault} error=${error} />`}
    <${Same} call=${call(draft)} />
    <${Buttons} onClose=${onClose} busy=${busy}>${save}</${Buttons}>
  </${Form}></div>`;
}

/** The network interfaces: at most MOST_NICS. onChange(nics): replaces them. */
function Nics({ nics, errors, onChange }) {
  const set = (number, name) => (value) => onChange(nics.with(number, { ...nics[number], [name]: value }));
  const field = (number) => (name) => html`<${Field} key=${name} place=${`nic.${number}.${name}`} value=${nics[number][name]}
    errors=${errors} onInput=${set(number, name)} />`;
  return html`<h2>${t("nic")}</h2>
    ${nics.map((_, number) => html`<fieldset key=${number} class="nic" aria-label=${t("nic number", { n: number + 1 })}>
      ${["type", "mac", "ipv4"].map(field(number))}
      <${Button} kind="outline secondary" aria-label=${t("remove nic", { n: number + 1 })}
        onClick=${() => onChange(nics.toSpliced(number, 1))}>${t("remove")}</${Button}>
    </fieldset>`)}
    <${Button} disabled=${nics.length >= MOST_NICS}
      onClick=${() => onChange([...nics, { type: "", mac: "", ipv4: "" }])}>${t("add nic")}</${Button}>`;
}
