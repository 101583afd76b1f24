// TypeScript with Deno's own names.
const config: { name?: string } = JSON.parse(
  Deno.readTextFileSync(Deno.env.get("STOWAGE_CONFIG")!),
);
Deno.writeTextFileSync(
  `${Deno.env.get("STOWAGE_OUTPUT_DIR")}/result.json`,
  JSON.stringify({ hello: config.name }),
);
console.log("deno", typeof Deno.version.deno);
