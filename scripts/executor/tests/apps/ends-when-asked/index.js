// Cleans up on SIGTERM.
process.on("SIGTERM", () => {
  console.log("cleaned up");
  process.exit(0);
});
console.log("ready");
setInterval(() => {}, 1000);
