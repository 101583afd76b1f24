/** The Auth server's admin routes, which @supabase/lite does not have. */
import type { Pool } from "pg";
import { AuthError, errorResponse } from "./auth_errors.ts";
import { generateLink, inviteUser } from "./auth_links.ts";
import {
  type Attributes,
  createUser,
  findUser,
  inTransaction,
  isUuid,
  record,
  updateUser,
} from "./auth_users.ts";
import { verifyToken } from "./tokens.ts";

export interface AdminOptions {
  pool: Pool;
  jwtSecret: string;
  apiUrl: string;
  auth: { siteUrl: string };
  log: (line: string) => void;
}

const PAGE_SIZE = 50;

/** Handles a request to `path` (`/admin/users/…`); only the service's key may. */
export function createAuthAdmin(options: AdminOptions) {
  return async (request: Request, path: string): Promise<Response> => {
    try {
      await requireService(request, options.jwtSecret);
      return await route(request, path, options);
    } catch (error) {
      return errorResponse(error, options.log);
    }
  };
}

async function requireService(request: Request, secret: string): Promise<void> {
  const authorization = request.headers.get("authorization");
  if (!authorization) {
    throw new AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token");
  }
  const token = await verifyToken(authorization, secret);
  if ("response" in token) {
    throw new AuthError(403, "bad_jwt", "invalid JWT: unable to parse or verify signature");
  }
  if (token.claims.role !== "service_role" && token.claims.role !== "supabase_admin") {
    throw new AuthError(403, "not_admin", "User not allowed");
  }
}

async function route(request: Request, path: string, options: AdminOptions): Promise<Response> {
  const { pool } = options;
  const [, , collection, id, ...rest] = path.split("/");
  const { method } = request;
  if (path === "/invite" && method === "POST") {
    return Response.json(await inviteUser(options, await readBody(request), redirectTo(request)));
  }
  if (path === "/admin/generate_link" && method === "POST") {
    return Response.json(await generateLink(options, await readBody(request), redirectTo(request)));
  }
  if (collection === "users" && rest.length === 0) {
    if (!id && method === "GET") return await listUsers(pool, new URL(request.url));
    if (!id && method === "POST") {
      const attributes = await readBody(request);
      return Response.json(await inTransaction(pool, (tx) => createUser(tx, attributes)));
    }
    if (id && !isUuid(id)) {
      throw new AuthError(404, "validation_failed", "user_id must be an UUID");
    }
    if (id && method === "GET") return Response.json(await findUser(pool, id));
    if (id && method === "PUT") {
      const attributes = await readBody(request);
      return Response.json(await inTransaction(pool, (tx) => updateUser(tx, id, attributes)));
    }
    if (id && method === "DELETE") return await deleteUser(pool, id);
  }
  throw new AuthError(404, "not_found", "Not found");
}

async function listUsers(pool: Pool, url: URL): Promise<Response> {
  const page = Math.max(1, Number(url.searchParams.get("page") ?? 1) || 1);
  const size = Math.max(1, Number(url.searchParams.get("per_page") ?? PAGE_SIZE) || PAGE_SIZE);
  const [{ rows }, { rows: [{ total }] }] = await Promise.all([
    pool.query("select id from auth.users order by created_at desc, id limit $1 offset $2", [
      size,
      (page - 1) * size,
    ]),
    pool.query("select count(*)::int as total from auth.users"),
  ]);
  const users = await Promise.all(rows.map((row) => findUser(pool, row.id)));
  const last = Math.max(1, Math.ceil(total / size));
  const link = (to: number, rel: string) =>
    `<${url.pathname}?page=${to}&per_page=${size}>; rel="${rel}"`;
  const links = [...(page < last ? [link(page + 1, "next")] : []), link(last, "last")];
  return Response.json({ users, aud: "authenticated" }, {
    headers: { link: links.join(", "), "x-total-count": String(total) },
  });
}

async function deleteUser(pool: Pool, id: string): Promise<Response> {
  await findUser(pool, id);
  await pool.query("delete from auth.users where id = $1", [id]);
  return Response.json({});
}

async function readBody(request: Request): Promise<Attributes> {
  try {
    return record(await request.json());
  } catch {
    throw new AuthError(400, "bad_json", "Could not parse request body as JSON");
  }
}

function redirectTo(request: Request): string | undefined {
  return new URL(request.url).searchParams.get("redirect_to") ?? undefined;
}
