import { z } from "zod";
import { assert, assertEquals } from "../../../scripts/testing/assert.ts";
import { AppError, CATALOGUE, type ErrorCode } from "../_shared/errors.ts";
import { MAX_DETAIL_LENGTH, MAX_MISTAKE_LENGTH, MIN_MEMORY_MEGABYTES } from "../_shared/limits.ts";
import { manifestJsonSchemaText } from "../_shared/manifest/json_schema.ts";
import { memoryMegabytes } from "../_shared/manifest/schema.ts";
import { validateManifest } from "../_shared/manifest/validate.ts";
import { parseInput } from "../_shared/body.ts";
import type { Environment } from "../_shared/environment.ts";
import { mistakesOf } from "../_shared/mistakes.ts";
import { problemResponse, toAppError } from "../_shared/problem.ts";
import { createHandler, openRoute } from "../_shared/serve.ts";
import { publicUrl } from "../_shared/public_url.ts";
import { bucketOfPath } from "../_shared/storage_paths.ts";
import {
  fromDatabase,
  fromStorage,
  isExistingObject,
  isMissingObject,
} from "../_shared/upstream_errors.ts";
import { crc32, crc32InScript } from "../uploads/content/crc32.ts";

Deno.test("a problem says the same status as the wire, and nothing of its cause", async () => {
  for (const code of Object.keys(CATALOGUE) as ErrorCode[]) {
    const response = problemResponse(
      new AppError(code, "told", { cause: new Error("hunter2") }),
      "id",
    );
    const text = await response.text();
    const body = JSON.parse(text);
    assertEquals([body.status, body.code, body.title], [
      response.status,
      code,
      CATALOGUE[code].title,
    ]);
    assertEquals(CATALOGUE[code].fault === "ours", response.status >= 500);
    assertEquals(response.headers.get("content-type"), "application/problem+json");
    assert(!text.includes("hunter2"));
  }
});

Deno.test("an error does not grow with what it repeats", async () => {
  const long = "\u{1f9ca}".repeat(100_000);
  const known = z.strictObject({ known: z.record(z.string(), z.number()) });
  const result = known.safeParse({ known: { [long]: "" }, [long]: 1 }, { reportInput: true });
  const errors = mistakesOf(result.error!.issues).map(({ at: _, ...mistake }) => mistake);
  assertEquals(errors.map(({ code }) => code), ["invalid_type", "unrecognized_key"]);
  const answer = problemResponse(new AppError("invalid_request", long, { errors }), "id");
  const { detail, errors: told } = await answer.json();
  assert(detail.endsWith("\u{1f9ca}\ufffd…") && detail.length === MAX_DETAIL_LENGTH);
  for (const { message, path, pointer } of told) {
    for (const said of [message, path, pointer]) assert(said.length <= MAX_MISTAKE_LENGTH, said);
  }
});

Deno.test("mistakes are told in one line, in words that are no programmer's", () => {
  const schema = z.strictObject({
    config: z.record(z.string(), z.unknown()),
    limit: z.coerce.number().int().max(100),
    names: z.array(z.string()).min(1),
    sort: z.enum(["asc", "desc"]),
    title: z.string().min(3),
    version: z.string().regex(/^[0-9]$/, "must be a version"),
    gone: z.string(),
  }).refine(() => false, "Name one.");
  const given = { config: [], limit: "101", names: [], sort: "up", title: "x", version: "a" };
  const error = (value: unknown, of: z.ZodType) => {
    try {
      parseInput(value, of);
    } catch (error) {
      return (error as AppError).detail;
    }
  };
  assertEquals(
    error(given, schema),
    "config: must be an object; limit: must be at most 100; names: must have at least 1 entry; " +
      "sort: must be one of asc, desc; title: must have at least 3 characters; " +
      "version: must be a version; gone: This is required.",
  );
  assertEquals(error({}, z.object({}).refine(() => false, "Name one.")), "Name one.");
  assertEquals(error(1.5, z.int().positive()), "must be a whole number");
  assertEquals(error(0, z.int().positive()), "must be more than 0");
});

Deno.test("what nobody foresaw is internal, without its message", async () => {
  const response = problemResponse(toAppError(new Error("password=hunter2")), "id");
  assertEquals(response.status, 500);
  assert(!(await response.text()).includes("hunter2"));
});

Deno.test("the database's errors are named; what they say of hidden things is not repeated", () => {
  const of = (code: string, message = "row of company 7", details = "") =>
    fromDatabase({ code, message, details, hint: "" } as never);
  assertEquals([of("SW002").code, of("SW002").detail], ["not_found", undefined]);
  assertEquals([of("42501").code, of("42501").detail], ["forbidden", undefined]);
  assertEquals(of("SW001", "m", '{"field":"version"}').options.errors?.[0].pointer, "/version");
  assertEquals(of("PGRST303").code, "unauthenticated");
  for (const code of ["", "PGRST001", "08006", "57P03", "53300", "57014"]) {
    assertEquals(of(code).code, "unavailable", code);
  }
  assertEquals(of("XX000").code, "internal");
});

Deno.test("Storage's errors are told apart by both of their statuses", () => {
  assert(isMissingObject({ status: 400, statusCode: "404" }) && isMissingObject({ status: 404 }));
  assert(!isMissingObject({ status: 400, statusCode: "400" }) && !isMissingObject(null));
  assert(isExistingObject({ status: 400, statusCode: "409" }));
  assertEquals(fromStorage({ status: 400, statusCode: "413" }).code, "file_too_large");
  assertEquals(fromStorage({ status: 503, statusCode: "503" }).code, "unavailable");
  assertEquals(fromStorage(new TypeError("connection refused")).code, "unavailable");
  assertEquals(fromStorage({ status: 400, statusCode: "400" }).code, "internal");
});

Deno.test("signed URLs are under the address that the caller can reach", () => {
  const request = new Request("http://edge/downloads", {
    headers: {
      "x-forwarded-host": "127.0.0.1",
      "x-forwarded-port": "54321",
      "x-forwarded-proto": "http",
    },
  });
  const at = (url: string, own: string, configured?: string) =>
    publicUrl(url, request, { supabase: { url: own } as never, publicUrl: configured });
  const path = "/storage/v1/object/sign/b/x?token=t";
  assertEquals(at(`http://kong:8000${path}`, "http://kong:8000"), `http://127.0.0.1:54321${path}`);
  assertEquals(
    at(`https://p.supabase.co${path}`, "https://p.supabase.co"),
    `https://p.supabase.co${path}`,
  );
  assertEquals(at(`http://127.0.0.1:9${path}`, "http://127.0.0.1:9"), `http://127.0.0.1:9${path}`);
  assertEquals(
    at(`http://kong:8000${path}`, "http://kong:8000", "https://api.example.com"),
    `https://api.example.com${path}`,
  );
});

Deno.test("logs of runs and builds are in one bucket, all else is in the other", () => {
  assertEquals(bucketOfPath("app_1/runs/2/stdout.log"), "app-logs");
  assertEquals(bucketOfPath("app_1/builds/2/build.log"), "app-logs");
  assertEquals(bucketOfPath("app_1/runs/2/outputs/app.log"), "app-storage");
  assertEquals(bucketOfPath("app_1/1.0.0/app.zip"), "app-storage");
});

Deno.test("CRC-32 without the runtime's own is the same", () => {
  const bytes = new TextEncoder().encode("123456789");
  assertEquals(crc32InScript(bytes, 0), 0xcbf43926);
  assertEquals(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4), 0)), 0xcbf43926);
  assertEquals(
    crc32InScript(bytes.subarray(4), crc32InScript(bytes.subarray(0, 4), 0)),
    0xcbf43926,
  );
});

Deno.test("memory limits are megabytes, however they are written", () => {
  const values = [256, "256", "256MB", "256 M", "1GB", "2GiB"].map(memoryMegabytes);
  assertEquals(values, [256, 256, 256, 256, 1024, 2048]);
  assert(Number.isNaN(memoryMegabytes("lots")));
});

Deno.test("a manifest asks for no less memory than a run has, and is told so once", () => {
  const errorsOf = (memory_limit: unknown) => {
    const runtime = { backend: { type: "node", version: ">=20 <23" } };
    const manifest = { name: "a", version: "1.0.0", type: "backend", runtime };
    const text = JSON.stringify({ ...manifest, config: { memory_limit } });
    const result = validateManifest(new TextEncoder().encode(text), "json");
    return result.valid ? [] : result.errors.map(({ path, message }) => `${path}: ${message}`);
  };
  for (const taken of [MIN_MEMORY_MEGABYTES, `${MIN_MEMORY_MEGABYTES}MB`, "16GB"]) {
    assertEquals(errorsOf(taken), [], String(taken));
  }
  for (const refused of [MIN_MEMORY_MEGABYTES - 1, "63MB", "17GB", "9999999MB", "lots", {}]) {
    assertEquals(errorsOf(refused), [
      'config.memory_limit: must be megabytes between 64 and 16384, as a number or as text such as "256MB"',
    ]);
  }
});

Deno.test("the copy of the manifest's schema in docs is the one that is served", async () => {
  const copy = await Deno.readTextFile(
    new URL("../../../docs/manifest.schema.json", import.meta.url),
  );
  assertEquals(copy, manifestJsonSchemaText());
});

Deno.test("what goes on to its end, whoever waits, fails for reasons of its own", async () => {
  const fails = () => {
    gone.abort();
    throw new AppError("conflict");
  };
  let gone = new AbortController();
  const handler = createHandler("test", { supabase: { url: "http://localhost" } } as Environment, [
    openRoute("POST", "/lasting", fails, { lasting: true }),
    openRoute("POST", "/answer", fails),
  ]);
  const codes: string[] = [];
  for (const path of ["lasting", "answer"]) {
    gone = new AbortController();
    const request = new Request(`http://localhost/test/${path}`, {
      method: "POST",
      signal: gone.signal,
    });
    codes.push((await (await handler(request)).json()).code);
  }
  assertEquals(codes, ["conflict", "client_gone"]);
});
