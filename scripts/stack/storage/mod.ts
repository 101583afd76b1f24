/**
 * The Storage HTTP API of the local stack: what supabase-js calls, answered as the platform's server answers it.
 *
 * `docs/storage-api.md` lists each call, what of it is compared with the real server, and where this one differs.
 */
import type { Pool } from "pg";
import { ANONYMOUS, createAuthenticator, type Identity, type KeyToRole, SERVICE } from "./auth.ts";
import { assertContentType, drain, type RequestContext, type Server } from "./context.ts";
import { Database } from "./database.ts";
import { errorResponse, errors, StorageError } from "./errors.ts";
import { FileStore } from "./files.ts";
import { UploadLocks } from "./resumable/locks.ts";
import { ResumableStore } from "./resumable/store.ts";
import { type Route, Router } from "./router.ts";
import { bucketRoutes } from "./routes/buckets.ts";
import { downloadRoutes } from "./routes/downloads.ts";
import { listingRoutes } from "./routes/listing.ts";
import { objectRoutes } from "./routes/objects.ts";
import { relocationRoutes } from "./routes/relocation.ts";
import { resumableRoutes } from "./routes/resumable.ts";
import { serviceRoutes } from "./routes/service.ts";
import { signingRoutes } from "./routes/signing.ts";
import { UrlSigner } from "./signing.ts";

export interface StorageOptions {
  /** Connections of a login role that may become anon, authenticated and service_role. Closed by its owner. */
  pool: Pool;
  /** Where the files are; made when the first one comes. */
  filesDir: string;
  /** Verifies users' tokens and signs URLs. */
  jwtSecret: string;
  /** Bytes that any file may have; buckets can only lower it. */
  fileSizeLimit: number;
  /** The role of an API key: publishable → anon, secret → service_role. */
  keyToRole: KeyToRole;
  /** Where our own faults are told. */
  log?: (line: string) => void;
}

export interface StorageHandler {
  /** Answers a request whose path is what follows `/storage/v1`. Never throws. */
  fetch(request: Request): Promise<Response>;
  close(): void;
}

const ROUTES: Route[] = [
  ...bucketRoutes,
  ...objectRoutes,
  ...downloadRoutes,
  ...signingRoutes,
  ...relocationRoutes,
  ...listingRoutes,
  ...resumableRoutes,
  ...serviceRoutes,
];

/** Where unfinished uploads lie among the buckets' folders: no bucket's folder can be called so. */
const RESUMABLE_FOLDER = "%resumable";

export function createStorageHandler(options: StorageOptions): StorageHandler {
  const { pool, log = console.error } = options;
  const router = new Router(ROUTES);
  const authenticator = createAuthenticator(options.jwtSecret, options.keyToRole);
  const files = new FileStore(options.filesDir);
  const server: Server = {
    files,
    signer: new UrlSigner(options.jwtSecret),
    resumable: new ResumableStore(`${options.filesDir.replace(/\/+$/, "")}/${RESUMABLE_FOLDER}`),
    uploadLocks: new UploadLocks(),
    fileSizeLimit: options.fileSizeLimit,
    async discard(bucket, name, version) {
      if (version === null) return;
      try {
        await files.remove(bucket, name, version);
      } catch (error) {
        log(`storage: could not remove ${bucket}/${name} (${version}): ${error}`);
      }
    },
  };

  async function identify(route: Route, headers: Headers): Promise<Identity> {
    if (route.access === "none") return SERVICE;
    const checked = route.access === "required" || route.access === "service";
    if (checked && !authenticator.hasCredential(headers)) {
      throw errors.invalidRequest("headers must have required property 'authorization'");
    }
    let caller: Identity;
    try {
      caller = await authenticator.identify(headers);
    } catch (error) {
      if (route.access === "optional") return ANONYMOUS;
      throw error;
    }
    if (route.access === "service" && caller.role !== "service_role") {
      throw errors.accessDenied("Access denied: Invalid role", 403);
    }
    return caller;
  }

  async function answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname + url.search;
    const { route, params } = router.match(request.method, url.pathname, path);
    if (request.body) assertContentType(request);
    const caller = await identify(route, request.headers);
    const facts = {
      method: request.method,
      path,
      headers: JSON.stringify(Object.fromEntries(request.headers)),
      operation: route.operation,
    };
    const db = new Database(pool, facts, caller);
    const context: RequestContext = { request, url, params, caller, db, server };
    return await route.handle(context);
  }

  return {
    async fetch(request) {
      try {
        return await answer(request);
      } catch (error) {
        if (!(error instanceof StorageError) || error.httpStatus >= 500) {
          log(`storage: ${request.method} ${new URL(request.url).pathname}: ${describe(error)}`);
        }
        await drain(request);
        return errorResponse(error, request.method);
      }
    },
    close() {},
  };
}

function describe(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return `${error instanceof Error ? error.stack : error}${cause ? `\ncaused by: ${cause}` : ""}`;
}
