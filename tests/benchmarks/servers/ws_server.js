// Node's `ws`. A fan-out is a loop over everyone who is connected.
"use strict";
const { WebSocketServer } = require("ws");

const subscribers = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });

server.on("connection", (ws, request) => {
  ws.on("error", () => {});
  if (request.url !== "/fanout") {
    ws.on("message", (data, binary) => ws.send(data, { binary }));
    return;
  }
  subscribers.add(ws);
  ws.on("close", () => subscribers.delete(ws));
  ws.on("message", (data, binary) => {
    for (const each of subscribers) each.send(data, { binary });
  });
});
server.on("listening", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
