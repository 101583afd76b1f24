// Writes to the temporary directory until it is refused.
const fs = require("node:fs");
const chunk = Buffer.alloc(1024 * 1024, 1);
let written = 0;
try {
  while (written < 4096) {
    fs.writeFileSync(`/tmp/${written}`, chunk);
    written++;
  }
} catch (error) {
  console.log(JSON.stringify({ written, code: error.code }));
}
