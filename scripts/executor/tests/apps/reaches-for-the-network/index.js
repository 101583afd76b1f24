// Tries to reach the host and the world in every way there is.
const fs = require("node:fs");
const net = require("node:net");
const dns = require("node:dns");
const dgram = require("node:dgram");
const config = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const connect = (options) =>
  new Promise((resolve) => {
    const socket = net.connect(options);
    socket.setTimeout(1000, () => resolve("timeout"));
    socket.on("connect", () => resolve("CONNECTED"));
    socket.on("error", (error) => resolve(error.code));
  });
const send = (address) =>
  new Promise((resolve) => {
    const socket = dgram.createSocket("udp4");
    socket.on("error", (error) => resolve(error.code));
    socket.send("x", config.udpPort, address, (error) => resolve(error ? error.code : "SENT"));
  });
const lookup = (name) =>
  new Promise((resolve) =>
    dns.resolve4(
      name,
      { timeout: 500, tries: 1 },
      (error) => resolve(error ? error.code : "RESOLVED"),
    )
  );
(async () => {
  const results = {};
  for (const host of config.hosts) results[host] = await connect({ host, port: config.port });
  for (const host of config.hosts) results[`udp ${host}`] = await send(host);
  results.unix = await connect({ path: config.socket });
  results.abstract = await connect({ path: `\0${config.abstract}` });
  results.dns = await Promise.race([
    lookup("example.com"),
    new Promise((r) => setTimeout(r, 1500, "timeout")),
  ]);
  console.log(JSON.stringify(results));
  process.exit(0);
})();
