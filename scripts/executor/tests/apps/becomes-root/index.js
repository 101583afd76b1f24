// Asks to be somebody else: by its runtime, and by a program that belongs to its owner and starts as that one.
const fs = require("node:fs");
const { spawnSync } = require("node:child_process");
const results = {};
const attempt = (name, action) => {
  try {
    results[name] = action();
  } catch (error) {
    results[name] = error.code ?? error.message;
  }
};
attempt("setuid", () => process.setuid(0) ?? "done");
attempt("seteuid", () => process.seteuid(0) ?? "done");
attempt("setgid", () => process.setgid(0) ?? "done");
attempt("setgroups", () => process.setgroups([0]) ?? "done");
attempt(
  "chown",
  () => fs.writeFileSync("/tmp/file", "") ?? fs.chownSync("/tmp/file", 0, 0) ?? "done",
);
// The bits can be set, and mean nothing.
attempt("program", () => {
  fs.copyFileSync(process.execPath, `${process.env.STOWAGE_OUTPUT_DIR}/program`);
  fs.chmodSync(`${process.env.STOWAGE_OUTPUT_DIR}/program`, 0o6755);
  const script =
    "process.stdout.write(`${process.geteuid() === process.getuid() && process.getuid() !== 0}`)";
  return String(spawnSync(`${process.env.STOWAGE_OUTPUT_DIR}/program`, ["-e", script]).stdout);
});
fs.rmSync(`${process.env.STOWAGE_OUTPUT_DIR}/program`);
console.log(JSON.stringify(results));
