// Runs inside the sandbox, as the executor's own program: makes a project of what it is given, opens a way to the package registry
// (a socket beside the project, behind which the executor answers), and runs one package manager after the other until one succeeds.
"use strict";
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");

const { commands, files } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const mark = process.env.STOWAGE_TRUSTED_RUN;
const root = process.env.STOWAGE_OUTPUT_DIR;
const project = path.join(root, "project");

function prepare() {
  fs.rmSync(project, { recursive: true, force: true });
  fs.mkdirSync(project);
  for (const [name, content] of Object.entries(files)) {
    fs.writeFileSync(path.join(project, name), content);
  }
}

function run(command, registry) {
  const args = command.args.map((arg) =>
    arg.replaceAll("{registry}", registry).replaceAll("{root}", root)
  );
  console.log(`$ ${command.title}`);
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join(__dirname, command.program), ...args], {
      cwd: project,
      stdio: ["ignore", "inherit", "inherit"],
      env: {
        PATH: path.dirname(process.execPath),
        HOME: root,
        TMPDIR: root,
        CI: "true",
        XDG_CACHE_HOME: path.join(root, "cache"),
        XDG_STATE_HOME: path.join(root, "state"),
        XDG_DATA_HOME: path.join(root, "data"),
        // By which the executor finds what outlives its parents, where the sandbox is no namespace.
        ...(mark === undefined ? {} : { STOWAGE_TRUSTED_RUN: mark }),
      },
    });
    // Where the sandbox is no namespace, it would outlive this process.
    process.once("SIGTERM", () => {
      child.kill("SIGKILL");
      process.exit(1);
    });
    child.on("error", reject);
    child.on("exit", (code, signal) => resolve(signal ? 1 : code));
  });
}

const server = net.createServer((client) => {
  const upstream = net.connect(path.join(root, "registry.sock"));
  client.on("error", () => upstream.destroy());
  upstream.on("error", () => client.destroy());
  client.pipe(upstream).pipe(client);
});
server.listen(0, "127.0.0.1", async () => {
  const registry = `http://127.0.0.1:${server.address().port}/`;
  let code = 1;
  for (const command of commands) {
    prepare();
    code = await run(command, registry);
    if (code === 0) break;
    console.log(`${command.title} failed (exit code ${code}).`);
  }
  process.exit(code);
});
