import type {LiveQuery, Row, View} from "./livetail.js";

/** `{docs, status, error}` of a live query; of null nothing, for as long as it is null. */
export function useLiveQuery<T = Row>(query: LiveQuery<T> | null | undefined): View<T>;
