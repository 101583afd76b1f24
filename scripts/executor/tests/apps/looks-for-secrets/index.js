// Prints everything that it can learn of environments, command lines, descriptors and privileges.
const fs = require("node:fs");
const os = require("node:os");
const read = (path) => {
  try {
    return fs.readFileSync(path, "utf8");
  } catch (error) {
    return error.code;
  }
};
const processes = {};
for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
  processes[pid] = { environ: read(`/proc/${pid}/environ`), cmdline: read(`/proc/${pid}/cmdline`) };
}
const descriptors = fs.readdirSync("/proc/self/fd").map((fd) => {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return "gone";
  }
});
console.log(JSON.stringify({
  env: process.env,
  processes,
  descriptors,
  status: read("/proc/self/status"),
  limits: read("/proc/self/limits"),
  hostname: os.hostname(),
  user: os.userInfo().username,
  root: fs.readdirSync("/"),
}));
