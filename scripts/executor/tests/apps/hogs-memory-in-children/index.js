// Stays small itself and lets its children take the memory.
const { spawn } = require("node:child_process");
if (process.argv[2] === "child") {
  const kept = Buffer.alloc(70 * 1024 * 1024, 7);
  setInterval(() => kept.fill(kept[0] + 1), 1000);
} else {
  let ended = 0;
  for (let i = 0; i < 5; i++) {
    spawn(process.execPath, [process.argv[1], "child"], { stdio: "inherit" })
      .on("exit", () => process.exit(70 + ++ended));
  }
}
