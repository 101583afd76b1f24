import { readEnvironment } from "../_shared/environment.ts";
import { createHandler } from "../_shared/serve.ts";
import { routes } from "./handler.ts";

Deno.serve(createHandler("webhooks", readEnvironment(), routes));
