// Parse Server with its LiveQuery server: node parse_server.js DATABASE PORT
const http = require("node:http");
const express = require("express");
const { ParseServer } = require("parse-server");

const [database, port] = process.argv.slice(2);

async function main() {
  const server = new ParseServer({
    appId: "bench",
    masterKey: "bench",
    databaseURI: database,
    serverURL: `http://127.0.0.1:${port}/parse`,
    allowClientClassCreation: true,
    liveQuery: { classNames: ["todos"] },
    silent: true,
    logLevel: "error",
  });
  await server.start();
  const app = express();
  app.use("/parse", server.app);
  const listener = http.createServer(app);
  listener.listen(Number(port), "127.0.0.1", 4096);
  await ParseServer.createLiveQueryServer(listener);
}

main();
