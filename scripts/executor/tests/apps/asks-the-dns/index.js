// Looks up a name as libraries do, and asks servers itself.
const dns = require("node:dns");
const answer = (lookup) => lookup.then(() => "RESOLVED", (error) => error.code);
const late = () => new Promise((resolve) => setTimeout(resolve, 2000, "timeout"));
const server = (address) => {
  const resolver = new dns.promises.Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([address]);
  return resolver.resolve4("example.com");
};
Promise.all([
  dns.promises.lookup("example.com"),
  dns.promises.resolve4("example.com"),
  server("8.8.8.8"),
  server("127.0.0.53"),
].map((lookup) => Promise.race([answer(lookup), late()]))).then((answers) => {
  console.log(JSON.stringify(answers));
  process.exit(0);
});
