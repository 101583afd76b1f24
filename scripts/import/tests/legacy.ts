/** A legacy directory, made up. */
import { dirname, join } from "node:path";

/** Writes so many packages, in ten namespaces, some with several versions and dependencies; answers their paths. */
export async function writeLegacy(dir: string, files: number, prefix: string): Promise<string[]> {
  const paths: string[] = [];
  for (let index = 0; index < files; index++) {
    const namespace = `${prefix}-${index % 10}`;
    const name = `pkg-${Math.floor(index / 20)}`;
    const version = `1.${index % 20 < 10 ? 0 : 1}.0`;
    const path = `${namespace}/${name}/${version}/${name}-${version}.yaml`;
    await writeFile(
      join(dir, path),
      `id: ${namespace}/${name}\nversion: ${version}\ndescription: Legacy package ${index}\n` +
        `dependencies:\n  ${prefix}-0/pkg-x: "^1.0.0"\nhandlers:\n` +
        Array.from({ length: 20 }, (_, line) => `  - name: handler-${line}\n`).join(""),
    );
    paths.push(path);
  }
  return paths;
}

export async function writeFile(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}
