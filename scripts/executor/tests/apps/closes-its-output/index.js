// Puts files where only it can go: the folder is closed to everybody, and it stands inside.
const fs = require("node:fs");
const { folders, files } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const out = process.env.STOWAGE_OUTPUT_DIR;
fs.writeFileSync(`${out}/closed.txt`, "closed", { mode: 0 });
fs.mkdirSync(`${out}/closed`);
fs.writeFileSync(`${out}/closed/inside.txt`, "inside", { mode: 0 });
if (files) fs.writeFileSync(`${out}/result.json`, "{}", { mode: 0 });
if (folders) fs.chmodSync(`${out}/closed`, 0);
