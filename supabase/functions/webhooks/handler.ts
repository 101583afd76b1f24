import { readBytes } from "../_shared/body.ts";
import { AppError } from "../_shared/errors.ts";
import { isId } from "../_shared/ids.ts";
import { MAX_WEBHOOK_BODY_BYTES } from "../_shared/limits.ts";
import { type Context, openRoute, type Route } from "../_shared/serve.ts";
import { readDeliveryHeaders, unverified } from "./schema.ts";
import { type Receipt, webhookStore } from "./store.ts";

/**
 * `POST /webhooks/{webhookId}` starts a run. It takes no key: a delivery is signed with the webhook's secret, as Standard
 * Webhooks has it, in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`. The body is of any type.
 *
 * 202 with `{ run_id, delivery_id }`; 200 with the same when that delivery was taken before. 401 when the webhook does not
 * exist, is inactive, or the signature is wrong, which look alike; also when the timestamp is not within five minutes.
 * A sender that does not wait for the answer has delivered all the same.
 *
 * 413 for a large body; 429 with Retry-After for too many deliveries or a full queue; 409 when the app cannot be run.
 */
export const routes: Route[] = [openRoute("POST", "/:webhookId", receive, { lasting: true })];

async function receive({ request, params, service }: Context<null>): Promise<Response> {
  const headers = readDeliveryHeaders(request.headers);
  const body = await readBytes(request, MAX_WEBHOOK_BODY_BYTES);
  if (!isId(params.webhookId)) throw unverified();
  const receipt = await webhookStore(service()).receive(params.webhookId, headers, body);
  return Response.json({ run_id: receipt.runId, delivery_id: headers.id }, {
    status: statusOf(receipt),
    headers: { "cache-control": "no-store" },
  });
}

function statusOf({ outcome, message, retryAfter }: Receipt): number {
  const detail = message ?? undefined;
  switch (outcome) {
    case "enqueued":
      return 202;
    case "repeated":
      return 200;
    case "unverified":
      throw unverified();
    case "stale":
      throw unverified(detail);
    case "rate_limited":
      throw new AppError("rate_limited", detail, {
        headers: { "retry-after": String(retryAfter) },
      });
    case "queue_full":
      throw new AppError("queue_full", detail);
    case "storage_full":
      throw new AppError("quota_exceeded", detail);
    case "not_runnable":
      throw new AppError("app_not_runnable", detail);
    default:
      throw new AppError("internal", undefined, { cause: new Error(`${outcome}: ${message}`) });
  }
}
