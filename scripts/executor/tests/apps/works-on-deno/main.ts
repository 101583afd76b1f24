// TypeScript with Deno's own names.
const config: { name?: string } = JSON.parse(
  Deno.readTextFileSync(Deno.env.get("STOWAGE_CONFIG")!),
);
Deno.writeTextFileSync(
  `${Deno.env.get("STOWAGE_OUTPUT_DIR")}/result.json`,
  JSON.stringify({ hello: config.name }),
);
// Waits, and neither imports nor exports: a module all the same.
for await (const line of ["a module"]) console.error(line);
console.log("deno", typeof Deno.version.deno);
