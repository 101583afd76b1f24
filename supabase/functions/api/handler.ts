import { openRoute, type Route } from "../_shared/serve.ts";
import { etagOf, matches } from "./etag.ts";
import { openApiText } from "./openapi.ts";
import { toRoute } from "./operation.ts";
import { operations } from "./operations.ts";
import { referencePage, referencePolicy } from "./reference/page.ts";

/**
 * Apps and what belongs to them, over HTTP: every operation in `operations`, as `GET /api/openapi.json` describes them, and
 * `GET /api/reference` shows them to people. Both of these are open to everybody.
 */
export const routes: Route[] = [
  openRoute(
    "GET",
    "/openapi.json",
    ({ request }) => serve(request, openApiText(), "application/json"),
  ),
  openRoute("GET", "/reference", async ({ request }) => {
    const response = await serve(request, referencePage(), "text/html; charset=utf-8");
    response.headers.set("content-security-policy", await referencePolicy());
    return response;
  }),
  ...operations.map(toRoute),
];

const MAX_AGE_SECONDS = 300;

async function serve(request: Request, text: string, type: string): Promise<Response> {
  const etag = await etagOf(text);
  const headers = { etag, "cache-control": `public, max-age=${MAX_AGE_SECONDS}` };
  const known = request.headers.get("if-none-match");
  if (known !== null && matches(known, etag)) return new Response(null, { status: 304, headers });
  return new Response(text, { headers: { ...headers, "content-type": type } });
}
