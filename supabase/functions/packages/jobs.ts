import { readJson } from "../_shared/body.ts";
import { AppError } from "../_shared/errors.ts";
import { type JobReport, moveContent, parseVersions } from "../_shared/registry/jobs.ts";
import { type Context, type Route, route } from "../_shared/serve.ts";
import type { Registry } from "./handler.ts";
import { jobSchema } from "./schema.ts";
import { warm } from "./warm.ts";

/**
 * For the service, and whatever calls on a schedule with its key.
 *
 * - `POST /packages/jobs/move`, `POST /packages/jobs/parse` with `{ limit? }`: 200 with `{ done, failed, more, errors }`.
 * - `POST /packages/jobs/warm` with `{ limit? }`: fills the cache with what is downloaded most. 200 with `{ warmed }`.
 * - `GET /packages/stats`: the cache's hits, misses, evictions, size.
 */
export function jobRoutes(registry: Registry): Route[] {
  const job = (path: string, run: (limit: number, context: Context) => Promise<unknown>) =>
    route("POST", `/jobs/${path}`, async (context) => {
      requireService(context);
      const { limit } = await readJson(context.request, jobSchema);
      return Response.json(await run(limit, context));
    }, { lasting: true });
  return [
    job(
      "move",
      (limit, { service }): Promise<JobReport> => moveContent(service(), registry.objects(), limit),
    ),
    job(
      "parse",
      (limit, { service }): Promise<JobReport> =>
        parseVersions(service(), registry.objects(), limit),
    ),
    job("warm", async (limit, { environment }) => ({
      warmed: await warm(registry, environment, limit),
    })),
    route("GET", "/stats", async (context) => {
      requireService(context);
      return Response.json({ cache: await registry.cache.stats() });
    }),
  ];
}

function requireService({ caller }: Context): void {
  if (caller.kind !== "service") throw new AppError("forbidden", "This is for the service.");
}
