// The calls of the API. A call is an object {method, path, query, body, match}: the page makes it, and shows it as code.
import { useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { address, given } from "./route.js";
import { shared } from "./shared.js";
import { t } from "./words.js";

const LONGEST = 3000; // milliseconds between two tries of a call that only reads, while nobody answers

/** A refusal of the service, or no answer (status 0). errors: the rule that each place breaks, by the name of its field. */
export class Problem extends Error {
  constructor(status, message, errors = {}) {
    super(message);
    Object.assign(this, { status, errors });
  }
}

// The token of this tab. asked: why it is asked for, while it is.
export const session = shared({
  token: sessionStorage.getItem("devicesvc.token"),
  mayWrite: sessionStorage.getItem("devicesvc.scope") !== "read",
  asked: null,
});
export const answering = shared(true); // whether anybody answered the last call
export const made = shared(0); // how many changes this page has made

let waiting = []; // the calls that wait for a token

/** Take a token: find out whether it may write, and let the calls that wait go on. Raises Problem. */
export async function login(token) {
  const headers = { "Content-Type": "application/json", Authorization: `Bearer ${token}` };
  const answer = await fetch("/v1/devices/batch?dry_run=true", { method: "POST", headers, body: "{}" }).catch(() => {
    throw new Problem(0, t("no answer"));
  });
  if (answer.status === 401) throw new Problem(401, (await answer.json()).message);
  const mayWrite = answer.status !== 403;
  sessionStorage.setItem("devicesvc.token", token);
  sessionStorage.setItem("devicesvc.scope", mayWrite ? "write" : "read");
  session.set({ token, mayWrite, asked: null });
  waiting.splice(0).forEach((goOn) => goOn());
}

export function logout() {
  sessionStorage.clear();
  location.assign("/console");
}

function askForToken(why) {
  session.set({ ...session.get(), asked: why });
  return new Promise((goOn) => waiting.push(goOn));
}

export const url = ({ path, query }) => address(path, query);

/**
 * Make a call. etag: a 304 is enough if the answer still has it. once: do not try again if nobody answers.
 * Returns {status, etag, retry: the seconds of Retry-After, ...the members of the answer}. Raises Problem, or AbortError.
 */
export async function send(call, { signal, etag, once } = {}) {
  const answer = await ask(call, { signal, etag, once });
  if (answer.status === 304) return { status: 304 };
  if (answer.status === 401) {
    await askForToken((await read(answer)).message);
    return send(call, { signal, etag, once });
  }
  const body = await read(answer);
  if (!answer.ok) throw new Problem(answer.status, body.message, body.errors);
  return { ...body, etag: answer.headers.get("ETag"), retry: Number(answer.headers.get("Retry-After")) };
}

/** Get a file. Returns a Blob. */
export async function download(call) {
  const answer = await ask(call);
  if (!answer.ok) throw new Problem(answer.status, (await read(answer)).message);
  return answer.blob();
}

async function ask(call, { signal, etag, once } = {}) {
  const method = call.method ?? "GET";
  const headers = {};
  const isText = typeof call.body === "string" || call.body instanceof Blob;
  if (call.body) headers["Content-Type"] = isText ? "text/csv" : "application/json";
  if (call.match) headers["If-Match"] = call.match;
  if (etag) headers["If-None-Match"] = etag;
  if (session.get().token) headers.Authorization = `Bearer ${session.get().token}`;
  const body = call.body && !isText ? JSON.stringify(call.body) : call.body;
  for (let wait = 500; ; wait = Math.min(2 * wait, LONGEST)) {
    try {
      const answer = await fetch(url(call), { method, headers, body, signal, cache: "no-store" });
      answering.set(true);
      return answer;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      answering.set(false);
      if (method !== "GET") throw new Problem(0, t("outcome unknown"));
      if (once) throw new Problem(0, t("no answer"));
      await new Promise((goOn) => setTimeout(goOn, wait));
    }
  }
}

async function read(answer) {
  try {
    return await answer.json();
  } catch {
    return { message: t("not json", { status: answer.status }) };
  }
}

/** The answer to a call, in a component: {answer, error, loading, reload}. While the next one is made, the last stays. */
export function useCall(call) {
  const [state, setState] = useState({}); // of: the call that it is the answer to
  const [round, setRound] = useState(0);
  const last = useRef();
  const key = call && url(call);
  useEffect(() => {
    if (!key) return undefined;
    const controller = new AbortController();
    const isSame = last.current === call.path;
    last.current = call.path;
    if (!isSame) setState({});
    send(call, { signal: controller.signal })
      .then((answer) => setState({ answer, of: key }))
      .catch((error) => error.name !== "AbortError" && setState({ error, of: key }));
    return () => controller.abort();
  }, [key, round]);
  return { ...state, loading: state.of !== key, reload: () => setRound((count) => count + 1) };
}

/**
 * A list that grows by its next page, in a component: {data, total, error, loading, more}. more(): gets the next page;
 * null if there is none. call: one of a list, without a cursor.
 */
export function usePages(call) {
  const [before, setBefore] = useState([]); // the items of the pages before the last one
  const [cursor, setCursor] = useState(null);
  const { answer, error, loading } = useCall({ ...call, query: given([...call.query, ["cursor", cursor]]) });
  const isKnown = answer && !loading;
  const data = isKnown ? [...before, ...answer.data] : before;
  const more = () => {
    setBefore(data);
    setCursor(answer.next);
  };
  return { data, total: answer?.total, error, loading, more: isKnown && answer.next ? more : null };
}

/** Runs calls that change something, in a component: {run, busy, error}. run returns the answer, or null on a refusal. */
export function useChange() {
  const [state, setState] = useState({ busy: false, error: null });
  const run = async (call) => {
    setState({ busy: true, error: null });
    try {
      const answer = await send(call);
      setState({ busy: false, error: null });
      if (!call.query?.some(([name]) => name === "dry_run")) made.set(made.get() + 1);
      return answer;
    } catch (error) {
      setState({ busy: false, error });
      return null;
    }
  };
  return { ...state, run, forget: () => setState({ busy: false, error: null }) };
}
