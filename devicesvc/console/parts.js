// Small parts that several views use.
import { html, useEffect, useRef } from "./vendor/preact-htm.js";
import { t } from "./words.js";

/** A sentence of the service about what went wrong: it is English, whatever the language of the page. */
export function Fault({ error }) {
  if (!error) return null;
  const places = Object.entries(error.errors ?? {});
  return html`<div class="fault" role="alert" lang=${error.status ? "en" : null}>
    <p>${error.message}</p>
    ${places.length > 1 && html`<ul>
      ${places.map(([place, rule]) => html`<li key=${place}><code>${place}</code> ${rule}</li>`)}
    </ul>`}
  </div>`;
}

/** A question over the page. Escape and the button "cancel" call onClose. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => before?.focus?.();
  }, []);
  const cancel = (event) => {
    event.preventDefault();
    onClose?.();
  };
  return html`<dialog ref=${dialog} onCancel=${cancel} aria-labelledby="dialog-title">
    <article>
      <h2 id="dialog-title">${title}</h2>
      ${children}
    </article>
  </dialog>`;
}

/** A small button. kind: further classes. */
export function Button({ kind = "outline", children, ...rest }) {
  return html`<button type="button" class=${`small ${kind}`} ...${rest}>${children}</button>`;
}

/** The head of a table. names: keys of words.js, of pairs of a key and a class. */
export function Columns({ names }) {
  const column = ([name, kind]) => html`<th key=${name} scope="col" class=${kind}>${t(name)}</th>`;
  return html`<thead><tr>${names.map((name) => column([name].flat()))}</tr></thead>`;
}

/** The buttons at the end of a dialog or a form. */
export function Buttons({ onClose, busy, disabled, danger, children }) {
  const back = useRef();
  useEffect(() => void (danger && back.current?.focus()), [danger]); // so that Enter twice destroys nothing
  const cancel = { ref: back, type: "button", class: "secondary outline", autofocus: danger, onClick: onClose };
  const submit = { type: "submit", class: danger ? "danger" : null, disabled: disabled || busy, "aria-busy": busy ? "true" : null };
  const once = (event) => event.detail > 1 && event.preventDefault(); // a double click does not answer the next question too
  return html`<footer class="buttons">
    ${onClose && html`<button ...${cancel}>${t("cancel")}</button>`}
    <button ...${submit} onClick=${once}>${children}</button>
  </footer>`;
}

/** A form whose submission stays in the page. */
export function Form({ onSubmit, children, ...rest }) {
  const submit = (event) => {
    event.preventDefault();
    onSubmit(event);
  };
  return html`<form novalidate onSubmit=${submit} ...${rest}>${children}</form>`;
}

/** The heading of a view: it gets the focus when the view is shown, and its text is the title of the page. */
export function Heading({ children, title }) {
  const heading = useRef();
  useEffect(() => {
    if (Heading.isFirst) Heading.isFirst = false;
    else heading.current.focus();
  }, []);
  useEffect(() => {
    document.title = `${title ?? children} · devicesvc`;
  });
  return html`<h1 ref=${heading} tabindex="-1"><bdi>${children}</bdi></h1>`;
}
Heading.isFirst = true;

/** One name and value of a status, in a colour if it is one of the two that nearly everybody uses. */
export function Status({ value }) {
  return html`<span class=${`status ${["online", "offline"].includes(value) ? value : ""}`}><bdi>${value}</bdi></span>`;
}

/** Calls an async function every few seconds while the page is seen, and when it is seen again; one call at a time. */
export function usePoll(poll, seconds) {
  const latest = useRef();
  latest.current = poll;
  useEffect(() => {
    let timer;
    let isRunning = false;
    const run = async () => {
      if (isRunning) return;
      isRunning = true;
      await latest.current();
      isRunning = false;
    };
    const begin = () => {
      clearInterval(timer);
      if (document.hidden) return;
      timer = setInterval(run, seconds * 1000);
    };
    const seen = () => {
      begin();
      if (!document.hidden) run();
    };
    begin();
    document.addEventListener("visibilitychange", seen);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [seconds]);
}
