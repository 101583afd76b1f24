// Fills the output directory, with large files or with many.
const fs = require("node:fs");
const { many } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const chunk = Buffer.alloc(many ? 1 : 1024 * 1024, 1);
const write = (i) => {
  fs.writeFileSync(`${process.env.STOWAGE_OUTPUT_DIR}/${i}`, chunk);
  setTimeout(write, many ? 0 : 5, i + 1);
};
write(0);
