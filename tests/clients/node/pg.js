// pg.js PORT COUNT: a pool that opens COUNT connections at once; prints how many distinct backends answered.
const { Pool } = require("pg");
const [port, count] = process.argv.slice(2).map(Number);

async function main() {
  const pool = new Pool({ host: "127.0.0.1", port, user: "postgres", database: "postgres", max: count });
  const held = await Promise.all(Array.from({ length: count }, () => pool.connect()));
  const answers = await Promise.all(held.map((client) => client.query("select pg_backend_pid() as pid")));
  console.log(new Set(answers.map((answer) => answer.rows[0].pid)).size);
  held.forEach((client) => client.release());
  await pool.end();
}

main();
