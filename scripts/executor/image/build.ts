/** Makes the sandbox's image, unless the engine has it. */
import type { Engine } from "../sandbox/docker_engine.ts";
import type { RuntimePaths } from "../sandbox/runtimes.ts";
import { IMAGE_CHANGES, imageEntries, imageName, imageTar } from "./contents.ts";

/** @throws EngineError */
export async function buildImage(
  engine: Engine,
  runtimes: RuntimePaths,
): Promise<{ name: string; built: boolean }> {
  const entries = await imageEntries(runtimes);
  const { repository, tag } = await imageName(entries);
  const name = `${repository}:${tag}`;
  if (await engine.imageExists(name)) return { name, built: false };
  await engine.importImage(imageTar(entries), repository, tag, IMAGE_CHANGES);
  return { name, built: true };
}
