import { z } from "zod";
import { MAX_MEMORY_MEGABYTES, MIN_MEMORY_MEGABYTES } from "../limits.ts";
import { isSafePath } from "../safe_path.ts";
import { compileRange } from "../registry/ranges.ts";
import { MAX_VERSION_LENGTH, SEMVER } from "../semver.ts";

/** Where the manifest of an archive may be, exactly one of them. */
export const MANIFEST_NAMES = ["manifest.json", "manifest.yaml", "manifest.yml"] as const;

export const PERMISSION_TYPES = [
  "storage",
  "network",
  "database",
  "api",
  "system",
  "custom",
] as const;

const line = (max: number) =>
  z.string().trim().min(1).max(max).regex(/^[^\p{Cc}]*$/u, "must be one line of text");

const relativePath = z.string().max(512).refine(isSafePath, {
  error: 'must be a relative path inside the archive, without ".." and without a leading "/"',
});

const version = z.string({
  error: (issue) =>
    typeof issue.input === "number"
      ? 'must be text: put the version in quotes, as in "1.0.0"'
      : undefined,
}).max(MAX_VERSION_LENGTH).regex(SEMVER, "must be a semantic version such as 1.4.0");

/** As npm reads them, whatever runs the app. */
const runtimeRange = z.string({
  error: (issue) =>
    typeof issue.input === "number" ? "must be text: put the version in quotes" : undefined,
}).min(1).max(128).refine(
  (text) => compileRange(text) !== null,
  "must be a version of the runtime, or a range of them as npm reads it, such as 22 or >=20 <23",
);

/** A version or range in a registry. Nothing that reads a path, a URL or a repository. */
const range = z.string({
  error: (issue) =>
    typeof issue.input === "number" ? "must be text: put the version in quotes" : undefined,
}).min(1).max(128).regex(
  /^(npm:(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*@)?[0-9A-Za-z^~<>=|.*+ -]+$/,
  "must be a version or a range of versions, such as ^1.4.0; paths, URLs and repositories are not taken",
);

const packageName = z.string().max(214).regex(
  /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*$/,
  "must be the name of a package",
);

const MEMORY_ERROR =
  `must be megabytes between ${MIN_MEMORY_MEGABYTES} and ${MAX_MEMORY_MEGABYTES}, as a number or as text such as "256MB"`;
const MEMORY_TEXT = /^([0-9]{1,6}) ?(M|MB|MiB|G|GB|GiB)?$/;

/** Megabytes of `256`, `"256MB"`, `"256M"`, `"1GB"`; NaN if it is none of these. */
export function memoryMegabytes(value: number | string): number {
  if (typeof value === "number") return value;
  const match = MEMORY_TEXT.exec(value);
  if (!match) return NaN;
  return Number(match[1]) * (match[2]?.startsWith("G") ? 1024 : 1);
}

const memory = z.union([
  z.int({ error: MEMORY_ERROR }).min(MIN_MEMORY_MEGABYTES, MEMORY_ERROR)
    .max(MAX_MEMORY_MEGABYTES, MEMORY_ERROR),
  z.string().regex(MEMORY_TEXT, { error: MEMORY_ERROR, abort: true }).refine((text) => {
    const megabytes = memoryMegabytes(text);
    return megabytes >= MIN_MEMORY_MEGABYTES && megabytes <= MAX_MEMORY_MEGABYTES;
  }, MEMORY_ERROR),
], { error: MEMORY_ERROR });

const backend = z.strictObject({
  type: z.enum(["node", "deno"]).describe("What runs the entrypoint."),
  version: runtimeRange.optional().describe(
    "Versions of the runtime that the app runs on, as npm reads ranges: 22, >=20, 20 || 22. Where there is another, it is not run.",
  ),
  entrypoint: relativePath.default("index.js").describe("File in the archive that a run starts."),
  package_manager: z.enum(["pnpm", "npm"]).default("pnpm"),
  dependencies: z.record(packageName, range).optional().describe(
    "Packages by name, with their ranges.",
  ),
});

const frontend = z.strictObject({
  type: z.string().max(63).regex(
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/,
    "must be a lower-case word such as static",
  )
    .describe("What the frontend is made with."),
  entrypoint: relativePath.default("index.html").describe(
    "File in the archive that is shown first.",
  ),
  assets: z.array(relativePath).max(1000).optional().describe(
    "Files and folders that the frontend needs.",
  ),
});

const permission = z.strictObject({
  type: z.enum(PERMISSION_TYPES),
  scope: line(500).describe(
    "What the permission is for; for network host, host:port, *.domain or a public address.",
  ),
  required: z.boolean().default(true).describe("Whether the app is of no use without it."),
  description: line(2000).optional().describe("Why the app asks for it."),
});

const config = z.strictObject({
  timeout: z.number().positive().max(86_400).optional().describe("Seconds that a run may take."),
  memory_limit: memory.optional().describe(
    `Megabytes, at least ${MIN_MEMORY_MEGABYTES}, as a number or as text such as "256MB".`,
  ),
  cpu_limit: z.number().positive().max(64).optional().describe("Processor cores, such as 0.5."),
});

export const manifestSchema = z.strictObject({
  name: line(100),
  version: version.describe(
    "Semantic version of the app; the version that the archive is uploaded for.",
  ),
  description: z.string().max(5000).optional(),
  author: line(200).optional(),
  type: z.enum(["backend", "frontend", "both"]),
  runtime: z.strictObject({ backend: backend.optional(), frontend: frontend.optional() }),
  permissions: z.array(permission).max(200).optional(),
  config: config.optional(),
});

/** A manifest that was found valid, defaults filled in. */
export type Manifest = z.output<typeof manifestSchema>;
