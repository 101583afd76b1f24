import { Buffer } from "node:buffer";
import type { Client } from "../_shared/caller.ts";
import { fromDatabase } from "../_shared/upstream_errors.ts";
import type { DeliveryHeaders } from "./schema.ts";

/** What the database made of a delivery; see `receive_app_webhook`. */
export interface Receipt {
  outcome: string;
  runId: string | null;
  message: string | null;
  /** Seconds. */
  retryAfter: number | null;
}

export interface WebhookStore {
  /** Verifies a delivery and makes it a run, in one transaction. The secret stays where it is. */
  receive(webhookId: string, headers: DeliveryHeaders, body: Uint8Array): Promise<Receipt>;
}

export function webhookStore(service: Client): WebhookStore {
  return {
    async receive(webhookId, { id, sentAt, signatures, passedOn }, body) {
      const { data, error } = await service.rpc("receive_app_webhook", {
        webhook_id: webhookId,
        delivery_id: id,
        sent_at: sentAt,
        signatures,
        body: Buffer.from(body.buffer, body.byteOffset, body.length).toString("base64"),
        headers: passedOn,
      }).single();
      if (error) throw fromDatabase(error);
      const { outcome, run_id: runId, message, retry_after: retryAfter } = data;
      return { outcome, runId, message, retryAfter };
    },
  };
}
