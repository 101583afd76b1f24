// The same on Deno.
export {};
const { urls } = JSON.parse(Deno.readTextFileSync(Deno.env.get("STOWAGE_CONFIG")!));
const results: Record<string, unknown> = {};
for (const url of urls) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    results[url] = { fetch: `${response.status} ${(await response.text()).trim()}` };
  } catch (error) {
    results[url] = { fetch: `error ${(error as Error).message}` };
  }
}
console.log(JSON.stringify(results));
