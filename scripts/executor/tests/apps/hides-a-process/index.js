// Starts a program that it may not read itself: what such a process does, /proc tells nobody but root.
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const BASE = 0x400000n, HEADER = 64, SEGMENT = 56;
const code = Buffer.from("b8220000000f05ebf7", "hex"); // pause, for ever (x86-64)
const file = Buffer.alloc(HEADER + SEGMENT + code.length);
file.write("\x7fELF\x02\x01\x01", "latin1");
file.writeUInt16LE(2, 16); // a program
file.writeUInt16LE(62, 18); // for x86-64
file.writeUInt32LE(1, 20);
file.writeBigUInt64LE(BASE + BigInt(HEADER + SEGMENT), 24); // where it begins
file.writeBigUInt64LE(BigInt(HEADER), 32);
file.writeUInt16LE(HEADER, 52);
file.writeUInt16LE(SEGMENT, 54);
file.writeUInt16LE(1, 56);
file.writeUInt32LE(1, HEADER); // loaded
file.writeUInt32LE(5, HEADER + 4); // to be read and run
file.writeBigUInt64LE(BASE, HEADER + 16);
file.writeBigUInt64LE(BASE, HEADER + 24);
file.writeBigUInt64LE(BigInt(file.length), HEADER + 32);
file.writeBigUInt64LE(BigInt(file.length), HEADER + 40);
file.writeBigUInt64LE(4096n, HEADER + 48);
code.copy(file, HEADER + SEGMENT);
const path = `${process.env.STOWAGE_OUTPUT_DIR}/program`;
fs.writeFileSync(path, file);
fs.chmodSync(path, 0o111);
spawn(path, { stdio: "ignore" }).on("error", (error) => console.error(error.message));
setInterval(() => {}, 1000);
