// Asks a server through the Flight SQL client of Node, as a program in JavaScript does. A request comes as the last
// argument in JSON, {"port": …, "headers": [{"key": …, "value": …}], "call": "query", "argument": …}; the answer goes
// to stdout as the Arrow IPC file that the client gives, an error to stderr.

const { createFlightSqlClient } = require("@lakehouse-rs/flight-sql-client");

async function main() {
  const { port, headers, call, argument } = JSON.parse(process.argv[2]);
  const client = await createFlightSqlClient({ host: "127.0.0.1", port, tls: false, headers });
  const answer = argument === undefined ? await client[call]() : await client[call](argument);
  process.stdout.write(answer);
}

main().catch((error) => {
  process.stderr.write(`${require("util").inspect(error)}\n`);
  process.exitCode = 1;
});
