// Reads through symbolic links: one that came with it, and others that it makes where it may write.
const fs = require("node:fs");
const { paths } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const got = [];
const attempt = (path) => {
  try {
    const isFolder = fs.statSync(path).isDirectory();
    const content = isFolder ? fs.readdirSync(path) : fs.readFileSync(path, "utf8");
    if (content.length > 0) got.push({ path, content });
  } catch {
    // Refused, as it should be.
  }
};
attempt("linked.txt");
const targets = [...paths, "/etc/shadow", "/root", "/proc/1/root/root", "/proc/1/cwd/../root"];
for (const [index, target] of targets.entries()) {
  for (const folder of [process.env.STOWAGE_OUTPUT_DIR, "/tmp"]) {
    fs.symlinkSync(target, `${folder}/link-${index}`);
    attempt(`${folder}/link-${index}`);
  }
}
console.log(JSON.stringify(got));
