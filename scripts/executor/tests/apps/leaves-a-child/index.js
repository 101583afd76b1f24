// Ends well, and leaves a child behind.
const { spawn } = require("node:child_process");
if (process.argv[2] === "child") {
  setInterval(() => {}, 1000);
} else {
  const child = spawn(process.execPath, [process.argv[1], "child"], {
    detached: true,
    stdio: "ignore",
  });
  child.on("spawn", () => process.exit(0));
}
