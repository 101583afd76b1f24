/** The reference for people: one page of our own, which reads the OpenAPI document and loads nothing from elsewhere. */
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";

export function referencePage(): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Stowage API reference</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>Stowage API</h1>
<form id="credentials" autocomplete="off">
<label>apikey <input name="apikey" type="password" placeholder="sb_publishable_… or sb_secret_…"></label>
<label>Access token <input name="token" type="password" placeholder="of the signed-in user"></label>
</form>
</header>
<nav aria-label="Operations"></nav>
<main>
<p id="notice">Loading <code>openapi.json</code> …</p>
<details id="access">
<summary>Where the key and the token come from</summary>
<p>The <code>apikey</code> is the project's publishable key, beside a user's token, or a secret key alone, which acts as the
service. <code>npm run status</code> shows those of the local stack; of a hosted project, the settings of its dashboard.</p>
<p>The access token is what a user gets by signing in: <code>data.session.access_token</code> of
<code>supabase.auth.signInWithPassword({ email, password })</code>, or <code>access_token</code> of</p>
<pre>curl "$API_URL/auth/v1/token?grant_type=password" -H "apikey: $PUBLISHABLE_KEY" \\
  -H "content-type: application/json" -d '{"email":"…","password":"…"}'</pre>
<p>It is good for an hour. Both fields keep what you type until the page is closed, and send it to this server alone.</p>
</details>
</main>
<noscript>This page needs JavaScript; the document itself is openapi.json.</noscript>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

let policy: Promise<string> | undefined;

/** Nothing but this very script and style runs, and it talks to this origin alone. */
export function referencePolicy(): Promise<string> {
  return policy ??= (async () => {
    const [script, style] = await Promise.all([sourceHash(SCRIPT), sourceHash(STYLE)]);
    return [
      "default-src 'none'",
      `script-src '${script}'`,
      `style-src '${style}'`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; ");
  })();
}

async function sourceHash(source: string): Promise<string> {
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source)),
  );
  return `sha256-${digest.toBase64()}`;
}
