// Fills the disk with files that no listing shows.
const fs = require("node:fs");
const chunk = Buffer.alloc(1024 * 1024, 1);
const write = (i) => {
  const path = `${process.env.STOWAGE_OUTPUT_DIR}/file`;
  const file = fs.openSync(path, "w");
  fs.unlinkSync(path);
  for (let n = 0; n < 4; n++) fs.writeSync(file, chunk);
  setTimeout(write, 5, i + 1);
};
write(0);
