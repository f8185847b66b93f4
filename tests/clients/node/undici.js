// undici.js URL COUNT: COUNT requests at once, each on a connection of its own; prints status and length of each.
const { Agent, request } = require("undici");
const [url, count] = process.argv.slice(2);

async function one(dispatcher) {
  const { statusCode, body } = await request(url, { dispatcher });
  console.log(statusCode, (await body.arrayBuffer()).byteLength);
}

const dispatcher = new Agent({ connections: Number(count), pipelining: 1, connect: { timeout: 90_000 } });
Promise.all(Array.from({ length: Number(count) }, () => one(dispatcher))).then(() => dispatcher.close());
