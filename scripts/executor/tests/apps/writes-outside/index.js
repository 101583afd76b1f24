// Tries to write wherever it may not, and where it may.
const fs = require("node:fs");
const results = {};
for (
  const folder of [
    "/",
    "/app",
    "/etc",
    "/usr/local/bin",
    "/stowage",
    "/lib64",
    "/dev",
    "/dev/shm",
    "/proc/sys/kernel",
    "/tmp",
    "/output",
  ]
) {
  try {
    fs.writeFileSync(`${folder}/written`, "x");
    results[folder] = "written";
  } catch (error) {
    results[folder] = error.code;
  }
}
try {
  fs.appendFileSync(__filename, "// changed");
  results.self = "written";
} catch (error) {
  results.self = error.code;
}
console.log(JSON.stringify(results));
