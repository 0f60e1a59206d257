// A value that several components show: each of them is drawn again when it is set.
import { useEffect, useState } from "./vendor/preact-htm.js";

export function shared(value) {
  const listeners = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      listeners.forEach((listener) => listener(next));
    },
    /** The value, in a component. */
    use() {
      const [, draw] = useState(0);
      useEffect(() => {
        const listener = () => draw((count) => count + 1);
        listeners.add(listener);
        listener(); // it may have been set since the component was drawn
        return () => listeners.delete(listener);
      }, []);
      return value;
    },
  };
}
