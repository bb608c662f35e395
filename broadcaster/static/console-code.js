// A live query as code, and aggregates as people write them. (pure)

const AGGREGATE = /^(count|sum|avg|min|max)(?: +([^ ]+?))??(?: +as +([^ ]+))?$/;

/** `count, sum price as total` as `{count: {count: true}, total: {sum: "price"}}`. Throws Error for another text. */
export function aggregatesOf(text) {
  const parts = text.split(",").map(part => part.trim()).filter(Boolean);
  return Object.fromEntries(parts.map(part => {
    const [, name, field, own] = AGGREGATE.exec(part) ?? [];
    if (!name || (name !== "count" && !field)) {
      throw new Error(`${JSON.stringify(part)} is no aggregate; write count, sum price, or avg price as mean (count, sum, avg, min, max)`);
    }
    return [own ?? [name, ...field?.split(".") ?? []].join("_"), {[name]: field ?? true}];
  }));
}

/** query: `{db, col, where, options}`; place: `{url, project}`. */
export const CODE = {
  curl({db, col, where, options}, {url, project}) {
    const parameters = [];
    if (Object.keys(where).length) parameters.push(["where", JSON.stringify(where)]);
    if (options.sort) parameters.push(["sort", options.sort.join(",")]);
    if (options.limit) parameters.push(["limit", options.limit]);
    if (options.select) parameters.push(["select", options.select.join(",")]);
    if (options.aggregate) parameters.push(["aggregate", JSON.stringify(options.aggregate)]);
    if (options.groupBy) parameters.push(["groupBy", options.groupBy.join(",")]);
    const path = [project, "realtime", db, col].map(encodeURIComponent).join("/");
    const lines = parameters.map(([name, value]) => `  --data-urlencode ${quoted(`${name}=${value}`)}`);
    const address = quoted(`${url}/v1/api/${path}`);
    return [lines.length ? `curl -NG ${address}` : `curl -N ${address}`, ...lines].join(" \\\n");
  },

  javascript({db, col, where, options}, {url, project}) {
    const steps = [];
    if (Object.keys(where).length) steps.push(`.where(${JSON.stringify(where)})`);
    const texts = fields => fields.map(field => JSON.stringify(field)).join(", ");
    if (options.sort) steps.push(`.sort(${texts(options.sort)})`);
    if (options.limit) steps.push(`.limit(${options.limit})`);
    if (options.select) steps.push(`.select(${texts(options.select)})`);
    if (options.aggregate) steps.push(`.aggregate(${JSON.stringify(options.aggregate)})`);
    if (options.groupBy) steps.push(`.groupBy(${texts(options.groupBy)})`);
    return [
      `import {API} from ${JSON.stringify(`${url}/livetail.js`)};`,
      "",
      `const api = new API(${JSON.stringify(project)}, ${JSON.stringify(url)});`,
      `const query = api.DB(${JSON.stringify(db)}).liveQuery(${JSON.stringify(col)})${steps.map(step => `\n  ${step}`).join("")};`,
      "query.subscribe(",
      "  (docs, type, find, changedDoc) => console.log(type, find, changedDoc, docs.length),",
      "  error => console.error(error.message));",
    ].join("\n");
  },

  python({db, col, where, options}, {url, project}) {
    const given = [db, col, ...(Object.keys(where).length ? [where] : [])].map(python);
    const names = {sort: "sort", limit: "limit", select: "select", aggregate: "aggregate", groupBy: "group_by"};
    for (const [name, own] of Object.entries(names)) if (options[name]) given.push(`${own}=${python(options[name])}`);
    return [
      "import asyncio",
      "",
      "from broadcaster.client import Client",
      "",
      "",
      "async def main():",
      `    async with Client(${python(project)}, ${python(url)}) as client:`,
      `        query = client.live_query(${given.join(", ")})`,
      "        async for change in query:",
      "            print(change.type, change.find, change.doc, len(change.docs))",
      "",
      "",
      "asyncio.run(main())",
    ].join("\n");
  },
};

/** For a shell. */
function quoted(text) {
  return `'${String(text).replaceAll("'", "'\\''")}'`;
}

function python(value) {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, item]) => `${python(name)}: ${python(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}
