/** Live queries for React 18 and later. */

import {useMemo, useSyncExternalStore} from "react";

const NOTHING = Object.freeze({docs: Object.freeze([]), status: "loading", error: null});
const EMPTY = {subscribe: () => () => {}, getSnapshot: () => NOTHING};

/** `{docs, status, error}` of a live query; of null nothing, for as long as it is null. The live query may be built
 *  anew with every rendering: what counts is what it asks for. */
export function useLiveQuery(query) {
  const store = useMemo(() => query?.store() ?? EMPTY, [query?.key]);
  return useSyncExternalStore(store.subscribe, store.getSnapshot, EMPTY.getSnapshot);
}
