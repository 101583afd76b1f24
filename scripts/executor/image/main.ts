/** `npm run executor:image`: makes the sandbox's image from this machine's Node and Deno; no registry of images is asked. */
import { Engine, engineSocket } from "../sandbox/docker_engine.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { buildImage } from "./build.ts";

const runtimes = locateRuntimes();
if (typeof runtimes === "string") fail(runtimes);
const socket = engineSocket();
if (typeof socket === "string") fail(socket);
const engine = new Engine(socket.path);
try {
  const { name, built } = await buildImage(engine, runtimes);
  console.log(`${name} ${built ? "was built" : "is there already"}`);
} catch (error) {
  fail((error as Error).message);
} finally {
  engine.close();
}

function fail(message: string): never {
  console.error(`executor:image: ${message}`);
  Deno.exit(1);
}
