import { z } from "zod";
import { AppError } from "../_shared/errors.ts";
import { mistakesOf } from "../_shared/mistakes.ts";

/** The headers of Standard Webhooks. What is signed is `{webhook-id}.{webhook-timestamp}.{body}`. */
const signedHeaders = z.object({
  "webhook-id": z.string().regex(
    /^[!-\-/-~]{1,200}$/,
    'takes 1 to 200 visible ASCII characters other than ".".',
  ),
  "webhook-timestamp": z.string().regex(/^[0-9]{1,12}$/, "takes seconds since 1970."),
  "webhook-signature": z.string().min(1).max(4096),
});

/** Headers that an app gets to know, besides the signed ones. Nothing vouches for them. */
const PASSED_ON = ["content-type", "content-encoding", "user-agent"];
const MAX_HEADER_LENGTH = 1000;

export interface DeliveryHeaders {
  id: string;
  /** As it came, since it is signed: seconds since 1970. */
  sentAt: string;
  /** One or more of `v1,<base64>`, parted by spaces. */
  signatures: string;
  passedOn: Record<string, string>;
}

/** What a request says of itself. 401 naming the header if it cannot have been signed. */
export function readDeliveryHeaders(headers: Headers): DeliveryHeaders {
  const result = signedHeaders.safeParse(Object.fromEntries(headers), { reportInput: true });
  if (!result.success) {
    const errors = mistakesOf(result.error.issues).map(({ at: _, ...mistake }) => mistake);
    const detail = errors.map(({ path, message }) => `${path}: ${message}`).join(" ");
    throw unverified(detail, errors);
  }
  return {
    id: result.data["webhook-id"],
    sentAt: result.data["webhook-timestamp"],
    signatures: result.data["webhook-signature"],
    passedOn: Object.fromEntries(PASSED_ON.flatMap((name) => {
      const value = headers.get(name);
      return value ? [[name, value.slice(0, MAX_HEADER_LENGTH)]] : [];
    })),
  };
}

/** The one answer to whoever cannot show to know the webhook's secret. */
export function unverified(detail?: string, errors?: AppError["options"]["errors"]): AppError {
  return new AppError("webhook_unverified", detail, {
    errors,
    headers: { "www-authenticate": "StandardWebhooks" },
  });
}
