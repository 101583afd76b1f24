/** Every bad input over HTTP: a named error, nothing left behind, and a correct attempt that works. */
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { buildArchive } from "./archives.ts";
import { loadFixtures } from "./fixtures.ts";
import {
  call,
  createApp,
  declare,
  fileRows,
  objectNames,
  test,
  upload,
  withWorld,
} from "./world.ts";

const world = withWorld();
const fixtures = await loadFixtures();

const GOOD = buildArchive({
  format: "zip",
  entries: [{ name: "manifest.json", manifest: true }, {
    name: "index.js",
    text: "console.log(1)\n",
  }],
});

for (const { name, upload: declared, content, expect } of fixtures) {
  test(`refuses ${name}, leaves nothing, and takes a correct file then`, async () => {
    const appId = await createApp(world().publisher, world().companyId);
    const begin = await declare(world(), content, { ...declared, app_id: appId });
    const answer = await upload(world(), world().publisher, begin, content);
    assertEquals(
      [answer.status, answer.body.code],
      [expect.status, expect.code],
      JSON.stringify(answer.body),
    );
    if (expect.errors) assertNames(answer.body.errors, expect.errors);

    assertEquals(await objectNames(world(), appId), []);
    assertEquals(await fileRows(world(), appId), []);
    const { data: uploads } = await world().service.from("app_uploads").select().eq(
      "app_id",
      appId,
    );
    assertEquals(uploads!.map(({ status, error_code }) => [status, error_code]), [[
      "failed",
      expect.code,
    ]]);
    const { data: version } = await world().service.from("app_versions").select().eq(
      "app_id",
      appId,
    ).single();
    assertEquals([version.status, version.manifest], ["draft", null]);

    const right = await declare(world(), GOOD, { app_id: appId, file_name: declared.file_name });
    const retry = await upload(world(), world().publisher, right, GOOD);
    assertEquals(retry.status, 200, JSON.stringify(retry.body));
    assertEquals(await objectNames(world(), appId), [`app_${appId}/1.0.0/${declared.file_name}`]);
  });
}

for (
  const { name, upload: declared, content, expect } of fixtures.filter(({ upload }) =>
    upload.file_type === "manifest"
  )
) {
  test(`names the mistakes of ${name} on validation`, async () => {
    const format = declared.content_type === "application/json" ? "json" : "yaml";
    const answer = await call(world(), world().publisher, `manifests/validate?format=${format}`, {
      body: content,
    });
    // A text that is too large is refused before it is read.
    if (expect.errors?.[0].code === "too_large") return assertEquals(answer.status, 413);
    assertEquals([answer.status, answer.body.valid, answer.body.manifest], [200, false, null]);
    assertNames(answer.body.errors, expect.errors!);
  });
}

type Named = { code: string; path: string };

function assertNames(errors: Named[], expected: Named[]): void {
  const names = (list: Named[]) => list.map(({ code, path }) => `${path}: ${code}`).sort();
  assertEquals(names(errors), names(expected));
  assert(errors.every((error) => "pointer" in error && "message" in error));
}
