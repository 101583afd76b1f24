/** What the stack takes from supabase/config.toml, with the CLI's defaults for what is not there. */
import { CommandError } from "../command/errors.ts";
import { parse } from "@std/toml/parse.js";
import { projectPath } from "./project.ts";

export interface Config {
  projectId: string;
  api: { port: number; schemas: string[]; maxRows: number };
  db: { port: number };
  storage: { fileSizeLimit: number };
  auth: {
    siteUrl: string;
    additionalRedirectUrls: string[];
    jwtExpiry: number;
    enableSignup: boolean;
    minimumPasswordLength: number;
    enableConfirmations: boolean;
  };
  /** What `[functions.<name>]` says; a function without an entry has the defaults. */
  functions: Record<string, FunctionConfig>;
}

export interface FunctionConfig {
  enabled: boolean;
  verifyJwt: boolean;
  /** Relative to the folder `supabase`. */
  importMap?: string;
  entrypoint?: string;
}

type Table = Record<string, unknown>;

/** Reads the checkout's configuration. Throws with the file's name when it cannot be parsed. */
export async function loadConfig(file = projectPath("supabase/config.toml")): Promise<Config> {
  const text = await Deno.readTextFile(file);
  let root: Table;
  try {
    root = (parse as (text: string) => Table)(text);
  } catch (error) {
    throw new CommandError(`${file}: ${error instanceof Error ? error.message : error}`);
  }
  const api = table(root.api);
  const auth = table(root.auth);
  return {
    projectId: String(root.project_id ?? "supabase"),
    api: {
      port: Number(api.port ?? 54321),
      schemas: (api.schemas ?? ["public", "graphql_public"]) as string[],
      maxRows: Number(api.max_rows ?? 1000),
    },
    db: { port: Number(table(root.db).port ?? 54322) },
    storage: { fileSizeLimit: parseSize(table(root.storage).file_size_limit ?? "50MiB") },
    auth: {
      siteUrl: String(auth.site_url ?? "http://127.0.0.1:3000"),
      additionalRedirectUrls: (auth.additional_redirect_urls ?? []) as string[],
      jwtExpiry: Number(auth.jwt_expiry ?? 3600),
      enableSignup: auth.enable_signup !== false,
      minimumPasswordLength: Number(auth.minimum_password_length ?? 6),
      enableConfirmations: table(auth.email).enable_confirmations === true,
    },
    functions: Object.fromEntries(
      Object.entries(table(root.functions)).map((
        [name, value],
      ) => [name, functionConfig(table(value))]),
    ),
  };
}

/** The defaults of a function that config.toml says nothing of. */
export function functionConfig(value: Table = {}): FunctionConfig {
  return {
    enabled: value.enabled !== false,
    verifyJwt: value.verify_jwt !== false,
    importMap: text(value.import_map),
    entrypoint: text(value.entrypoint),
  };
}

/** Bytes: a number, or a text such as `50MiB`, `5 MB`, `1g`. Units are powers of 1024, as in the CLI. */
export function parseSize(value: unknown): number {
  if (typeof value === "number") return value;
  const match = /^([\d.]+)\s*([kmgtp]?)(i?b)?$/i.exec(String(value).trim());
  if (!match) throw new Error(`Not a size: ${value}`);
  return Math.round(Number(match[1]) * 1024 ** " kmgtp".indexOf(match[2].toLowerCase() || " "));
}

function table(value: unknown): Table {
  return typeof value === "object" && value !== null ? value as Table : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
