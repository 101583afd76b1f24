/** The example in docs/manifest-store.md does what is said there. */
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { projectPath } from "../../../../scripts/stack/project.ts";
import type { ManifestStore } from "../../_shared/manifest_store/mod.ts";
import { METHODS } from "./contract.ts";

const page = await Deno.readTextFile(projectPath("docs/manifest-store.md"));

function block(language: string): string {
  const match = page.match(new RegExp("```" + language + "\n(.*?)```", "s"));
  assert(match, `docs/manifest-store.md has no block of ${language}`);
  return match[1];
}

Deno.test("the example of the manifest store prints what its page says", async () => {
  const directory = await Deno.makeTempDir({ prefix: "manifest store " });
  try {
    const root = new URL("../../../../", import.meta.url).href;
    const script = `${directory}/example.ts`;
    await Deno.writeTextFile(script, block("ts").replaceAll('from "./', `from "${root}`));
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--check", "--quiet", "--config", projectPath("deno.json"), script],
      env: { NO_COLOR: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assertEquals(text(stdout), block("text"), text(stderr));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("the page names each of the seventeen methods once in its table", () => {
  const table = page.split("## The seventeen methods")[1].split("\n- ")[0];
  const named = [...table.matchAll(/`(\w+)`/g)].map(([, name]) => name as keyof ManifestStore);
  assertEquals(named.toSorted(), [...METHODS].sort());
});

Deno.test("whoever takes the store in memory loads no other backend", async () => {
  const module = projectPath("supabase/functions/_shared/manifest_store/mod.ts");
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--config", projectPath("deno.json"), module],
    stderr: "null",
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout));
  const root = new URL("../../../../", import.meta.url).href;
  const loaded: string[] = modules.map((one: { specifier: string }) =>
    one.specifier.replace(root, "")
  );
  assert(loaded.some((specifier) => specifier.endsWith("/memory.ts")));
  assertEquals(
    loaded.filter((specifier) => /sql|supabase-js|\/supabase\.ts$/.test(specifier)),
    [],
  );
});
