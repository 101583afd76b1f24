// Tries what the trusted sandbox's permissions do not give.
const fs = require("node:fs");
const net = require("node:net");
const child = require("node:child_process");
const config = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const attempt = (what) => {
  try {
    what();
    return "done";
  } catch (error) {
    return error.code ?? error.name;
  }
};
const results = {
  readPasswords: attempt(() => fs.readFileSync("/etc/passwd")),
  readOther: attempt(() => fs.readFileSync(config.paths[0])),
  writeApp: attempt(() => fs.writeFileSync(__filename, "")),
  writeTemporary: attempt(() => fs.writeFileSync("/tmp/stowage-written", "")),
  writeOutput: attempt(() => fs.writeFileSync(`${process.env.STOWAGE_OUTPUT_DIR}/file`, "x")),
  spawn: attempt(() => {
    if (child.spawnSync("/bin/true").status !== 0) throw new Error("not started");
  }),
  ffi: attempt(() => Deno.dlopen("libc.so.6", {})),
  secret: process.env.STOWAGE_TEST_SECRET ?? "absent",
};
const socket = net.connect({ host: "127.0.0.1", port: 9 });
socket.on("connect", () => (results.network = "CONNECTED"));
socket.on("error", (error) => (results.network = error.code ?? error.name));
process.on("exit", () => console.log(JSON.stringify(results)));
