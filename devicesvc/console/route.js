// The address of the page says what it shows: so a bookmark is a saved query, and "back" goes back.
import { shared } from "./shared.js";

const here = () => ({ path: location.pathname, query: new URLSearchParams(location.search), state: history.state ?? {} });

export const route = shared(here());

/** Show what an address names. replace: without a new entry in the history. state: what "back" needs to know. */
export function go(address, { replace = false, state = {} } = {}) {
  history[replace ? "replaceState" : "pushState"](state, "", address);
  route.set(here());
}

/** Those of some arguments that have a value. query: pairs of name and value. */
export const given = (query) => query.filter(([, value]) => value);

/** The address of a path with these arguments. */
export function address(path, query = []) {
  const text = new URLSearchParams(given(query)).toString();
  return text ? `${path}?${text}` : path;
}

addEventListener("popstate", () => route.set(here()));

// A plain click on a link to another view does not load the page again.
addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='/console']");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
