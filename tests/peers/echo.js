// A server on Node's `ws`, with the paths that `python_servers.py` has too.
// Arguments: a certificate file and a key file. Prints the ports of ws and wss; ends with its input.
"use strict";

const fs = require("fs");
const http = require("http");
const https = require("https");
const WebSocket = require("ws");

const outcomes = new Map(); // the name of a connection -> how the client closed it

function outcome(name) {
  if (!outcomes.has(name)) {
    let resolve;
    const promise = new Promise((done) => (resolve = done));
    outcomes.set(name, { promise, resolve });
  }
  return outcomes.get(name);
}

const paths = {
  "/echo": (ws) => ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary })),
  "/fragments": (ws) => {
    for (const parts of [["gr", "", "üß", "e"], [Buffer.from([0, 1]), Buffer.alloc(70000, 2), Buffer.from([3])]]) {
      parts.forEach((part, index) => ws.send(part, { fin: index === parts.length - 1 }));
    }
    ws.close(1000);
  },
  "/ping": (ws) => {
    ws.on("pong", (data) => ws.send(data.toString()));
    ws.ping("are you there?");
  },
  "/close": (ws, query) => ws.close(Number(query.get("code")), query.get("reason")),
  "/record": (ws, query) => {
    ws.on("close", (code, reason) => {
      outcome(query.get("name")).resolve(JSON.stringify({ code, reason: reason.toString() }));
    });
  },
  "/recorded": (ws, query) => outcome(query.get("name")).promise.then((text) => ws.send(text)),
};

const server = new WebSocket.Server({
  noServer: true,
  perMessageDeflate: true,
  handleProtocols: (asked) => (asked.has("chat.v2") ? "chat.v2" : false),
});

server.on("connection", (ws, request) => {
  const url = new URL(request.url, "http://localhost");
  paths[url.pathname](ws, url.searchParams);
});

function start(listener) {
  listener.on("upgrade", (request, socket, head) => {
    if (request.url === "/forbidden") {
      socket.end("HTTP/1.1 403 Forbidden\r\nX-Why: closed\r\nContent-Length: 8\r\n\r\nno entry");
    } else {
      server.handleUpgrade(request, socket, head, (ws) => server.emit("connection", ws, request));
    }
  });
  return new Promise((done) => listener.listen(0, "127.0.0.1", 1024, () => done(listener.address().port)));
}

const [cert, key] = process.argv.slice(2).map((name) => fs.readFileSync(name));
Promise.all([start(http.createServer()), start(https.createServer({ cert, key }))]).then((ports) => {
  console.log(ports.join(" "));
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
