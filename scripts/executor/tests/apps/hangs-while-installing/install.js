// The script of a package that neither ends nor is asked to, and neither is the child that it hides.
const { spawn } = require("node:child_process");
process.on("SIGTERM", () => {});
if (process.argv[2] !== "child") {
  spawn(process.execPath, [__filename, "child"], { detached: true, stdio: "ignore" }).unref();
}
setInterval(() => {}, 1000);
