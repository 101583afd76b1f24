import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "../../testing/assert.ts";
import { CommandError } from "../../command/errors.ts";
import { ConfigError, readConfig } from "../config.ts";
import { openWorkDir } from "../work_dir.ts";

const GOOD = { SUPABASE_URL: "http://127.0.0.1:54321/", SUPABASE_SECRET_KEY: "sb_secret_x" };

function jwt(role: string): string {
  return ["{}", JSON.stringify({ role }), "x"].map((part) => btoa(part)).join(".");
}

Deno.test("defaults, then the environment, then flags", () => {
  const plain = readConfig([], GOOD)!;
  assertEquals(
    [plain.url, plain.sandbox, plain.concurrency, plain.leaseMs, plain.mode],
    ["http://127.0.0.1:54321", "auto", 2, 60_000, "serve"],
  );
  assert(
    plain.id.length > 8 && plain.id !== readConfig([], GOOD)!.id,
    "each executor has its own id",
  );
  const env = { ...GOOD, STOWAGE_CONCURRENCY: "7", STOWAGE_LEASE: "5" };
  const config = readConfig(["--concurrency", "9", "--drain"], env)!;
  assertEquals([config.concurrency, config.leaseMs, config.mode], [9, 5000, "drain"]);
  assertEquals(readConfig([], { ...GOOD, STOWAGE_DOCKER_IMAGE: "a:1" })!.dockerImage, "a:1");
  assertEquals(readConfig(["--docker-image", "b:2"], GOOD)!.dockerImage, "b:2");
});

Deno.test("help needs no configuration", () => {
  assertEquals(readConfig(["--help"], {}), null);
});

Deno.test("a service_role token is a secret key, too", () => {
  assertEquals(
    readConfig([], { ...GOOD, SUPABASE_SECRET_KEY: jwt("service_role") })!.secretKey,
    jwt("service_role"),
  );
});

const MISTAKES: [string, string[], Record<string, string>, string][] = [
  ["no URL", [], { SUPABASE_URL: "" }, "SUPABASE_URL is not set"],
  ["a URL that is none", [], { SUPABASE_URL: "localhost 54321" }, "is not a URL"],
  ["a URL of another protocol", [], { SUPABASE_URL: "postgresql://x" }, "http:// or https://"],
  ["no key", [], { SUPABASE_SECRET_KEY: "" }, "SUPABASE_SECRET_KEY is not set"],
  ["the publishable key", [], { SUPABASE_SECRET_KEY: "sb_publishable_x" }, "publishable"],
  ["the anonymous token", [], { SUPABASE_SECRET_KEY: jwt("anon") }, "role anon"],
  ["a shortened key", [], { SUPABASE_SECRET_KEY: "sb_secret_…" }, '"…" (U+2026) at position 11'],
  [
    "a key with a line break",
    [],
    { SUPABASE_SECRET_KEY: "sb_secret_x\n" },
    "a space or line break",
  ],
  ["a key that is none", [], { SUPABASE_SECRET_KEY: "hunter2" }, "neither"],
  ["an unknown sandbox", ["--sandbox", "chroot"], {}, "auto, docker, bubblewrap, trusted"],
  ["no number", ["--concurrency", "many"], {}, "--concurrency takes a number"],
  ["half a run", ["--concurrency", "1.5"], {}, "whole number"],
  ["a lease too short", ["--lease", "0.5"], {}, "--lease"],
  ["an unknown flag", ["--verbose"], {}, "Unknown option '--verbose'"],
  ["a flag without its value", ["--id"], {}, "'--id' takes a value"],
  ["two modes", ["--once", "--drain"], {}, "exclude each other"],
  ["an unknown log format", ["--log-format", "xml"], {}, "text or json"],
];

for (const [name, args, env, message] of MISTAKES) {
  Deno.test(`${name} is named`, () => {
    const error = assertThrows(() => readConfig(args, { ...GOOD, ...env }), CommandError);
    assertStringIncludes(error.message, message);
    assert(!error.message.includes("hunter2"), "a key is never repeated");
  });
}

Deno.test("the program explains itself and ends with 2 when it is not configured", async () => {
  const run = (args: string[], env: Record<string, string>) =>
    new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", fileURLToPath(new URL("../main.ts", import.meta.url)), ...args],
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH")!, ...env },
      stdout: "piped",
      stderr: "piped",
    }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  const help = await run(["--help"], {});
  assertEquals(help.code, 0);
  assertStringIncludes(text(help.stdout), "--sandbox NAME");
  const bad = await run([], {});
  assertEquals([bad.code, text(bad.stderr).split(";")[0]], [
    2,
    "executor: SUPABASE_URL is not set",
  ]);
});

Deno.test("a folder too deep for the sockets below it is refused at start, and left as it was", async () => {
  const parent = await Deno.makeTempDir();
  const deep = join(parent, "x".repeat(60));
  try {
    await Deno.mkdir(deep);
    await assertRejects(() => openWorkDir(deep), ConfigError, "bytes too long for Unix sockets");
    assertEquals([...Deno.readDirSync(deep)], []);
    const workDir = await openWorkDir(parent);
    await workDir.close();
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
});
