// Delivers a webhook: starts a run of the app that the webhook is for. No key of the project is needed.
import { Buffer } from "node:buffer";
import { createHmac, randomUUID } from "node:crypto";

/** What the header webhook-signature says. The secret's base64 behind whsec_ is the key of the HMAC. */
export function sign(secret: string, id: string, timestamp: number, body: string): string {
  const key = Buffer.from(secret.slice("whsec_".length), "base64");
  const signed = `${id}.${timestamp}.${body}`;
  return `v1,${createHmac("sha256", key).update(signed).digest("base64")}`;
}

/** Sends the body to {API_URL}/functions/v1/webhooks/{id}. The same delivery id starts no second run. */
export async function deliver(
  url: string,
  secret: string,
  body: string,
  id: string = randomUUID(),
): Promise<Response> {
  const timestamp = Math.floor(Date.now() / 1000); // seconds; it may be five minutes off
  return await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": sign(secret, id, timestamp, body),
    },
    body,
  });
}
