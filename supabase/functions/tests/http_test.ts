import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { manifestJsonSchema } from "../_shared/manifest/json_schema.ts";
import { GOOD_MANIFEST } from "./archives.ts";
import { call, test, withWorld } from "./world.ts";

const world = withWorld();

const PROTECTED = [
  ["uploads", "POST"],
  [`uploads/${crypto.randomUUID()}`, "GET"],
  [`uploads/${crypto.randomUUID()}`, "DELETE"],
  [`uploads/${crypto.randomUUID()}/complete`, "POST"],
  ["downloads", "POST"],
  ["manifests/validate", "POST"],
] as const;

const REFUSED = "The token or key is not valid here, or it has expired.";

test("nobody, a publishable key, the anonymous key and a forged token are 401 everywhere", async () => {
  const forged = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIiwicm9sZSI6InNlcnZpY2Vfcm9sZSJ9.c2lnbmF0dXJl";
  for (const [path, method] of PROTECTED) {
    for (
      const who of [null, world().stack.publishableKey, world().stack.anonKey, "sb_secret_guessed"]
    ) {
      const { status, body, headers } = await call(world(), who, path, { method });
      const isRefused = who === "sb_secret_guessed";
      assertEquals([status, body.code, body.detail, headers.get("www-authenticate")], [
        401,
        "unauthenticated",
        isRefused ? REFUSED : undefined,
        isRefused ? 'Bearer error="invalid_token"' : "Bearer",
      ], `${who} ${path}`);
    }
    for (const token of [forged, world().stack.anonKey, "nonsense"]) {
      const headers = { authorization: `Bearer ${token}` };
      const { status, body } = await call(world(), null, path, { method, headers });
      const detail = token === world().stack.anonKey ? undefined : REFUSED;
      assertEquals([status, body.detail], [401, detail], `${token} ${path}`);
    }
  }
});

test("a preflight is answered for every function, without a key", async () => {
  for (const [path, method] of PROTECTED) {
    const response = await fetch(`${world().stack.apiUrl}/functions/v1/${path}`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example.com",
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,apikey,x-client-info",
      },
    });
    await response.body?.cancel();
    assert(response.ok, `${response.status}`);
    assertEquals(response.headers.get("access-control-allow-origin"), "*");
    assert(response.headers.get("access-control-allow-methods")!.includes(method));
    for (const name of ["authorization", "content-type", "apikey", "x-client-info"]) {
      assert(response.headers.get("access-control-allow-headers")!.includes(name), name);
    }
  }
});

test("unknown paths are 404, other methods 405 with those that are taken", async () => {
  assertEquals((await call(world(), world().publisher, "uploads/a/b/c")).status, 404);
  const { status, headers } = await call(world(), world().publisher, "downloads", {
    method: "GET",
  });
  assertEquals([status, headers.get("allow")], [405, "POST, OPTIONS"]);
});

test("bodies that are no JSON, of another type or too large are refused as such", async () => {
  const json = { "content-type": "application/json" };
  const cases = [
    [{ body: "{", headers: json }, 400],
    [{ body: "[]", headers: json }, 400],
    [{ body: "a=b", headers: { "content-type": "application/x-www-form-urlencoded" } }, 415],
    [{ body: "x".repeat(300 * 1024), headers: json }, 413],
  ] as const;
  for (const [options, expected] of cases) {
    for (const path of ["uploads", "downloads"]) {
      assertEquals(
        (await call(world(), world().publisher, path, options)).status,
        expected,
        `${path} ${expected}`,
      );
    }
  }
});

test("a manifest is validated as JSON and as YAML, by content type or format", async () => {
  const text = JSON.stringify(GOOD_MANIFEST);
  for (const type of ["application/json", "application/yaml", "text/yaml; charset=utf-8"]) {
    const { status, body } = await call(world(), world().publisher, "manifests/validate", {
      body: text,
      headers: { "content-type": type },
    });
    assertEquals([status, body.valid, body.manifest.name, body.errors], [200, true, "Fixture", []]);
  }
  const outsider = await call(world(), world().outsider, "manifests/validate?format=json", {
    body: text,
  });
  assertEquals(outsider.body.valid, true, "no company role is needed");
  const plain = { body: text, headers: { "content-type": "text/plain" } };
  assertEquals((await call(world(), world().publisher, "manifests/validate", plain)).status, 415);
});

test("the manifest's schema is served to everybody, and again only when it changed", async () => {
  const { status, headers, body } = await call(world(), null, "manifests/schema", {
    method: "GET",
  });
  assertEquals([status, headers.get("content-type")], [200, "application/schema+json"]);
  assertEquals(body, JSON.parse(JSON.stringify(manifestJsonSchema())));
  const again = await call(world(), null, "manifests/schema", {
    method: "GET",
    headers: { "if-none-match": headers.get("etag")! },
  });
  assertEquals([again.status, again.body], [304, ""]);
});

test("nothing of the callers' making was logged as a fault, and no secret at all", () => {
  const text = world().logs.join("\n");
  assert(!text.includes('"level":"error"'), text);
  for (
    const secret of [
      world().stack.secretKey,
      world().stack.serviceRoleKey,
      world().publisher.accessToken,
    ]
  ) {
    assert(!text.includes(secret));
  }
  return Promise.resolve();
});
