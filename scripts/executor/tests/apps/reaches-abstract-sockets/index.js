// Connects to sockets of the host that have no file, and listens to see what else does.
const fs = require("node:fs");
const net = require("node:net");
const { names } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const connect = (name) =>
  new Promise((resolve) => {
    const socket = net.connect({ path: `\0${name}` });
    socket.on("connect", () => resolve("CONNECTED"));
    socket.on("error", (error) => resolve(error.code));
  });
const listed = fs.readFileSync("/proc/net/unix", "utf8").split("\n").filter((line) =>
  line.includes("@")
);
Promise.all(names.map(connect)).then((answers) => {
  console.log(JSON.stringify({ answers, listed }));
  process.exit(0);
});
