// Speaks to a server as programs in JavaScript do that know InfluxDB or Open-Meteo. What is to be done comes as the last
// argument in JSON; the answer goes to stdout in JSON.

const { InfluxDB, Point } = require("@influxdata/influxdb-client");
const { fetchWeatherApi } = require("openmeteo");

async function write({ url, token, key, temperature, second, field }) {
  const options = { batchSize: 10, maxRetries: 0, gzipThreshold: 1 };
  const api = new InfluxDB({ url, token }).getWriteApi("org", "bucket", "s", options);
  api.writePoint(new Point("readings").tag("city_id", key).floatField(field, temperature).timestamp(second));
  await api.close();
  return { written: true };
}

async function forecast({ url }) {
  const answers = await fetchWeatherApi(`${url}/v1/forecast`, { latitude: 48.86, longitude: 2.34, hourly: "temperature_2m" });
  return { answers: answers.length };
}

async function main() {
  const { call, ...asked } = JSON.parse(process.argv[2]);
  try {
    process.stdout.write(JSON.stringify(await { write, forecast }[call](asked)));
  } catch (error) {
    process.stdout.write(JSON.stringify({ status: error.statusCode, message: error.message }));
  }
}

main();
