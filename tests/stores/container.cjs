// Makes a container in the store of Azurite: container.cjs PORT NAME KEY
const crypto = require("node:crypto");
const http = require("node:http");

const [port, name, key] = process.argv.slice(2);
const account = "devstoreaccount1";
const headers = { "x-ms-date": new Date().toUTCString(), "x-ms-version": "2021-08-06" };
const signed = [
  `PUT${"\n".repeat(12)}x-ms-date:${headers["x-ms-date"]}`,
  `x-ms-version:${headers["x-ms-version"]}`,
  `/${account}/${account}/${name}`,
  "restype:container",
];
const signature = crypto.createHmac("sha256", Buffer.from(key, "base64")).update(signed.join("\n")).digest("base64");
headers.authorization = `SharedKey ${account}:${signature}`;
headers["content-length"] = 0;
const asked = { host: "127.0.0.1", port, method: "PUT", path: `/${account}/${name}?restype=container`, headers };
const request = http.request(asked, (answer) => process.exit(answer.statusCode === 201 ? 0 : 1));
request.on("error", () => process.exit(2));
request.end();
