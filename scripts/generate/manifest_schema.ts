/** Writes the manifest's JSON Schema, for readers and for editors that are pointed at a file. */
import { manifestJsonSchemaText } from "../../supabase/functions/_shared/manifest/json_schema.ts";
import { writeGenerated } from "./generated.ts";

await writeGenerated("docs/manifest.schema.json", manifestJsonSchemaText());
