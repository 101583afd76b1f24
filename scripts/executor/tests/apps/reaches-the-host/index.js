// Tries to connect to the host: by its loopback, its addresses and gateways, and a socket in its files.
const fs = require("node:fs");
const net = require("node:net");
const { targets } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const connect = (options) =>
  new Promise((resolve) => {
    const socket = net.connect(options);
    socket.setTimeout(1000, () => resolve("timeout"));
    socket.on("connect", () => resolve("CONNECTED"));
    socket.on("error", (error) => resolve(error.code));
  });
Promise.all(targets.map(connect)).then((answers) => {
  console.log(JSON.stringify(answers));
  process.exit(0);
});
