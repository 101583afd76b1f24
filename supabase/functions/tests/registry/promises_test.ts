/** docs/registry-promises.md names tests that are there. */
import { assert, assertEquals } from "../../../../scripts/testing/assert.ts";
import { PROJECT_DIR } from "../../../../scripts/stack/project.ts";

const PAGE = `${PROJECT_DIR}/docs/registry-promises.md`;
const FIXTURES = new URL("./fixtures/", import.meta.url);

Deno.test("each promise of the registry names a test that is there, and each bad input a fixture", async () => {
  const lines = (await Deno.readTextFile(PAGE)).split("\n").filter((line) => /^\| .*`/.test(line));
  const texts = new Map<string, string>();
  const shown = new Set<string>();
  let promises = 0;
  for (const line of lines) {
    const cells = line.split(" | ");
    const file = cells.length === 3 ? cells[2].replace(/ \|$/, "") : undefined;
    if (file === undefined) {
      for (const [, name] of cells[1].matchAll(/`([^`]+)`/g)) {
        assert(Deno.statSync(new URL(`${name}/case.json`, FIXTURES)).isFile, name);
        shown.add(name);
      }
      continue;
    }
    const name = /^`([^`]+)`$/.exec(cells[1])?.[1];
    assert(name, `no test in: ${line}`);
    if (!texts.has(file)) texts.set(file, await Deno.readTextFile(`${PROJECT_DIR}/${file}`));
    assert(texts.get(file)!.includes(name), `no test in ${file} is called: ${name}`);
    promises++;
  }
  assert(promises > 40 && shown.size > 20, `${promises} promises, ${shown.size} fixtures`);
});

Deno.test("each fixture says what it is about", () => {
  for (const { name } of Deno.readDirSync(FIXTURES)) {
    const { about } = JSON.parse(Deno.readTextFileSync(new URL(`${name}/case.json`, FIXTURES)));
    assertEquals(typeof about, "string", name);
  }
});
