/** What is asked of the server itself. */
import { json } from "../context.ts";
import type { Route } from "../router.ts";

export const serviceRoutes: Route[] = [
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
