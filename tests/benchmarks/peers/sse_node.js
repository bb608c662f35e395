// Server-Sent Events by Node's own http module: one list of responses, one write for each frame.
const http = require("node:http");

const listeners = new Set();
let id = 0;

http
  .createServer((request, response) => {
    if (request.url === "/listen") {
      response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
      response.write("retry: 2000\n\n");
      listeners.add(response);
      response.on("close", () => listeners.delete(response));
      return;
    }
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const frame = Buffer.from(`event: diff\nid: ${++id}\ndata: ${Buffer.concat(parts)}\n\n`);
      for (const listener of listeners) listener.write(frame);
      response.writeHead(204).end();
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1", 4096);
