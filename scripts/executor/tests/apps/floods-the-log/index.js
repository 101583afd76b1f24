// Writes to its standard output as fast as it can.
const line = Buffer.from(`${"x".repeat(1023)}\n`.repeat(64));
const write = () => {
  while (process.stdout.write(line));
  process.stdout.once("drain", write);
};
write();
