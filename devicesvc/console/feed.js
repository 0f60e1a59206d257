// The feed of the registry's changes: the page asks for those after the last one, and the service answers when there is one.
import { useEffect, useRef } from "./vendor/preact-htm.js";
import { send } from "./api.js";

const WAIT = "25"; // seconds that the service may wait for a change
const PAUSE = 1; // seconds between two calls: so many changes are shown together
const ILL = 3; // after a refusal

const pause = (seconds) => new Promise((goOn) => setTimeout(goOn, 1000 * seconds));

export const NOW = "now"; // the place where the feed ends

/** The call for the changes after a place: the number of a change, or NOW. */
export const after = (place, more = []) => ({ path: "/v1/changes", query: [["after", String(place)], ...more] });

/** Calls an async function whenever the registry has changed, while the page is seen. null: follows nothing. */
export function useFeed(tell) {
  const latest = useRef();
  latest.current = tell;
  useEffect(() => {
    if (!tell) return undefined;
    let controller = new AbortController();
    let last = null;
    const step = async (signal) => {
      if (last === null) {
        last = (await send(after(NOW), { signal })).next;
        await latest.current(); // what was loaded before may be older
        return PAUSE;
      }
      const answer = await send(after(last, [["wait", WAIT]]), { signal });
      if (answer.data.length) await latest.current();
      last = answer.next;
      return Math.max(PAUSE, answer.retry);
    };
    const follow = async (signal) => {
      while (!signal.aborted) await pause(await step(signal).catch(() => ILL)); // the bar says why, if nobody answers
    };
    const seen = () => {
      controller.abort();
      controller = new AbortController();
      if (!document.hidden) follow(controller.signal);
    };
    seen();
    document.addEventListener("visibilitychange", seen);
    return () => {
      controller.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [!tell]);
}
