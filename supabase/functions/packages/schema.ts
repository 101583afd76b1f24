import { z } from "zod";
import { parseInput } from "../_shared/body.ts";
import { isPackageName } from "../_shared/registry/names.ts";
import { isSemver } from "../_shared/semver.ts";

const name = z.string().refine(isPackageName, "must be the name of a namespace or a package");

/** What a publication says besides the YAML: query parameters, or fields of the form. */
const publicationSchema = z.strictObject({
  namespace: name.optional(),
  name: name.optional(),
  version: z.string().refine(isSemver, "must be a semantic version such as 1.4.0").optional(),
  visibility: z.enum(["private", "public"]).optional().describe("Of a new package."),
  status: z.enum(["draft", "published"]).default("published"),
  sha256: z.string().toLowerCase().regex(
    /^(sha256:)?[0-9a-f]{64}$/,
    "must be 64 hexadecimal digits",
  )
    .transform((text) => text.replace("sha256:", "")).optional().describe("Of the YAML."),
  dry_run: z.enum(["true", "false"]).default("false").transform((text) => text === "true"),
});

export type PublicationOptions = z.output<typeof publicationSchema>;

export function readOptions(fields: Iterable<[string, unknown]>): PublicationOptions {
  return parseInput(Object.fromEntries(fields), publicationSchema);
}

const page = {
  limit: z.coerce.number().int().min(1).max(100).default(20),
  offset: z.coerce.number().int().min(0).max(1_000_000).default(0),
};

const searchSchema = z.strictObject({
  q: z.string().max(200).default(""),
  namespace: name.optional(),
  kind: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "must be a lower-case word").optional(),
  ...page,
});

export type Search = z.output<typeof searchSchema>;

export function readSearch(url: URL): Search {
  return parseInput(Object.fromEntries(url.searchParams), searchSchema);
}

export function readPage(url: URL): { limit: number; offset: number } {
  return parseInput(Object.fromEntries(url.searchParams), z.strictObject(page));
}

export function readFormat(url: URL): "json" | "dot" | "mermaid" {
  const format = z.enum(["json", "dot", "mermaid"]).default("json");
  return parseInput(Object.fromEntries(url.searchParams), z.strictObject({ format })).format;
}

/** Why a version is deprecated or archived. */
export const reasonSchema = z.strictObject({ reason: z.string().trim().min(1).max(1000) });

const link = z.union([
  z.literal(""),
  z.string().max(2000).regex(/^https?:\/\/[^\s]+$/, "must be an http or https URL"),
]);

/** What can be said anew of a package without a new version. */
export const descriptionSchema = z.strictObject({
  description: z.string().trim().max(10_000),
  keywords: z.array(z.string().trim().min(1).max(50)).max(50),
  license: z.string().trim().max(200),
  homepage: link,
  repository: link,
  visibility: z.enum(["private", "public"]),
}).partial().refine((value) => Object.keys(value).length > 0, "Name what is to be changed.");

export const jobSchema = z.strictObject({ limit: z.int().min(1).max(100).default(20) });
