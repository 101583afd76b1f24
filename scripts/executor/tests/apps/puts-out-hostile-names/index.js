// Puts out what could confuse whoever stores it: names, depths, modes, documents.
const fs = require("node:fs");
const path = require("node:path");
const out = process.env.STOWAGE_OUTPUT_DIR;
const put = (name, text = "x", options) => {
  fs.mkdirSync(path.join(out, path.dirname(name)), { recursive: true });
  fs.writeFileSync(path.join(out, name), text, options);
};
for (
  const name of ["a\nb", "a\tb", "..hidden", "-rf", "%2e%2e%2fescape", "\u202egnp.exe", "a\\..\\b"]
) {
  put(name);
}
put("closed.txt", "closed", { mode: 0 });
put("stdout.log", "not the log");
// Two names that are no text, and one that is what both are read as.
for (const bytes of [[0xff], [0xfe], [...Buffer.from("\ufffd")]]) {
  fs.writeFileSync(Buffer.concat([Buffer.from(`${out}/`), Buffer.from(bytes)]), "x");
}
// Cut in the middle, it would be a folder's parent.
put(`...../${["y", "z", "w"].map((letter) => letter.repeat(97)).join("/")}/vwx`);
// Too long for a row, and the same once they are cut.
const long = [1, 2, 3, 4, 5].map((number) => `${number}`.repeat(110)).join("/");
put(`${long}/1`);
put(`${long}/2`);
put("result.json", "[".repeat(50_000) + "]".repeat(50_000));
