// Sends datagrams to the host and the world.
const fs = require("node:fs");
const dgram = require("node:dgram");
const { targets } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const send = ({ host, port }) =>
  new Promise((resolve) => {
    const socket = dgram.createSocket("udp4");
    socket.on("error", (error) => resolve(error.code));
    socket.send("x", port, host, (error) => resolve(error ? error.code : "SENT"));
  });
Promise.all(targets.map(send)).then((answers) => {
  console.log(JSON.stringify(answers));
  process.exit(0);
});
