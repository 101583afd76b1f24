/** What is asked of the server itself. */
import { json } from "../context.ts";
import { errors } from "../errors.ts";
import type { Route } from "../router.ts";

/** There is no CDN in front of this server, and the real one without a CDN answers so. */
const purge = (path: string, operation: string): Route => ({
  method: "DELETE",
  path,
  operation,
  access: "service",
  handle() {
    throw errors.missingParameter("CDN_PURGE_ENDPOINT_URL is not set");
  },
});

export const serviceRoutes: Route[] = [
  purge("/cdn/:bucket", "storage.cdn.purge_bucket_cache"),
  purge("/cdn/:bucket/*", "storage.cdn.purge_object_cache"),
  {
    method: "GET",
    path: "/status",
    operation: "",
    access: "none",
    handle: () => new Response(null, { status: 200 }),
  },
  {
    method: "GET",
    path: "/health",
    operation: "",
    access: "none",
    handle: async ({ db }) => {
      await db.asService((tx) => tx.query("select id from storage.buckets limit 1"));
      return json({ healthy: true });
    },
  },
];
