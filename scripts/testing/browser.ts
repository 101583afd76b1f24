/** A real browser, for what only a browser does: preflights, its own fetch, pages that are closed in the middle. */

const NAMES = ["chromium", "chromium-browser", "google-chrome"];
const DEADLINE_MS = 120_000;

/** The installed browser, or nothing. */
export function findBrowser(): string | undefined {
  const folders = (Deno.env.get("PATH") ?? "").split(":");
  return NAMES.flatMap((name) => folders.map((folder) => `${folder}/${name}`))
    .find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
}

/**
 * Opens a page and answers what it posts to `/result`. The page is `html` at the root of a server of its own, beside
 * `scripts` by their names; whatever it throws counts as its result `{ error }`.
 */
export async function runPage(
  browser: string,
  html: string,
  scripts: Record<string, string>,
  // deno-lint-ignore no-explicit-any -- the page says what it says
): Promise<any> {
  const result = Promise.withResolvers<unknown>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/result") {
      result.resolve(await request.json());
      return new Response();
    }
    if (pathname === "/") return new Response(html, { headers: { "content-type": "text/html" } });
    const script = scripts[pathname.slice(1)];
    return script === undefined
      ? new Response(null, { status: 404 })
      : new Response(script, { headers: { "content-type": "text/javascript" } });
  });
  const profile = await Deno.makeTempDir({ prefix: "stowage browser " });
  const child = new Deno.Command(browser, {
    args: [
      "--headless=new",
      // Tests run as root, too, and in containers without user namespaces.
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      `--user-data-dir=${profile}`,
      `http://127.0.0.1:${server.addr.port}/`,
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  const late = setTimeout(
    () => result.reject(new Error("the page said nothing in time")),
    DEADLINE_MS,
  );
  child.status.then(({ code }) => result.reject(new Error(`the browser ended with code ${code}`)));
  try {
    return await result.promise;
  } finally {
    clearTimeout(late);
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await child.status;
    await server.shutdown();
    await removePatiently(profile);
  }
}

/** The browser's helpers write to its profile a little longer than it lives. */
async function removePatiently(path: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    try {
      return await Deno.remove(path, { recursive: true });
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
