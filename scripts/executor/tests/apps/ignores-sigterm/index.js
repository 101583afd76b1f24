// Does not end when asked to, and neither does the child that it hides.
const { spawn } = require("node:child_process");
process.on("SIGTERM", () => console.log("SIGTERM ignored"));
if (process.argv[2] !== "child") {
  spawn(process.execPath, [process.argv[1], "child"], { detached: true, stdio: "ignore" }).unref();
  console.log("ready");
}
setInterval(() => {}, 1000);
