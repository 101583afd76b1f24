// Keeps every processor busy, in threads too.
const { Worker } = require("node:worker_threads");
for (let i = 0; i < 3; i++) new Worker("while (true);", { eval: true });
while (true);
