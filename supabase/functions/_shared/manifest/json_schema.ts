import { z } from "zod";
import { manifestSchema } from "./schema.ts";

/** The JSON Schema (2020-12) of what an author writes, made from the zod schema; for editors. */
export function manifestJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(manifestSchema, { io: "input", target: "draft-2020-12" }) as Record<
    string,
    unknown
  >;
  return {
    $schema: schema.$schema,
    title: "Stowage app manifest",
    description: "manifest.json, manifest.yaml or manifest.yml at the root of an app's archive.",
    ...schema,
    // What the validator checks between properties, said here in the schema's own words.
    allOf: (["backend", "frontend"] as const).map((side) => ({
      if: { properties: { type: { enum: [side, "both"] } }, required: ["type"] },
      then: { properties: { runtime: { required: [side] } } },
    })),
  };
}

/** The text as it is served and as the copy in docs/ is kept. */
export function manifestJsonSchemaText(): string {
  return JSON.stringify(manifestJsonSchema(), null, 2) + "\n";
}
