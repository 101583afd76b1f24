// Ends with a code of its own, or by a signal.
const fs = require("node:fs");
const { signal } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
console.error("something went wrong");
if (signal) process.kill(process.pid, signal);
else process.exit(3);
