// Asks for each URL of its configuration in the ways that programs do, and prints what came back.
const fs = require("node:fs");
const modules = { "http:": require("node:http"), "https:": require("node:https") };
const { urls } = JSON.parse(fs.readFileSync(process.env.STOWAGE_CONFIG, "utf8"));
const get = (url) =>
  new Promise((resolve) =>
    modules[new URL(url).protocol].get(url, (response) => {
      let text = "";
      response.on("data", (chunk) => text += chunk);
      response.on("end", () => resolve(`${response.statusCode} ${text.trim()}`));
    }).on("error", (error) => resolve(`error ${error.message}`))
  );
const fetched = async (url) => {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    return `${response.status} ${(await response.text()).trim()}`;
  } catch (error) {
    return `error ${error.cause?.message ?? error.message}`;
  }
};
(async () => {
  const results = {};
  for (const [name, url] of Object.entries(urls)) {
    results[name] = { request: await get(url), fetch: await fetched(url) };
  }
  console.log(JSON.stringify(results));
  process.exit(0);
})();
