// client.js PORT: as client.py, with connections to a Redis server.
"use strict";
const net = require("net");
const port = Number(process.argv[2]);
const LIMIT = 30000;

// One connection, one PING: "good", "wrong" or "failed".
function ping() {
  return new Promise((resolve) => {
    let told = "";
    let how = "failed";
    const socket = net.connect(port, "127.0.0.1", () => socket.write("PING\r\n"));
    socket.setTimeout(LIMIT, () => socket.destroy());
    socket.on("data", (data) => {
      told += data;
      if (told.length >= 7) {
        how = told === "+PONG\r\n" ? "good" : "wrong";
        socket.destroy();
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(how));
  });
}

async function round(seconds) {
  const counts = { good: 0, wrong: 0, failed: 0 };
  const until = Date.now() + 1000 * seconds;
  const worker = async () => {
    while (Date.now() < until) counts[await ping()]++;
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  console.log(JSON.stringify(counts));
}

require("readline").createInterface({ input: process.stdin }).on("line", (line) => round(Number(line)));
