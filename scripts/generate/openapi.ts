/** Writes the OpenAPI document of the HTTP API, as the function serves it. */
import { openApiText } from "../../supabase/functions/api/openapi.ts";
import { writeGenerated } from "./generated.ts";

await writeGenerated("docs/openapi.json", openApiText());
