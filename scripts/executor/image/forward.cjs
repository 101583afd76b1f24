/**
 * Runs inside a sandbox that has no network, as the parent of an app that may reach some hosts: listens on the loopback interface
 * and passes every connection on to the egress proxy's socket. Its arguments are the app's command line.
 *
 * HTTP_PROXY and its like are what Deno, curl and most libraries read, and Node where NODE_USE_ENV_PROXY is set (from Node 24 and 22.21
 * on). For older ones this file is also loaded into the app (`--require`), where it has Node's own http, https and fetch use the proxy.
 */
"use strict";
const net = require("node:net");
const SOCKET = "/stowage/egress.sock";

if (require.main === module) forward(process.argv.slice(2));
else useProxy();

function forward([program, ...args]) {
  const { spawn } = require("node:child_process");
  const os = require("node:os");
  const server = net.createServer({ allowHalfOpen: true }, (local) => {
    const remote = net.connect({ path: SOCKET, allowHalfOpen: true });
    for (const [from, to] of [[local, remote], [remote, local]]) {
      from.on("error", () => to.destroy());
      from.pipe(to);
    }
  });
  server.listen(0, "127.0.0.1", () => {
    const url = `http://127.0.0.1:${server.address().port}`;
    const env = { ...process.env, NODE_USE_ENV_PROXY: "1" };
    for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]) env[name] = url;
    for (const name of ["NO_PROXY", "no_proxy"]) env[name] = "127.0.0.1,localhost,::1";
    const app = spawn(program, args, { env, stdio: "inherit" });
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
      process.on(signal, () => app.kill(signal));
    }
    app.on("error", (error) => {
      console.error(`${program}: ${error.message}`);
      process.exit(127);
    });
    // As a shell says it: 128 and the signal's number.
    app.on("exit", (code, signal) => process.exit(code ?? 128 + os.constants.signals[signal]));
  });
}

/** A no-op where Node does it by itself. */
function useProxy() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major >= 24 || (major === 22 && minor >= 21)) return;
  const http = require("node:http");
  const https = require("node:https");
  const tls = require("node:tls");

  const isLocal = (host) => /^(localhost|127\..*|\[?::1\]?)$/.test(host);

  /** A connection to host:port through the proxy; `done` gets it when the proxy has agreed. */
  function tunnel(host, port, done) {
    const request = http.request({
      socketPath: SOCKET,
      agent: false,
      method: "CONNECT",
      path: `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`,
    });
    request.on("error", done);
    request.on("connect", (response, socket, head) => {
      if (response.statusCode === 200) return done(null, socket);
      let text = String(head);
      socket.on("data", (chunk) => text += chunk);
      socket.on("close", () => done(new Error(text.trim() || `proxy: ${response.statusCode}`)));
    });
    request.end();
  }

  function secure(socket, options, done) {
    const host = options.servername || options.hostname || options.host;
    const secured = tls.connect({
      ...options,
      socket,
      path: undefined,
      servername: net.isIP(host) ? "" : host,
    });
    secured.once("error", done);
    secured.once("secureConnect", () => {
      secured.off("error", done);
      done(null, secured);
    });
  }

  function proxied(module, isSecure) {
    const direct = module.Agent.prototype.createConnection;
    module.globalAgent.createConnection = function (options, callback) {
      const host = options.host || options.hostname || "localhost";
      if (options.socketPath || isLocal(host)) return direct.call(this, options, callback);
      tunnel(host, options.port, (error, socket) => {
        if (error || !isSecure) return callback(error, socket);
        secure(socket, options, callback);
      });
    };
  }
  proxied(http, false);
  proxied(https, true);

  const own = globalThis.fetch;
  const DISPATCHER = Symbol.for("undici.globalDispatcher.1");
  globalThis.fetch = async function fetch(...args) {
    globalThis.fetch = own;
    // The class of Node's own dispatcher can only be had from an instance, which the first call makes.
    await own("data:,").catch(() => {});
    const Agent = globalThis[DISPATCHER]?.constructor;
    if (Agent) globalThis[DISPATCHER] = new Agent({ connect });
    return own(...args);
  };

  function connect(options, callback) {
    const isSecure = options.protocol === "https:";
    const port = Number(options.port) || (isSecure ? 443 : 80);
    if (isLocal(options.hostname)) {
      const socket = net.connect({ host: options.hostname.replace(/^\[|\]$/g, ""), port });
      socket.once("error", callback);
      return socket.once("connect", () => {
        socket.off("error", callback);
        if (isSecure) secure(socket, options, callback);
        else callback(null, socket);
      });
    }
    tunnel(options.hostname, port, (error, socket) => {
      if (error || !isSecure) return callback(error, socket);
      secure(socket, { ...options, ALPNProtocols: ["http/1.1"] }, callback);
    });
  }
}
