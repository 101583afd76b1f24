// The same on Deno.
export {};
const config = JSON.parse(Deno.readTextFileSync(Deno.env.get("STOWAGE_CONFIG")!));
const results: Record<string, unknown> = {};
for (const [name, url] of Object.entries(config.urls as Record<string, string>)) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    results[name] = { fetch: `${response.status} ${(await response.text()).trim()}` };
  } catch (error) {
    results[name] = { fetch: `error ${(error as Error).message}` };
  }
}
console.log(JSON.stringify(results));
