// Writes numbered lines to both streams: `lines` of them at once, then one now and then until it is ended.
const fs = require("node:fs");
const { lines = 0, forever = true } = JSON.parse(
  fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"),
);
let number = 0;
const say = () => {
  number++;
  fs.writeSync(1, `out ${number}\n`);
  fs.writeSync(2, `err ${number}\n`);
};
while (number < lines) say();
if (forever) setInterval(say, 100);
