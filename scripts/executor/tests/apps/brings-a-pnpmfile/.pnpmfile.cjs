// pnpm would run this outside of every rule for scripts.
require("node:fs").writeFileSync("ran.txt", "");
module.exports = { hooks: { readPackage: (manifest) => manifest } };
