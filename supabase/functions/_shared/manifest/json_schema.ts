import { z } from "zod";
import { SCOPE_PATTERN } from "./network_scopes.ts";
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
    allOf: [
      ...(["backend", "frontend"] as const).map((side) => ({
        if: { properties: { type: { enum: [side, "both"] } }, required: ["type"] },
        then: { properties: { runtime: { required: [side] } } },
      })),
      {
        properties: {
          permissions: {
            items: {
              if: { properties: { type: { const: "network" } }, required: ["type"] },
              then: { properties: { scope: { pattern: SCOPE_PATTERN } } },
            },
          },
        },
      },
    ],
  };
}

/** The text as it is served and as the copy in docs/ is kept. */
export function manifestJsonSchemaText(): string {
  return JSON.stringify(manifestJsonSchema(), null, 2) + "\n";
}
