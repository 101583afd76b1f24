import { readEnvironment } from "../_shared/environment.ts";
import { createRateLimit } from "../_shared/rate_limit.ts";
import { createHandler } from "../_shared/serve.ts";
import { routes } from "./handler.ts";

Deno.serve(createHandler("api", readEnvironment(), routes, {
  admit: createRateLimit(),
}));
