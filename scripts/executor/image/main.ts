/** `npm run executor:image`: makes the sandbox's image from this machine's Node and Deno; no registry of images is asked. */
import { runCommand } from "../../command/command.ts";
import { CommandError } from "../../command/errors.ts";
import { Engine, EngineError, engineSocket } from "../sandbox/docker_engine.ts";
import { locateRuntimes } from "../sandbox/runtimes.ts";
import { buildImage } from "./build.ts";

const COMMAND = {
  name: "executor:image",
  usage: "",
  help: `
Makes the image of the sandbox docker from this machine's Node and Deno, unless it is there; no registry of images is asked.
The engine is found by DOCKER_HOST, or at its usual socket.`,
  options: {},
};

await runCommand(COMMAND, async () => {
  const runtimes = locateRuntimes();
  if (typeof runtimes === "string") throw new CommandError(runtimes);
  const socket = engineSocket();
  if (typeof socket === "string") throw new CommandError(socket);
  const engine = new Engine(socket.path);
  try {
    const { name, built } = await buildImage(engine, runtimes);
    console.log(`${name} ${built ? "was built" : "is there already"}`);
  } catch (error) {
    throw error instanceof EngineError ? new CommandError(error.message) : error;
  } finally {
    engine.close();
  }
});
