// Tries to read what belongs to the host or to others, and prints what it got.
const fs = require("node:fs");
const config = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const got = [];
const attempt = (path) => {
  try {
    const info = fs.statSync(path);
    const content = info.isDirectory() ? fs.readdirSync(path) : fs.readFileSync(path, "utf8");
    if (content.length > 0) got.push({ path, content: content.slice(0, 2000) });
  } catch {
    // Refused, as it should be.
  }
};
for (
  const path of [
    "/etc/shadow",
    "/root",
    "/home",
    "/var",
    "/sys",
    "/boot",
    "/run",
    "/usr/bin",
    "/bin/sh",
    "/proc/kcore",
    "/proc/cmdline",
    "/proc/keys",
    "/proc/kmsg",
    "/proc/kallsyms",
    "/proc/sysrq-trigger",
    "/proc/1/root/etc/shadow",
    "/proc/1/root/root",
    "/proc/self/root/root",
    "/dev/sda",
    "/dev/vda",
    "/dev/mem",
    "../other/secret.txt",
    "linked.txt",
    ...config.paths,
  ]
) attempt(path);
try {
  fs.symlinkSync(config.paths[0], `${process.env.STOWAGE_OUTPUT_DIR}/escape`);
  attempt(`${process.env.STOWAGE_OUTPUT_DIR}/escape`);
} catch (error) {
  got.push({ path: "symlink", content: error.code });
}
console.log(JSON.stringify(got));
