import { dirname } from "node:path";
import { assertEquals, assertMatch, assertRejects } from "../../testing/assert.ts";
import { createUser, startTestStack, TEST_PASSWORD, type TestUser } from "../../testing/stack.ts";
import { CommandError } from "../../command/errors.ts";
import { publish } from "../main.ts";
import { packApp } from "../pack.ts";

const MANIFEST = {
  name: "Counter",
  version: "1.0.0",
  type: "backend",
  runtime: { backend: { type: "node" } },
};

/** A folder with these files; contents that are no text are written as JSON. */
async function withFolder(
  files: Record<string, unknown>,
  work: (dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "stowage app " });
  try {
    for (const [name, content] of Object.entries(files)) {
      await Deno.mkdir(dirname(`${dir}/${name}`), { recursive: true });
      const text = typeof content === "string" ? content : JSON.stringify(content, null, 2);
      await Deno.writeTextFile(`${dir}/${name}`, text);
    }
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const APP = { "manifest.json": MANIFEST, "index.js": "console.log(1);" };

Deno.test("a folder is packed the same each time, without what is no part of the app", async () => {
  const more = {
    ...APP,
    "lib/part.js": "",
    ".env": "SECRET=1",
    "node_modules/left/index.js": "",
    "lib/.cache/x": "",
  };
  await withFolder(more, async (dir) => {
    const packed = await packApp(dir);
    assertEquals(packed.files, ["index.js", "lib/part.js", "manifest.json"]);
    assertEquals(packed.leftOut, [".env", "lib/.cache", "node_modules"]);
    assertEquals([packed.name, packed.version], ["Counter", "1.0.0"]);
    await Deno.utime(`${dir}/index.js`, 1, 1);
    assertEquals((await packApp(dir)).checksum, packed.checksum);
  });
});

Deno.test("a folder that is no app is refused, each mistake named", async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ "index.js": "" }, /has no manifest: write a manifest\.json/],
    [{ ...APP, "manifest.yaml": "" }, /more than one manifest: manifest\.json, manifest\.yaml/],
    [
      { "manifest.json": { ...MANIFEST, version: "1", typ: "backend" } },
      /manifest\.json is not valid:\n {2}\d+:\d+ version: must be a semantic version.*\n {2}\d+:\d+ typ: /,
    ],
  ];
  for (const [files, message] of cases) {
    await withFolder(files, async (dir) => {
      assertMatch((await assertRejects(() => packApp(dir), Error)).message, message);
    });
  }
  await withFolder(APP, async (dir) => {
    await Deno.symlink("/etc/hostname", `${dir}/host`);
    await assertRejects(() => packApp(dir), Error, "host is a link or a special file");
    await assertRejects(() => packApp(`${dir}/nowhere`), Error, "nowhere is no folder");
    await assertRejects(() => packApp(`${dir}/index.js`), Error, "index.js is no folder");
  });
});

Deno.test("mistakes in the command's use are named", async () => {
  const url = { SUPABASE_URL: "http://127.0.0.1:54321" };
  const user = ["--email", "a@example.com", "--password", "x"];
  await withFolder(APP, async (dir) => {
    const cases: [string[], Record<string, string>, string][] = [
      [[], {}, "Name the folder of the app."],
      [[dir, dir, "--app", "a"], {}, "is too many"],
      [[dir], {}, "--app is missing"],
      [[dir, "--app", "a", "--nap"], {}, "Unknown option '--nap'"],
      [[dir, "--app", "a", "--email", "a@example.com"], url, "--password is missing"],
      [[dir, "--app", "a"], { SUPABASE_URL: "ftp://x" }, "SUPABASE_URL must begin with http"],
      [[dir, "--app", "a"], url, "Set SUPABASE_SECRET_KEY, or sign in"],
      [[dir, "--app", "a", ...user], url, "Set SUPABASE_PUBLISHABLE_KEY"],
      [
        [dir, "--app", "a"],
        { ...url, SUPABASE_SECRET_KEY: "sb_publishable_x" },
        "SUPABASE_SECRET_KEY holds a publishable key",
      ],
      [
        [dir, "--app", "a"],
        { ...url, SUPABASE_SECRET_KEY: "sb_secret_…" },
        'SUPABASE_SECRET_KEY has "…" (U+2026) at position 11',
      ],
      [
        [dir, "--app", "a", ...user],
        { ...url, SUPABASE_PUBLISHABLE_KEY: "sb_secret_x" },
        "SUPABASE_PUBLISHABLE_KEY holds a secret key",
      ],
    ];
    for (const [args, env, message] of cases) {
      await assertRejects(() => publish(args, env, () => {}), CommandError, message);
    }
  });
  const told: string[] = [];
  await publish(["--help"], {}, (line) => told.push(line));
  assertMatch(told.join("\n"), /^Usage: npm run publish:app -- .*--create COMPANY/s);
});

Deno.test("an app is made, a version released, repeated, and refused where it must be", async () => {
  const stack = await startTestStack({ seed: false });
  try {
    const run = async (who: TestUser | null, dir: string, ...args: string[]) => {
      const told: string[] = [];
      const signIn = who ? ["--email", who.email, "--password", TEST_PASSWORD] : [];
      await publish([dir, ...args, ...signIn], {
        SUPABASE_URL: stack.apiUrl,
        SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
        SUPABASE_SECRET_KEY: stack.secretKey,
      }, (line) => told.push(line));
      return told.at(-1)!;
    };
    const refuse = (message: string, who: TestUser | null, dir: string, ...args: string[]) =>
      assertRejects(() => run(who, dir, ...args), Error, message);
    const [ada, alan, mallory] = await Promise.all(
      [createUser(stack), createUser(stack), createUser(stack)],
    );
    for (const [user, slug] of [[ada, "north"], [ada, "south"], [mallory, "east"]] as const) {
      const { error } = await user.client.rpc("create_company", { slug, name: slug });
      assertEquals(error, null);
    }
    const { data: north } = await ada.client.from("companies").select().eq("slug", "north")
      .single();
    const { error } = await ada.client.from("company_members")
      .insert({ company_id: north.id, user_id: alan.id, role: "member" });
    assertEquals(error, null);

    await withFolder(APP, async (dir) => {
      await refuse("There is no app counter", ada, dir, "--app", "counter");
      await refuse("no company east among yours", ada, dir, "--app", "counter", "--create", "east");
      assertMatch(
        await run(ada, dir, "--app", "counter", "--create", "north", "--draft"),
        /counter 1\.0\.0 is a draft/,
      );
      await refuse("Owners and admins of the publisher upload files. (forbidden)", alan, dir, ...[
        "--app",
        "counter",
      ]);
      await refuse("There is no app counter", mallory, dir, "--app", "counter");
      assertMatch(await run(ada, dir, "--app", "counter"), /counter 1\.0\.0 is released \(app/);
      assertMatch(await run(null, dir, "--app", "counter"), /released already, with these very/);
      // Who sees another company's app of that name makes one of their own.
      assertMatch(
        await run(null, dir, "--app", "counter", "--create", "east"),
        /counter 1\.0\.0 is released \(app/,
      );
      const { data: apps } = await mallory.client.from("applications").select("slug");
      assertEquals(apps, [{ slug: "counter" }]);
      await Deno.writeTextFile(`${dir}/index.js`, "console.log(2);");
      await refuse("Version 1.0.0 is published", ada, dir, "--app", "counter");

      // Two companies may have an app of the same name.
      await Deno.writeTextFile(
        `${dir}/manifest.json`,
        JSON.stringify({ ...MANIFEST, version: "2.0.0" }),
      );
      const south = await ada.client.from("companies").select().eq("slug", "south").single();
      const other = await ada.client.from("applications")
        .insert({ slug: "counter", name: "Other", publisher_company_id: south.data.id });
      assertEquals(other.error, null);
      await refuse("may be any of north/counter, south/counter", ada, dir, "--app", "counter");
      assertMatch(await run(ada, dir, "--app", "south/counter"), /counter 2\.0\.0 is released/);

      await Deno.remove(`${dir}/index.js`);
      await refuse("(entrypoint_missing)", ada, dir, "--app", "north/counter");
    });
    const { data } = await ada.client.from("app_versions").select("version, status").order(
      "version",
    ).order("status");
    assertEquals(data, [
      { version: "1.0.0", status: "published" },
      { version: "2.0.0", status: "draft" },
      { version: "2.0.0", status: "published" },
    ]);
    await withFolder(APP, async (dir) => {
      await assertRejects(
        () =>
          publish([dir, "--app", "counter", "--email", ada.email, "--password", "wrong"], {
            SUPABASE_URL: stack.apiUrl,
            SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
          }, () => {}),
        Error,
        `Signing in as ${ada.email} at ${stack.apiUrl}: Invalid login credentials`,
      );
    });
  } finally {
    await stack.stop();
  }
});
